"""Two models on the same pictures: the difference in what they read whole, its interval, and what could be seen."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from pipeline.core.errors import DataError
from pipeline.evaluation.scoring import rounded

CHANCE = 0.8
"""The chance with which the smallest difference shows that `detectable` names."""


@dataclass(frozen=True)
class Difference:
    """Challenger minus champion; shares of pictures read whole.

    Attributes:
        pictures: how many both read.
        challenger, champion: the share each read whole, the mean over suites where there are several.
        difference, low, high: the first minus the second, and its interval.
        discordant: share of the pictures that one read whole and the other did not.
        detectable: the smallest true difference whose interval leaves 0 out with a chance of 80 %.
    """

    pictures: int
    challenger: float
    champion: float
    difference: float
    low: float
    high: float
    discordant: float
    detectable: float

    def as_dict(self) -> dict[str, int | float]:
        """For a record: rounded to six decimals."""
        return {name: rounded(value) for name, value in asdict(self).items()}


def paired(
    challenger: Mapping[str, np.ndarray],
    champion: Mapping[str, np.ndarray],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Difference:
    """Compare two models picture by picture.

    The interval is the paired percentile bootstrap's (Efron and Tibshirani 1993, ch. 13): pictures are drawn with both
    outcomes, suite by suite, and the suites' means are averaged. Drawing n of the outcomes -1, 0 and 1 is one
    multinomial draw, so the pictures themselves need not be drawn. The detectable difference is that of McNemar's test
    (Connor 1987), for as many discordant pictures as there are.

    Args:
        challenger, champion: by suite, bool (n,): which pictures were read whole. The same pictures in the same order.
        confidence: of the interval, above 0.5 and below 1.
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        DataError: there is nothing to compare, or not as many outcomes of both.
    """
    if not challenger or challenger.keys() != champion.keys():
        raise DataError(f"outcomes of {sorted(challenger)} and {sorted(champion)}; expected the same suites of both")
    generator = np.random.default_rng(seed)
    drawn = np.zeros(resamples)
    pictures, shares, variance, discordant = 0, [], 0.0, 0.0
    for suite, said in challenger.items():
        other = champion[suite]
        if len(said) != len(other) or not len(said):
            raise DataError(
                f"{suite}: {len(said)} and {len(other)} outcomes; expected as many of both, and at least one"
            )
        n = len(said)
        gained, lost = int(np.sum(said & ~other)), int(np.sum(~said & other))
        counts = generator.multinomial(n, [gained / n, lost / n, (n - gained - lost) / n], size=resamples)
        drawn += (counts[:, 0] - counts[:, 1]) / n / len(challenger)
        shares.append((said.mean(), other.mean()))
        variance += (gained + lost) / n / n / len(challenger) ** 2
        discordant += (gained + lost) / n / len(challenger)
        pictures += n
    here, there = (float(share) for share in np.mean(shares, axis=0))
    tail = (1 - confidence) / 2
    low, high = (float(end) for end in np.quantile(drawn, [tail, 1 - tail]))
    return Difference(
        pictures=pictures,
        challenger=here,
        champion=there,
        difference=here - there,
        # Of few draws, or none that differ, the ends could lie beside the difference itself.
        low=min(low, here - there),
        high=max(high, here - there),
        discordant=discordant,
        detectable=float(stats.norm.ppf(1 - tail) + stats.norm.ppf(CHANCE)) * math.sqrt(variance),
    )


def share(outcomes: Mapping[str, np.ndarray], *, confidence: float) -> tuple[float, float, float]:
    """The mean over suites of the share read whole, and its interval: normal, of the suites' binomial variances."""
    mean = float(np.mean([right.mean() for right in outcomes.values()]))
    # Agresti and Coull (1998): two successes and two failures more, so that 100 % right is not taken for certain.
    variance = (
        sum(
            p * (1 - p) / (len(right) + 4)
            for right in outcomes.values()
            for p in [(float(right.sum()) + 2) / (len(right) + 4)]
        )
        / len(outcomes) ** 2
    )
    reach = float(stats.norm.ppf(0.5 + confidence / 2)) * math.sqrt(variance)
    return mean, max(mean - reach, 0.0), min(mean + reach, 1.0)

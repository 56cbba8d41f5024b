"""Paired bootstrap intervals: two models, or two settings, on the same pictures."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from pipeline.core.errors import DataError
from pipeline.evaluation.accuracy import rounded

POWER = 0.8
"""The probability with which a true difference of size `Difference.detectable` is found."""


@dataclass(frozen=True)
class Difference:
    """Challenger minus champion, in sequence accuracy.

    Attributes:
        pictures: how many both read.
        challenger, champion: the sequence accuracy of each; with several suites, the mean over them.
        difference, low, high: the first minus the second, and its interval.
        discordant: share of the pictures that exactly one of the two read correctly.
        detectable: the smallest true difference whose interval excludes 0 with a probability of 80 %.
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

    The interval is a paired percentile bootstrap (Efron and Tibshirani 1993, ch. 13): pictures are drawn with both
    outcomes, suite by suite, and the means of the suites are averaged. The detectable difference is that of McNemar's
    test (Connor 1987) with the observed number of discordant pictures.

    Args:
        challenger: by suite, bool (n,), exact matches.
        champion: the same, on the same pictures in the same order.
        confidence: of the interval, above 0.5 and below 1.
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        DataError: there is nothing to compare, or the two do not have the same suites or numbers of pictures.
    """
    if not challenger or challenger.keys() != champion.keys():
        raise DataError(f"outcomes of {sorted(challenger)} and {sorted(champion)}; expected the same suites of both")
    generator = np.random.default_rng(seed)
    drawn = np.zeros(resamples)
    pictures, shares, variance, discordant = 0, [], 0.0, 0.0
    for suite, ours in challenger.items():
        theirs = champion[suite]
        n = len(ours)
        if n != len(theirs) or not n:
            raise DataError(f"{suite}: {n} and {len(theirs)} outcomes; expected the same number, at least one")
        gained, lost = int(np.sum(ours & ~theirs)), int(np.sum(~ours & theirs))
        values, counts = np.array([1, -1, 0]), np.array([gained, lost, n - gained - lost])
        drawn += resampled_means(values, counts, resamples, generator) / len(challenger)
        shares.append((ours.mean(), theirs.mean()))
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
        # With few draws, or none that differ, the quantiles could exclude the difference itself.
        low=min(low, here - there),
        high=max(high, here - there),
        discordant=discordant,
        detectable=float(stats.norm.ppf(1 - tail) + stats.norm.ppf(POWER)) * math.sqrt(variance),
    )


def mean_difference(differences: np.ndarray, *, resamples: int, seed: int) -> tuple[float, float, float]:
    """The mean of differences on the same pictures, and its 95 % interval.

    A percentile bootstrap over pictures (Efron and Tibshirani 1993, ch. 13). The interval covers the choice of pictures
    for these very models. Only repeated runs cover the choice of seeds.

    Args:
        differences: float (n,), one for each picture.
        resamples: bootstrap draws.
        seed: of the draws.
    """
    mean = float(np.mean(differences))
    if np.ptp(differences) == 0:
        return mean, mean, mean
    values, counts = np.unique(differences, return_counts=True)
    drawn = resampled_means(values, counts, resamples, np.random.default_rng(seed))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return mean, float(low), float(high)


def resampled_means(
    values: np.ndarray, counts: np.ndarray, resamples: int, generator: np.random.Generator
) -> np.ndarray:
    """Float (resamples,): means of as many draws with replacement as there are values in all.

    A resample is fixed by how often it holds each distinct value, which is one multinomial draw.

    Args:
        values: (k,), the distinct values.
        counts: int (k,), how often each occurs.
        resamples: bootstrap draws.
        generator: of the draws.
    """
    n = int(counts.sum())
    return generator.multinomial(n, counts / n, size=resamples) @ values / n


def share(outcomes: Mapping[str, np.ndarray], *, confidence: float) -> tuple[float, float, float]:
    """Mean sequence accuracy over suites, and its interval: normal, from the suites' binomial variances.

    Args:
        outcomes: by suite, bool (n,), exact matches.
        confidence: of the interval, above 0.5 and below 1.
    """
    mean = float(np.mean([correct.mean() for correct in outcomes.values()]))
    # Agresti and Coull (1998): two successes and two failures more, so that 100 % correct is not taken for certain.
    adjusted = [(float(correct.sum()) + 2) / (len(correct) + 4) for correct in outcomes.values()]
    variances = [p * (1 - p) / (len(correct) + 4) for p, correct in zip(adjusted, outcomes.values(), strict=True)]
    reach = float(stats.norm.ppf(0.5 + confidence / 2)) * math.sqrt(sum(variances) / len(outcomes) ** 2)
    return mean, max(mean - reach, 0.0), min(mean + reach, 1.0)

"""A sequential test for drift whose false alarms are bounded in time, whatever the traffic looks like.

Each statistic of a picture becomes a smoothed conformal p-value: its rank among the reference and all traffic before
it. Where nothing changed these are independent and uniform (Vovk, Nouretdinov and Gammerman 2003, Testing
exchangeability on-line, theorem 1), for a reference of any size. For every bet on them (`pipeline.monitoring.betting`)
a Shiryaev-Roberts e-detector adds up the evidence for a change at any earlier picture, and the detectors of all bets
are averaged (Shin, Ramdas and Rinaldo 2024, E-detectors, sections 3 and 4; Vovk et al. 2021, Retrain or not retrain,
for conformal p-values). A possible beginning at a picture counts as much as the time that has passed since the picture
before it. The expected evidence is then the time itself, so that alarms are rare in weeks and not in pictures:
docs/monitoring.md has the proof. Bonferroni's bound joins the statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.monitoring.betting import BETS, bets
from pipeline.monitoring.statistics import BINS

WEEK = 7 * 86_400.0
"""Seconds."""
_BLOCK = 512
_TIES = 0x71E5
"""Sets these numbers apart from others of the same seed, which NumPy would make equal: trailing zeros do not count."""


@dataclass(frozen=True)
class Crossing:
    """The evidence of a statistic reached the threshold: its index, and that of the picture in this update."""

    statistic: int
    picture: int


class Detector:
    """The test of several statistics of one stream of pictures.

    Attributes:
        counts: int64 (statistics, BINS), pictures of the reference and of the stream in each bin.
        evidence: float64 (statistics, BETS), of each bet the sum over all possible beginnings, in weeks.
        pictures: of the stream.
    """

    def __init__(
        self,
        reference: np.ndarray,
        weights: np.ndarray,
        *,
        rate: float,
        seed: int,
        evidence: np.ndarray | None = None,
        pictures: int = 0,
    ) -> None:
        """Define.

        Args:
            reference: (statistics, BINS), the counts so far.
            weights: (statistics,), the share of the false alarms that each may cause; their sum is 1.
            rate: false alarms a week, of all statistics together.
            seed: of the numbers that break ties.
            evidence: so far; None for none.
            pictures: of the stream so far.
        """
        self.counts = reference.astype(np.int64)
        self.evidence = np.zeros((len(reference), BETS)) if evidence is None else evidence.copy()
        self.pictures = pictures
        self._thresholds = 1 / (rate * weights)
        self._seed = seed

    @property
    def levels(self) -> np.ndarray:
        """float64 (statistics,): the evidence as a share of the threshold."""
        return self.evidence.mean(axis=1) / self._thresholds

    def update(self, bins: np.ndarray, seconds: np.ndarray) -> list[Crossing]:
        """Test pictures. After an alarm, the evidence of its statistic starts from nothing again.

        Args:
            bins: integers (n, statistics), 0 to BINS - 1.
            seconds: float64 (n,), since the picture before each, at least 0.

        Returns:
            Every alarm, in order.
        """
        found: list[Crossing] = []
        for start in range(0, len(bins), _BLOCK):
            stop = start + _BLOCK
            found += self._update(bins[start:stop], seconds[start:stop] / WEEK, start)
        return found

    def _update(self, bins: np.ndarray, weeks: np.ndarray, start: int) -> list[Crossing]:
        bet = bets(self._p_values(bins))
        found = []
        evidence = self.evidence
        for picture, (duration, values) in enumerate(zip(weeks, bet, strict=True)):
            evidence += duration
            evidence *= values
            crossed = evidence.mean(axis=1) >= self._thresholds
            if crossed.any():
                found += [Crossing(int(index), start + picture) for index in np.flatnonzero(crossed)]
                evidence[crossed] = 0
        return found

    def _p_values(self, bins: np.ndarray) -> np.ndarray:
        """float64 (n, statistics) of pictures, which join the counts."""
        count, statistics = bins.shape
        joined = np.zeros((count, statistics, BINS), np.int64)
        rows, columns = np.ogrid[:count, :statistics]
        joined[rows, columns, bins] = 1
        joined = self.counts + np.cumsum(joined, axis=0)
        below = np.cumsum(joined, axis=2)
        equal = joined[rows, columns, bins]
        less = below[rows, columns, bins] - equal
        total = below[:, :, -1]
        ties = np.random.default_rng([_TIES, self._seed, self.pictures]).random((count, statistics))
        self.counts = joined[-1]
        self.pictures += count
        return 1 - (less + ties * equal) / total


def parse_counts(text: str) -> np.ndarray:
    """int64 (n,) of numbers that are separated by blanks."""
    return np.array(text.split(), np.int64)


def format_counts(counts: Sequence[int] | np.ndarray) -> str:
    """The other way round."""
    return " ".join(str(int(count)) for count in counts)

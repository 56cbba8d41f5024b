"""The threshold from which a reading is accepted: it holds on familiar pictures, and under every synthetic shift."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipeline.evaluation.accuracy import DECIMALS
from pipeline.evaluation.calibration import LEVEL, TARGET, coverage_threshold

RISK = 0.01
"""Largest share of all pictures of a shift that may be accepted and wrong, at the confidence `LEVEL`."""


@dataclass(frozen=True)
class Outcomes:
    """Confidence, float (n,), and exact matches, bool (n,), of n readings."""

    confidence: np.ndarray
    correct: np.ndarray

    def accepted_wrong(self, threshold: float | None) -> float:
        """The share of all readings that are accepted and wrong; 0 where nothing is accepted."""
        if threshold is None:
            return 0.0
        return float(np.mean((self.confidence >= threshold) & ~self.correct))

    def accepted(self, threshold: float | None) -> float:
        """The share of all readings that are accepted."""
        return 0.0 if threshold is None else float(np.mean(self.confidence >= threshold))


def upper_limit(count: int, n: int, level: float = LEVEL) -> float:
    """The one-sided upper confidence limit of a share, `count` of `n` (Clopper and Pearson 1934)."""
    return 1.0 if count >= n else float(stats.beta.ppf(level, count + 1, n - count))


def risk_threshold(outcomes: Outcomes, risk: float = RISK, level: float = LEVEL) -> float | None:
    """The lowest confidence from which at most `risk` of all readings are accepted and wrong, at confidence `level`.

    As the threshold falls, that share only grows. The thresholds are therefore tested from the top down, each with the
    whole level, up to the first whose upper limit is above the risk (Learn then Test, Angelopoulos et al. 2021; with a
    bounded monotone risk, Angelopoulos et al. 2022). The threshold lies on a grid of 1e-6.

    Returns:
        The threshold, 0 where all may be accepted; None where there are too few readings to show anything.
    """
    n = len(outcomes.correct)
    allowed = -1
    while allowed < n and upper_limit(allowed + 1, n, level) <= risk:
        allowed += 1
    if allowed < 0:
        return None
    wrong = np.sort(outcomes.confidence[~outcomes.correct].astype(np.float64))[::-1]
    if len(wrong) <= allowed:
        return 0.0
    # Just above the first error that is one too many.
    step = 10.0**-DECIMALS
    threshold = round((np.floor(wrong[allowed] / step) + 1) * step, DECIMALS)
    return threshold if threshold <= 1 else None


def choose(familiar: Outcomes, shifts: Mapping[str, Outcomes]) -> tuple[float | None, str]:
    """The threshold that holds for accuracy on familiar pictures and for the risk under every shift, and what sets it.

    Args:
        familiar: readings of valid.
        shifts: readings of shifted pictures, by kind.

    Returns:
        The highest of all thresholds, and `accuracy` or the kind whose it is; None where one of them does not hold.
    """
    found: dict[str, float | None] = {"accuracy": coverage_threshold(familiar.confidence, familiar.correct, TARGET)}
    found.update({kind: risk_threshold(outcomes) for kind, outcomes in shifts.items()})
    for name, threshold in found.items():
        if threshold is None:
            return None, name
    name = max(found, key=lambda each: found[each] or 0.0)
    return found[name], name

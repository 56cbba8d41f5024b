"""The threshold from which a reading is accepted: it holds on familiar pictures, and under every synthetic shift."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.accuracy import DECIMALS
from pipeline.evaluation.calibration import LEVEL, TARGET, coverage_threshold

RISK = 0.01
"""Largest expected share of all pictures of a shift that is accepted and wrong."""


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


def risk_threshold(outcomes: Outcomes, risk: float = RISK) -> float | None:
    """The lowest confidence from which the expected share of readings that are accepted and wrong is at most `risk`.

    Conformal risk control (Angelopoulos, Bates, Fisch, Lei and Schuster 2022, section 2.1): that share only grows as
    the threshold falls, so that it is enough that the errors accepted among n readings, and one more, are at most
    `risk` of n + 1. The expectation is over pictures drawn as these were. The threshold lies on a grid of 1e-6.

    Returns:
        The threshold, 0 where all may be accepted; None where there are too few readings to show anything.
    """
    allowed = int(np.floor(risk * (len(outcomes.correct) + 1) + 1e-9)) - 1
    if allowed < 0:
        return None
    wrong = np.sort(outcomes.confidence[~outcomes.correct].astype(np.float64))[::-1]
    if len(wrong) <= allowed:
        return 0.0
    # Just above the first error that is one too many.
    step = 10.0**-DECIMALS
    threshold = round((np.floor(wrong[allowed] / step) + 1) * step, DECIMALS)
    return threshold if threshold <= 1 else None


def choose(familiar: Outcomes, shifts: Mapping[str, Outcomes], level: float = LEVEL) -> tuple[float | None, str]:
    """The threshold that holds for accuracy on familiar pictures and for the risk under every shift, and what sets it.

    Args:
        familiar: readings of valid.
        shifts: readings of shifted pictures, by kind.
        level: the probability, at least, with which the threshold holds for accuracy.

    Returns:
        The highest of all thresholds, and `accuracy` or the kind whose it is; None where one of them does not hold.
    """
    found: dict[str, float | None] = {
        "accuracy": coverage_threshold(familiar.confidence, familiar.correct, TARGET, level)
    }
    found.update({kind: risk_threshold(outcomes) for kind, outcomes in shifts.items()})
    for name, threshold in found.items():
        if threshold is None:
            return None, name
    name = max(found, key=lambda each: found[each] or 0.0)
    return found[name], name

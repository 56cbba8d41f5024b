"""Whether a confidence can be trusted: reliability, expected calibration error, and the coverage at 99.5 % accuracy."""

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.accuracy import DECIMALS, expect_pictures

BINS = 15
"""Equal-width bins of the expected calibration error."""
TARGET = 0.995
"""Accuracy on valid of the readings at or above the coverage threshold."""


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in equal-width bins (m-1)/M < confidence <= m/M; the first bin includes 0.

    Attributes:
        count: int64 (bins,), readings in each bin.
        confidence: float64 (bins,), their mean confidence; 0 in an empty bin.
        accuracy: float64 (bins,), their share of exact matches; 0 in an empty bin.
    """

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error (Guo et al. 2017, eq. 3): mean gap of the bins, weighted by their readings."""
        return float(np.sum(self.count * np.abs(self.accuracy - self.confidence)) / self.count.sum())


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Reliability:
    """Sort readings into bins of confidence.

    Args:
        confidence: float (n,), 0 to 1.
        correct: bool (n,), exact matches.
        bins: number of bins.
    """
    expect_pictures(correct)
    confidence = confidence.astype(np.float64)
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    divisor = np.maximum(count, 1)
    return Reliability(
        count=count,
        confidence=np.bincount(index, confidence, bins) / divisor,
        accuracy=np.bincount(index, correct, bins) / divisor,
    )


def ece(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error of confidences, float (n,), against exact matches, bool (n,)."""
    return reliability(confidence, correct, bins).ece


def coverage_threshold(confidence: np.ndarray, correct: np.ndarray, target: float = TARGET) -> float | None:
    """The lowest confidence at and above which at least `target` of the readings are correct; None when there is none.

    Choose it on valid: this is selective classification (El-Yaniv and Wiener 2010). The threshold lies on a grid of
    1e-6, so the stored value with six decimals accepts the same pictures.
    """
    expect_pictures(correct)
    confidence = confidence.astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    correct_from = np.append(np.cumsum(correct[order][::-1])[::-1], 0)
    grid = np.unique(np.floor(confidence * 10**DECIMALS)) / 10**DECIMALS
    first = np.searchsorted(confidence[order], grid, side="left")
    accepted = len(confidence) - first
    # The tolerance is for the rounding of target * accepted: 0.995 * 200 must not ask for more than 199.
    enough = (accepted > 0) & (correct_from[first] >= target * accepted - 1e-9)
    return round(float(grid[enough][0]), DECIMALS) if enough.any() else None


def coverage(confidence: np.ndarray, correct: np.ndarray, threshold: float | None) -> tuple[float | None, float | None]:
    """The share of the pictures accepted at `threshold`, and their accuracy; None where there is neither."""
    expect_pictures(correct)
    if threshold is None:
        return None, None
    accepted = confidence.astype(np.float64) >= threshold
    return float(accepted.mean()), float(correct[accepted].mean()) if accepted.any() else None

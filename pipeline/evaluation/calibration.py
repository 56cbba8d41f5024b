"""Whether a confidence can be trusted: reliability, calibration errors, proper scores, and coverage at an accuracy."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipeline.evaluation.accuracy import DECIMALS, expect_pictures

BINS = 15
"""Equal-width bins of the expected calibration error."""
TARGET = 0.995
"""Accuracy that the readings at or above the coverage threshold must reach."""
TARGETS = (0.98, 0.99, TARGET, 0.999)
"""Accuracies for which the coverage is reported; the served threshold is for `TARGET`, and holds under shift too."""
LEVEL = 0.9
"""Confidence level of that: the accuracy is lower with a probability of at most one in ten."""


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


def adaptive_ece(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Calibration error over bins of equally many readings (Nixon et al. 2019, "Measuring calibration").

    Args:
        confidence: float (n,), 0 to 1.
        correct: bool (n,), exact matches.
        bins: number of bins; as many as readings where there are fewer.
    """
    expect_pictures(correct)
    order = np.argsort(confidence, kind="stable")
    gaps = [
        abs(float(np.sum(confidence[part], dtype=np.float64)) - int(correct[part].sum()))
        for part in np.array_split(order, min(bins, len(order)))
    ]
    return sum(gaps) / len(correct)


def negative_log_likelihood(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Mean of -log of the probability given to what is the case: that a reading is correct, or that it is not.

    A confidence counts as at least 1e-6 and at most 1 - 1e-6, so that one error at full confidence is not infinite.

    Args:
        confidence: float (n,), 0 to 1.
        correct: bool (n,), exact matches.
    """
    expect_pictures(correct)
    given = np.clip(confidence.astype(np.float64), 10.0**-DECIMALS, 1 - 10.0**-DECIMALS)
    return float(-np.mean(np.log(np.where(correct, given, 1 - given))))


def brier(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Mean squared difference of confidence, float (n,), and exact match, bool (n,) (Brier 1950)."""
    expect_pictures(correct)
    return float(np.mean((confidence.astype(np.float64) - correct) ** 2))


def risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """The share of errors among the k most confident readings, float64 (n,), for k from 1 to n.

    Readings that are equally confident share their errors evenly, so that their order makes no difference.

    Args:
        confidence: float (n,), 0 to 1.
        correct: bool (n,), exact matches.
    """
    expect_pictures(correct)
    _, group = np.unique(-confidence.astype(np.float64), return_inverse=True)
    count = np.bincount(group)
    errors = np.bincount(group, ~correct) / count
    in_order = np.repeat(errors, count)
    return np.cumsum(in_order) / np.arange(1, len(in_order) + 1)


def aurc(confidence: np.ndarray, correct: np.ndarray) -> float:
    """The area under the curve of risk against coverage (Geifman et al. 2019): the mean of `risk_coverage`."""
    return float(risk_coverage(confidence, correct).mean())


def lower_limit(correct: np.ndarray | int, n: np.ndarray | int, level: float = LEVEL) -> np.ndarray:
    """The one-sided lower confidence limit of a share (Clopper and Pearson 1934), float64 in the arguments' shape.

    Args:
        correct: successes, 0 to n.
        n: trials, at least 1.
        level: the probability, at least, with which the limit is at most the share.
    """
    correct, n = np.asarray(correct, np.float64), np.asarray(n, np.float64)
    return np.where(correct > 0, stats.beta.ppf(1 - level, np.maximum(correct, 1), n - correct + 1), 0.0)


def coverage_threshold(
    confidence: np.ndarray, correct: np.ndarray, target: float = TARGET, level: float = LEVEL
) -> float | None:
    """The confidence at and above which readings are correct with a share of at least `target`, at confidence `level`.

    Choose it on valid: this is selective classification (El-Yaniv and Wiener 2010) with a guaranteed risk (Geifman and
    El-Yaniv 2017). A threshold holds where the Clopper-Pearson limit of the accuracy of what it accepts reaches the
    target. Many thresholds are tried, each of which could hold by luck. They are therefore tested one after the other
    as a fixed sequence, from the most confident readings down, up to the first that does not hold (Learn then Test,
    Angelopoulos et al. 2021, section 3.2): every test then has the whole level, where the union bound of Geifman and
    El-Yaniv divides it by the steps of their binary search. docs/scores.md compares the two. The first threshold is
    the highest that could hold: the one that accepts as many readings as would be enough if all were correct, 460 for
    99.5 % at 90 %. The order and the beginning depend on the confidences alone, not on what is correct.

    The guarantee is for pictures drawn as those of valid were, if accuracy does not rise as the threshold falls. The
    threshold lies on a grid of 1e-6, so the stored value with six decimals accepts the same pictures.

    Args:
        confidence: float (n,), 0 to 1.
        correct: bool (n,), exact matches.
        target: the accuracy to reach, above 0 and below 1.
        level: the probability, at least, with which a threshold that is returned reaches it, below 1.

    Returns:
        The threshold; None where none holds, so that nothing can be accepted.

    Raises:
        DataError: there are no pictures.
    """
    expect_pictures(correct)
    confidence = confidence.astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    correct_from = np.append(np.cumsum(correct[order][::-1])[::-1], 0)
    grid = np.unique(np.floor(confidence * 10**DECIMALS))[::-1] / 10**DECIMALS
    first = np.searchsorted(confidence[order], grid, side="left")
    accepted = len(confidence) - first
    testable = (accepted > 0) & (lower_limit(accepted, np.maximum(accepted, 1), level) >= target)
    grid, accepted, matches = grid[testable], accepted[testable], correct_from[first[testable]]
    failed = np.append(lower_limit(matches, accepted, level) < target, True)
    held = int(failed.argmax())
    return round(float(grid[held - 1]), DECIMALS) if held else None


def coverage(confidence: np.ndarray, correct: np.ndarray, threshold: float | None) -> tuple[float, float | None]:
    """The share of the pictures accepted at `threshold`, and their accuracy; 0 and None where nothing is accepted.

    Args:
        confidence: float (n,), 0 to 1.
        correct: bool (n,), exact matches.
        threshold: of `coverage_threshold`; None accepts nothing.

    Raises:
        DataError: there are no pictures.
    """
    expect_pictures(correct)
    if threshold is None:
        return 0.0, None
    accepted = confidence.astype(np.float64) >= threshold
    return float(accepted.mean()), float(correct[accepted].mean()) if accepted.any() else None

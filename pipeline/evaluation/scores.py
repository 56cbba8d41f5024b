"""The scores of one model: every measure of a split, and the one threshold from which its readings are accepted."""

import numpy as np

from pipeline.evaluation.accuracy import (
    accuracy_power_n,
    count_accuracy,
    digit_accuracy,
    per_slot_accuracy,
    rounded,
    slot_accuracy,
    wilson,
)
from pipeline.evaluation.calibration import (
    LEVEL,
    TARGET,
    adaptive_ece,
    aurc,
    brier,
    coverage,
    coverage_threshold,
    ece,
    negative_log_likelihood,
)
from pipeline.evaluation.detection import average_precision
from pipeline.evaluation.evaluated import Evaluated, Results
from pipeline.records.calibration import CalibrationRecord
from pipeline.records.evaluation import Accepted, Coverage, Evaluation, OperatingPoint, SplitScores
from pipeline.records.export import ExportRecord


def evaluation(model: ExportRecord, results: Results) -> Evaluation:
    """Everything that `evaluate` records of a model.

    Args:
        model: what was evaluated.
        results: its readings by suite and split; each suite has `valid`, `gate` and `test`.
    """
    together = pooled_coverage(results, model.calibration)
    return Evaluation(
        strategy=model.strategy,
        task=model.task,
        origin=model.origin,
        precision=model.precision,
        parameters=model.parameters,
        deployable=model.deployable,
        pretrained=model.pretrained,
        sha256=model.model.sha256,
        suites=by_suite(results, together.threshold),
        coverage=together,
    )


def by_suite(results: Results, threshold: float | None) -> dict[str, dict[str, SplitScores]]:
    """Scores by suite and split.

    Args:
        results: readings by suite and split.
        threshold: of `pooled_coverage`; None where none holds.
    """
    return {
        suite: {split: measure(evaluated, threshold) for split, evaluated in splits.items()}
        for suite, splits in results.items()
    }


def measure(evaluated: Evaluated, threshold: float | None) -> SplitScores:
    """The scores of one split, rounded to six decimals.

    Args:
        evaluated: n readings and their targets.
        threshold: of `pooled_coverage`; None where none holds, so that nothing is accepted.
    """
    readings, pictures, correct = evaluated.readings, evaluated.pictures, evaluated.correct
    matches, n = int(correct.sum()), len(correct)
    low, high = wilson(matches, n)
    share, accuracy = coverage(readings.confidence, correct, threshold)
    boxes = average_precision(readings, pictures)
    of_digits = digit_accuracy(readings.classes, pictures.labels, evaluated.blank, evaluated.positional)
    slots = per_slot_accuracy(readings.classes, pictures.labels).tolist() if evaluated.positional else None
    return SplitScores(
        origin=pictures.origin,
        n=n,
        digit_accuracy=rounded(of_digits),
        slot_accuracy=rounded(slot_accuracy(readings.classes, pictures.labels)) if evaluated.positional else None,
        sequence_accuracy=rounded(matches / n),
        ci_low=rounded(low),
        ci_high=rounded(high),
        accuracy_power_n=rounded(accuracy_power_n(of_digits, pictures.labels, evaluated.blank)),
        count_accuracy=rounded(count_accuracy(readings.classes, pictures.labels, evaluated.blank)),
        ap=rounded(boxes.ap if boxes else None),
        ap50=rounded(boxes.ap50 if boxes else None),
        ap75=rounded(boxes.ap75 if boxes else None),
        coverage_995=rounded(share),
        accuracy_at_coverage=rounded(accuracy),
        ece=rounded(ece(readings.confidence, correct)),
        adaptive_ece=rounded(adaptive_ece(readings.confidence, correct)),
        nll=rounded(negative_log_likelihood(readings.confidence, correct)),
        brier=rounded(brier(readings.confidence, correct)),
        aurc=rounded(aurc(readings.confidence, correct)),
        threshold=threshold,
        slots=None if slots is None else tuple(rounded(accuracy) for accuracy in slots),
    )


def pooled_coverage(results: Results, calibration: CalibrationRecord | None = None) -> Coverage:
    """One threshold for all suites, and what it accepts of each split.

    Serving uses this one, since a service does not know which suite a picture is from. The leaderboard uses it too: a
    suite alone has too few pictures of valid for most thresholds to hold.

    Args:
        results: readings by suite and split.
        calibration: of the model, whose threshold holds under shift too. Its confidence was fitted on valid, so that
            what is accepted of valid is no measure of it. Without one the threshold is chosen here, on the valid splits
            together, for the model's own confidence.
    """
    threshold = coverage_threshold(*_pooled(results, "valid")) if calibration is None else calibration.threshold

    def accepted(split: str, threshold: float | None = threshold) -> Accepted:
        share, accuracy = coverage(*_pooled(results, split), threshold)
        return Accepted(share=rounded(share), accuracy=rounded(accuracy))

    return Coverage(
        target=TARGET,
        level=LEVEL,
        threshold=threshold,
        valid=accepted("valid"),
        gate=accepted("gate"),
        test=accepted("test"),
        points=tuple(
            OperatingPoint(target=float(target), threshold=each, test=accepted("test", each))
            for target, each in (calibration.thresholds if calibration else {}).items()
        ),
    )


def _pooled(results: Results, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Confidence, float32 (n,), and exact matches, bool (n,), of a split of all suites.

    Suites that have the same pictures under other labels, such as published and reviewed ones, are no independent
    readings: they count once, as correct where every suite says so.
    """
    pooled: list[tuple[Evaluated, np.ndarray]] = []
    for splits in results.values():
        evaluated = splits[split]
        for index, (other, correct) in enumerate(pooled):
            if np.array_equal(evaluated.pictures.images, other.pictures.images):
                pooled[index] = (other, correct & evaluated.correct)
                break
        else:
            pooled.append((evaluated, evaluated.correct))
    return (
        np.concatenate([evaluated.readings.confidence for evaluated, _ in pooled]),
        np.concatenate([correct for _, correct in pooled]),
    )

"""The scores of one model: every measure of a split, and what one threshold accepts of all suites together."""

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
from pipeline.evaluation.calibration import TARGET, coverage, coverage_threshold, ece
from pipeline.evaluation.detection import map50
from pipeline.evaluation.evaluated import Evaluated, Results
from pipeline.records.evaluation import Accepted, Coverage, Evaluation, SplitScores
from pipeline.records.export import ExportRecord


def evaluation(model: ExportRecord, results: Results) -> Evaluation:
    """Everything that `evaluate` records of a model.

    Args:
        model: what was evaluated.
        results: its readings by suite and split; each suite has `valid`, `gate` and `test`.
    """
    return Evaluation(
        strategy=model.strategy,
        task=model.task,
        origin=model.origin,
        precision=model.precision,
        parameters=model.parameters,
        deployable=model.deployable,
        pretrained=model.pretrained,
        sha256=model.model.sha256,
        suites=by_suite(results),
        coverage=pooled_coverage(results),
    )


def by_suite(results: Results) -> dict[str, dict[str, SplitScores]]:
    """Scores by suite and split. The threshold of a suite is chosen on its split `valid`."""
    scores = {}
    for suite, splits in results.items():
        threshold = coverage_threshold(splits["valid"].readings.confidence, splits["valid"].correct)
        scores[suite] = {split: measure(evaluated, threshold) for split, evaluated in splits.items()}
    return scores


def measure(evaluated: Evaluated, threshold: float | None) -> SplitScores:
    """The scores of one split, rounded to six decimals.

    Args:
        evaluated: n readings and their targets.
        threshold: of `coverage_threshold`, chosen on the suite's valid split; None when none reached the target.
    """
    readings, pictures, correct = evaluated.readings, evaluated.pictures, evaluated.correct
    matches, n = int(correct.sum()), len(correct)
    low, high = wilson(matches, n)
    share, accuracy = coverage(readings.confidence, correct, threshold)
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
        map50=rounded(map50(readings, pictures)),
        coverage_995=rounded(share),
        accuracy_at_coverage=rounded(accuracy),
        ece=rounded(ece(readings.confidence, correct)),
        threshold=threshold,
        slots=None if slots is None else tuple(rounded(accuracy) for accuracy in slots),
    )


def pooled_coverage(results: Results) -> Coverage:
    """One threshold for all suites, chosen on their valid splits together, and what it accepts of each split.

    Serving uses this one, since a service does not know which suite a picture is from.
    """
    pooled = {
        split: (
            np.concatenate([splits[split].readings.confidence for splits in results.values()]),
            np.concatenate([splits[split].correct for splits in results.values()]),
        )
        for split in ("valid", "gate", "test")
    }
    threshold = coverage_threshold(*pooled["valid"])

    def accepted(split: str) -> Accepted:
        share, accuracy = coverage(*pooled[split], threshold)
        return Accepted(share=rounded(share), accuracy=rounded(accuracy))

    return Coverage(
        target=TARGET, threshold=threshold, valid=accepted("valid"), gate=accepted("gate"), test=accepted("test")
    )

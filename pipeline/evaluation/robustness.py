"""How a model in its served form reads corrupted pictures, and what it accepts of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.core.errors import DataError
from pipeline.corruptions import sets
from pipeline.corruptions.sets import IDENTITY
from pipeline.evaluation import inference
from pipeline.evaluation.accuracy import rounded
from pipeline.evaluation.calibration import coverage
from pipeline.evaluation.evaluated import Evaluated
from pipeline.records.evaluation import Evaluation
from pipeline.records.export import ExportRecord
from pipeline.records.robustness import Robustness, Shift, ShiftScores
from pipeline.runtime.model import OnnxModel


def threshold_of(record: ExportRecord, evaluation: Evaluation) -> float | None:
    """The calibrated threshold of a model: the confidence from which a reading is accepted; None where none holds.

    Raises:
        DataError: another model was evaluated.
    """
    if evaluation.sha256 != record.model.sha256:
        raise DataError(
            f"{record.strategy}: the model that was evaluated is {evaluation.sha256[:12]}, expected "
            f"{record.model.sha256[:12]}, the exported one; `dvc repro evaluate@{record.strategy}` evaluates it"
        )
    return evaluation.coverage.threshold


def robustness(
    path: Path, record: ExportRecord, threshold: float | None, suites: Sequence[str], folder: Path
) -> Robustness:
    """Read every corrupted set of the suites, and the other collections of the task.

    Args:
        path: the ONNX file.
        record: of the model.
        threshold: of `threshold_of`.
        suites: that the model can read.
        folder: of `pipeline.corruptions.sets`, of the model's task.

    Raises:
        DataError: the model, pictures or regions are missing, damaged or do not fit together.
    """
    model = OnnxModel.load(path, threads=inference.THREADS)
    scores: dict[str, dict[str, dict[int, ShiftScores]]] = {}
    listed = [each for suite in suites for each in sets.corrupted(folder, suite)]
    for each in tqdm(listed, desc=record.strategy, unit="set", leave=False, disable=None):
        read = inference.read(model, record, each.file, each.regions)
        scores.setdefault(each.suite, {}).setdefault(each.corruption, {})[each.severity] = measured(read, threshold)
    others = {
        name: measured(inference.read(model, record, file, None), threshold)
        for name, file in sets.collections(folder).items()
        if record.regions is None
    }
    return Robustness(
        strategy=record.strategy,
        task=record.task,
        origin=record.origin,
        sha256=record.model.sha256,
        threshold=threshold,
        suites=scores,
        collections=others,
        shift=shift(scores, others),
    )


def measured(read: Evaluated, threshold: float | None) -> ShiftScores:
    """The scores of readings, rounded to six decimals; at a threshold of None nothing is accepted."""
    confidence = read.readings.confidence
    accepted, accuracy = coverage(confidence, read.correct, threshold)
    return ShiftScores(
        n=len(read),
        accuracy=rounded(read.correct.mean()),
        accepted=rounded(accepted),
        accepted_wrong=0.0 if accuracy is None else rounded(accepted * (1 - accuracy)),
        confidence=rounded(float(confidence.mean(dtype=np.float64))),
    )


def shift(
    suites: Mapping[str, Mapping[str, Mapping[int, ShiftScores]]], collections: Mapping[str, ShiftScores]
) -> Shift:
    """The figures in short.

    Args:
        suites: scores by suite, corruption and severity, with `identity` in each suite.
        collections: scores by name of the collection.

    Raises:
        DataError: a suite has no pictures as they are, or no corrupted ones.
    """
    clean: list[ShiftScores] = []
    corrupted: dict[str, ShiftScores] = {}
    for suite, corruptions in suites.items():
        if IDENTITY not in corruptions or len(corruptions) == 1:
            raise DataError(f"{suite}: found {', '.join(corruptions)}; expected {IDENTITY} and at least one corruption")
        clean += corruptions[IDENTITY].values()
        corrupted |= {
            f"{suite} {name} {severity}": scores
            for name, severities in corruptions.items()
            if name != IDENTITY
            for severity, scores in severities.items()
        }
    everything = {**corrupted, **collections}
    worst = max(everything, key=lambda name: everything[name].accepted_wrong)

    def mean(scores: Sequence[ShiftScores], name: str) -> float:
        return rounded(float(np.mean([getattr(each, name) for each in scores])))

    read = list(corrupted.values())
    return Shift(
        pictures=sum(each.n for each in read),
        clean_accuracy=mean(clean, "accuracy"),
        clean_accepted=mean(clean, "accepted"),
        accuracy=mean(read, "accuracy"),
        accepted=mean(read, "accepted"),
        accepted_wrong=mean(read, "accepted_wrong"),
        worst=everything[worst].accepted_wrong,
        worst_on=worst,
    )

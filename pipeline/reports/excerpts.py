"""The pictures of a suite that a strategy misreads, and what every strategy reads of the same pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation import calibration
from pipeline.evaluation.accuracy import rounded
from pipeline.evaluation.evaluated import Evaluated
from pipeline.records.excerpt import Bin, Excerpt, StrategyExcerpt

SPLIT = "test"
"""Whose pictures are taken."""
ERRORS = 300
"""Most errors of one strategy on one suite, the most confident first."""
DOUBTS = 16
"""Correct readings of one strategy on one suite, the least confident first: what it almost misreads."""


@dataclass(frozen=True)
class SuiteExcerpt:
    """An excerpt with its arrays.

    Attributes:
        record: what was taken.
        pictures: the pictures that were taken.
        readings: of those, by strategy.
    """

    record: Excerpt
    pictures: ImageSet
    readings: Mapping[str, Evaluated]


def read(path: Path, pictures: ImageSet) -> Evaluated:
    """What a strategy reads of these pictures, from the file that `evaluate` or `save` wrote.

    Raises:
        DataError: the file is missing or damaged, or its arrays do not fit together or the pictures.
    """
    readings = Readings.load(path)
    n, slots = (*readings.classes.shape, 0, 0)[:2]
    shapes = {
        "classes": (readings.classes, (n, slots)),
        "probabilities": (readings.probabilities, (n, slots, *readings.probabilities.shape[2:3])),
        "confidence": (readings.confidence, (n,)),
        "boxes": (readings.boxes, (n, slots, 4)),
    }
    for name, (array, expected) in shapes.items():
        if array is not None and array.shape != expected:
            raise DataError(
                f"{path}: {name} have the shape {array.shape}, expected {expected}; remove it and run again"
            )
    if readings.classes.size and int(readings.classes.max()) >= readings.probabilities.shape[-1]:
        raise DataError(f"{path}: class {readings.classes.max()}, expected one that has a probability")
    if readings.boxes is not None and not np.isfinite(readings.boxes).all():
        raise DataError(f"{path}: boxes hold NaN or infinity, expected pixels")
    try:
        return Evaluated.of(readings, pictures)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def choose(evaluated: Evaluated) -> np.ndarray:
    """Rising indices of at most `ERRORS` errors, the most confident, and `DOUBTS` correct readings, the least.

    Readings of equal confidence are taken in the order of the pictures.
    """
    confidence = evaluated.readings.confidence
    wrong, correct = np.flatnonzero(~evaluated.correct), np.flatnonzero(evaluated.correct)
    errors = wrong[np.argsort(-confidence[wrong], kind="stable")][:ERRORS]
    doubts = correct[np.argsort(confidence[correct], kind="stable")][:DOUBTS]
    return np.sort(np.concatenate([errors, doubts]))


def excerpt(task: str, suite: str, read: Mapping[str, Evaluated]) -> SuiteExcerpt:
    """Take every picture that `choose` gives for some strategy.

    Args:
        task: of the suite.
        suite: its name.
        read: what each strategy that reads it reads of all its pictures, by name; at least one.
    """
    indices = np.unique(np.concatenate([choose(evaluated) for evaluated in read.values()]))
    whole = next(iter(read.values())).pictures
    pictures = whole.take(indices)
    record = Excerpt(
        task=task,
        suite=suite,
        split=SPLIT,
        n=len(whole),
        indices=tuple(indices.tolist()),
        strategies={name: _strategy(evaluated) for name, evaluated in read.items()},
    )
    readings = {
        name: Evaluated.of(evaluated.readings.take(indices), pictures, evaluated.positional)
        for name, evaluated in read.items()
    }
    return SuiteExcerpt(record, pictures, readings)


def save(taken: SuiteExcerpt, folder: Path) -> None:
    """Write an excerpt as `Excerpt` says."""
    suite = taken.record.suite
    taken.record.write(folder / f"{suite}.json")
    taken.pictures.save(folder / f"{suite}.npz")
    for strategy, evaluated in taken.readings.items():
        evaluated.readings.save(folder / f"{suite}-{strategy}.npz")


def load(folder: Path, suite: str) -> SuiteExcerpt:
    """Read what `save` wrote.

    Raises:
        DataError: a file is missing or damaged, or the arrays do not fit together.
    """
    record = Excerpt.read(folder / f"{suite}.json")
    pictures = ImageSet.load(folder / f"{suite}.npz")
    if len(pictures) != len(record.indices):
        raise DataError(f"{folder / suite}.npz: {len(pictures)} pictures, expected {len(record.indices)}; run again")
    readings = {name: read(folder / f"{suite}-{name}.npz", pictures) for name in record.strategies}
    return SuiteExcerpt(record, pictures, readings)


def _strategy(evaluated: Evaluated) -> StrategyExcerpt:
    bins = calibration.reliability(evaluated.readings.confidence, evaluated.correct)
    wrong = int((~evaluated.correct).sum())
    return StrategyExcerpt(
        wrong=wrong,
        listed=min(wrong, ERRORS),
        reliability=tuple(
            Bin(count=count, confidence=rounded(confidence), accuracy=rounded(accuracy))
            for count, confidence, accuracy in zip(
                bins.count.tolist(), bins.confidence.tolist(), bins.accuracy.tolist(), strict=True
            )
        ),
    )

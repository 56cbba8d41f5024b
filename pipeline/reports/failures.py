"""The worst slices of a task with pictures of their errors: what `analyze` writes for the page of `report`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.analysis import slices
from pipeline.analysis.slices import Slice, SliceScore
from pipeline.core.errors import DataError
from pipeline.evaluation.evaluated import Evaluated
from pipeline.plots.galleries import as_text
from pipeline.records.analysis import WorstSlice, WorstSlices, WrongReading
from pipeline.reports import sprites

RECORD = "slices.json"
EXPLANATIONS = "explanations.json"
"""The record beside the sheets of `explain`."""
MOST = 5
"""Pictures of a slice."""


@dataclass(frozen=True)
class Failures:
    """The worst slices of a task.

    Attributes:
        record: what they are.
        pictures: the PNG of each, by file name.
    """

    record: WorstSlices
    pictures: Mapping[str, bytes]


def collect(
    task: str,
    split: str,
    rows: Sequence[SliceScore],
    read: Mapping[tuple[str, str], tuple[Evaluated, Sequence[Slice], float | None]],
    *,
    level: float,
    least: int,
) -> Failures:
    """Name the worst slices, and take pictures of their errors.

    Args:
        task: of the suites.
        split: whose pictures were read.
        rows: of `slices.corrected`.
        read: by strategy and suite, the readings, the slices of the suite, and the threshold of accepted readings.
        level: of the tests.
        least: pictures of a slice that is judged.
    """
    worst, pictures = [], {}
    for row, by in slices.worst(rows, level):
        evaluated, parts, threshold = read[row.strategy, row.suite]
        part = next(each for each in parts if (each.factor, each.name) == (row.factor, row.slice))
        wrong, accepted = slices.outcomes(evaluated, part, threshold)
        happened = wrong if by == "accuracy" else accepted
        chosen = np.unique(part.picture[part.inside & happened])
        chosen = chosen[np.argsort(-evaluated.readings.confidence[chosen], kind="stable")][:MOST]
        file = f"{row.suite}-{row.strategy}-{by}.png"
        pictures[file] = sprites.png(evaluated.pictures.images[chosen], columns=1)
        worst.append(_named(row, by, file, evaluated, chosen))
    tests = sum(p is not None for row in rows for p in (row.accuracy_p, row.accepted_p))
    record = WorstSlices(task=task, split=split, tests=tests, level=level, least=least, worst=tuple(worst))
    return Failures(record, pictures)


def misread(evaluated: Evaluated, index: int) -> WrongReading:
    """What was read of one picture, in words."""
    names = evaluated.pictures.class_names
    return WrongReading(
        index=index,
        prediction=as_text(evaluated.readings.classes[index], names),
        target=as_text(evaluated.pictures.labels[index], names),
        confidence=round(float(evaluated.readings.confidence[index]), 4),
    )


def save(found: Failures, folder: Path) -> None:
    """Write the record and the pictures to a folder that exists."""
    found.record.write(folder / RECORD)
    for name, content in found.pictures.items():
        (folder / name).write_bytes(content)


def load(folder: Path) -> Failures:
    """Read what `save` wrote.

    Raises:
        DataError: a file is missing or damaged.
    """
    record = WorstSlices.read(folder / RECORD)
    return Failures(record, {each.picture: png(folder / each.picture) for each in record.worst})


def png(path: Path) -> bytes:
    """The bytes of a PNG that a stage wrote.

    Raises:
        DataError: it is missing, or is no PNG.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; run `make repro` to make it")
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise DataError(f"{path}: not a PNG; remove it and run again")
    return content


def _named(row: SliceScore, by: str, file: str, evaluated: Evaluated, chosen: np.ndarray) -> WorstSlice:
    accuracy = by == "accuracy"
    p = row.accuracy_p if accuracy else row.accepted_p
    assert p is not None  # only slices that were judged are named
    return WorstSlice(
        strategy=row.strategy,
        suite=row.suite,
        by="accuracy" if accuracy else "accepted_wrong",
        unit="digit" if row.unit == "digit" else "picture",
        factor=row.factor,
        slice=row.slice,
        n=row.n,
        share=row.accuracy if accuracy else row.accepted_wrong,
        low=row.low if accuracy else row.accepted_low,
        high=row.high if accuracy else row.accepted_high,
        rest=row.rest if accuracy else row.accepted_rest,
        p=p,
        picture=file,
        readings=tuple(misread(evaluated, index) for index in chosen.tolist()),
    )

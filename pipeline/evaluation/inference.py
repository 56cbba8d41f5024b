"""Reads the suites of a task with an exported model in ONNX Runtime, and measures how long that takes."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings, left_to_right
from pipeline.evaluation.evaluated import Evaluated, Results
from pipeline.preprocessing import proposals
from pipeline.records.export import ExportRecord
from pipeline.records.timing import EvaluationTiming
from pipeline.runtime.model import OnnxModel

SPLITS = ("valid", "gate", "test")
BATCH = 256
THREADS = 2
"""Of one run in ONNX Runtime. Fixed, so that a reading does not depend on the machine's number of cores."""


def suites_to_read(record: ExportRecord, reported: Sequence[str], data: Path) -> list[str]:
    """The suites that the model can read, that count for its task, and that were composed.

    Args:
        record: of the model.
        reported: the suites on which the strategies of its task are scored.
        data: folder of `SUITE/SPLIT.npz`.

    Raises:
        DataError: there are none.
    """
    suites = [suite for suite in record.suites if suite in reported and (data / suite).is_dir()]
    if not suites:
        raise DataError(f"{data}: none of the suites that {record.strategy} can read: {', '.join(record.suites)}")
    return suites


def read_suites(
    path: Path, record: ExportRecord, suites: Sequence[str], *, data: Path, features: Path
) -> tuple[Results, EvaluationTiming]:
    """Read `valid`, `gate` and `test` of each suite.

    Args:
        path: the ONNX file.
        record: of the model.
        suites: of `suites_to_read`.
        data: folder of `SUITE/SPLIT.npz`, the pictures.
        features: folder of `SUITE/SPLIT.npz`, the regions of each picture, for a model that takes them.

    Returns:
        The readings, slots from left to right, and the wall clock of reading them.

    Raises:
        DataError: the model, pictures or regions are missing, damaged or do not fit together.
    """
    model = OnnxModel.load(path, threads=THREADS)
    results: dict[str, dict[str, Evaluated]] = {}
    seconds = {}
    for suite in suites:
        pictures = {split: _pictures(record, data / suite / f"{split}.npz") for split in SPLITS}
        regions = {split: _regions(record, features / suite / f"{split}.npz", len(pictures[split])) for split in SPLITS}
        started = time.perf_counter()
        readings = {split: _read(model, pictures[split], regions[split], f"{suite} {split}") for split in SPLITS}
        seconds[suite] = round(time.perf_counter() - started, 3)
        results[suite] = {
            split: Evaluated.of(_ordered(record, readings[split]), pictures[split], record.positional)
            for split in SPLITS
        }
    single, first = OnnxModel.load(path, threads=1), suites[0]
    images = results[first]["valid"].pictures.images
    regions_of_first = _regions(record, features / first / "valid.npz", len(images))
    timing = EvaluationTiming(
        seconds=round(sum(seconds.values()), 3),
        seconds_by_suite=seconds,
        ms_per_picture_batch_1=milliseconds(single, images, regions_of_first, batch=1, times=30),
        threads_batch_1=1,
        ms_per_picture_batch_256=milliseconds(model, images, regions_of_first, batch=BATCH, times=5),
        threads_batch_256=THREADS,
    )
    return results, timing


def read(model: OnnxModel, record: ExportRecord, pictures: Path, regions: Path | None) -> Evaluated:
    """Read one file of pictures.

    Args:
        model: what reads.
        record: of the model.
        pictures: the file.
        regions: the file of their regions, for a model that takes them.

    Raises:
        DataError: a file is missing or damaged, or does not fit the model.
    """
    loaded = _pictures(record, pictures)
    proposed = None if record.regions is None or regions is None else proposals.load(regions, len(loaded))
    readings = model.read(loaded.images, proposed, batch=BATCH)
    return Evaluated.of(_ordered(record, readings), loaded, record.positional)


def milliseconds(model: OnnxModel, images: np.ndarray, regions: np.ndarray | None, *, batch: int, times: int) -> float:
    """Median wall clock of reading the first pictures in one run, divided by their number.

    Args:
        model: what reads.
        images: uint8 (n, H, W, C).
        regions: float32 (n, k, 4), for a model that takes them.
        batch: pictures in the run; fewer where there are fewer.
        times: measured runs, after one that is not measured.
    """
    run = partial(model.read, images[:batch], None if regions is None else regions[:batch])
    run()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return round(1000 * statistics.median(taken) / min(batch, len(images)), 4)


def _pictures(record: ExportRecord, path: Path) -> ImageSet:
    pictures = ImageSet.load(path)
    # The scores of a model of the stand-in are scores of the stand-in, whatever it reads.
    return replace(pictures, origin="embedded") if record.origin == "embedded" else pictures


def _regions(record: ExportRecord, path: Path, pictures: int) -> np.ndarray | None:
    return None if record.regions is None else proposals.load(path, pictures)


def _read(model: OnnxModel, pictures: ImageSet, regions: np.ndarray | None, name: str) -> Readings:
    bar = partial(tqdm, desc=name, unit="batch", leave=False, disable=None)
    return model.read(pictures.images, regions, batch=BATCH, progress=bar)


def _ordered(record: ExportRecord, readings: Readings) -> Readings:
    return readings if record.positional else left_to_right(readings, record.blank)

"""Reads every suite that a strategy can read, and scores the readings."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline import command, figures, models, scoring
from pipeline.errors import DataError
from pipeline.files import read_json, replacing, write_json
from pipeline.images import ImageSet

SPLITS = ("valid", "gate", "test")
BATCH = 256
CARRIED = ("task", "origin", "precision", "parameters", "deployable", "pretrained")
"""What the evaluation repeats of the training, so that the comparison needs no model."""


def main(strategy: str, model: Path, data: Path, predictions: Path, out: Path, pictures: Path, timings: Path) -> None:
    """Read valid, gate and test of each suite below `data` that the strategy can read.

    Writes the readings as `SUITE-SPLIT.npz`, their scores, the time they took, and per suite two pictures: a sheet of
    what is confused, calibrated and hard (test), and a gallery of the worst readings (valid, on which work is steered).
    """
    training = read_json(model / "training.json")
    positional = training.get("positional", True)
    network = models.load(model / "model.keras")
    suites = [suite for suite in training["suites"] if (data / suite).is_dir()]
    if not suites:
        raise DataError(f"{data}: none of the suites that {strategy} can read: {', '.join(training['suites'])}")
    truth = {suite: {split: _pictures(data / suite / f"{split}.npz", training) for split in SPLITS} for suite in suites}
    said, seconds = {}, {}
    for suite, splits in truth.items():
        started = time.perf_counter()
        said[suite] = {
            split: models.read(network, images.images, progress=f"{suite} {split}") for split, images in splits.items()
        }
        seconds[suite] = round(time.perf_counter() - started, 3)

    scores = scoring.evaluation(said, truth, positional)
    with replacing(predictions) as folder:
        for suite in suites:
            for split in SPLITS:
                said[suite][split].save(folder / f"{suite}-{split}.npz")
    with replacing(pictures) as folder:
        for suite, splits in truth.items():
            note = " (embedded stand-in)" if splits["valid"].origin == "embedded" else ""
            sheet = figures.sheet(said[suite]["test"], splits["test"], f"{strategy} on {suite}, test{note}", positional)
            figures.save(sheet, folder / f"{suite}-sheet.png")
            worst = figures.gallery(said[suite]["valid"], splits["valid"], f"{strategy} on {suite}, valid{note}")
            figures.save(worst, folder / f"{suite}-worst.png")
    write_json(out, {"strategy": strategy, **{key: training[key] for key in CARRIED}, **scores})
    read = models.reader(network)
    write_json(
        timings,
        {
            "seconds": round(sum(seconds.values()), 3),
            "seconds_by_suite": seconds,
            "ms_per_picture_batch_1": _milliseconds(read, splits["valid"].images[:1], 30),
            "ms_per_picture_batch_256": _milliseconds(read, splits["valid"].images[:BATCH], 5),
        },
    )


def _pictures(path: Path, training: dict) -> ImageSet:
    """A model of the stand-in says so whatever it reads."""
    pictures = ImageSet.load(path)
    return replace(pictures, origin="embedded") if training["origin"] == "embedded" else pictures


def _milliseconds(read: Callable, images: np.ndarray, times: int) -> float:
    """Median wall clock of one call, per picture."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        read(images)
        taken.append(time.perf_counter() - started)
    return round(1000 * statistics.median(taken) / len(images), 4)


if __name__ == "__main__":
    command.run(main)

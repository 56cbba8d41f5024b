"""Reads every suite that a strategy can read, and scores the readings."""

import time
from dataclasses import replace
from pathlib import Path

from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.core.files import read_json, replacing, write_json
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings, left_to_right
from pipeline.evaluation import scoring
from pipeline.plots import galleries
from pipeline.project import command
from pipeline.training import models

SPLITS = ("valid", "gate", "test")
CARRIED = ("task", "origin", "precision", "parameters", "deployable", "pretrained")
"""What the evaluation repeats of the training, so that the comparison needs no model."""


def main(strategy: str, model: Path, data: Path, predictions: Path, out: Path, pictures: Path, timings: Path) -> None:
    """Read valid, gate and test of each suite below `data` that the strategy can read.

    Writes the readings from left to right as `SUITE-SPLIT.npz`, their scores, the time they took, and per suite three
    pictures: right and wrong readings and the worst readings (of valid, on which work is steered), and a sheet of what
    is confused, calibrated and hard (test).
    """
    training = read_json(model / "training.json")
    positional = training["positional"]
    graph = models.reader(models.load(model / "model.keras"))
    reported = params.load(Path("params.yaml")).suites_of(training["task"])
    suites = [suite for suite in training["suites"] if suite in reported and (data / suite).is_dir()]
    if not suites:
        raise DataError(f"{data}: none of the suites that {strategy} can read: {', '.join(training['suites'])}")
    truth = {suite: {split: _pictures(data / suite / f"{split}.npz", training) for split in SPLITS} for suite in suites}
    said, seconds = {}, {}
    for suite, splits in truth.items():
        started = time.perf_counter()
        said[suite] = {
            split: models.read(graph, images.images, progress=f"{suite} {split}") for split, images in splits.items()
        }
        seconds[suite] = round(time.perf_counter() - started, 3)
        if not positional:
            said[suite] = {split: _ordered(read, splits[split]) for split, read in said[suite].items()}

    scores = scoring.evaluation(said, truth, positional)
    with replacing(predictions) as folder:
        for suite in suites:
            for split in SPLITS:
                said[suite][split].save(folder / f"{suite}-{split}.npz")
    with replacing(pictures) as folder:
        for suite in suites:
            galleries.save_evaluation(folder, strategy, suite, said[suite], truth[suite], positional)
    write_json(out, {"strategy": strategy, **{key: training[key] for key in CARRIED}, **scores})
    some = truth[suites[0]]["valid"].images
    clock = {
        "seconds": round(sum(seconds.values()), 3),
        "seconds_by_suite": seconds,
        "ms_per_picture_batch_1": models.milliseconds(graph, some[:1], times=30),
        "ms_per_picture_batch_256": models.milliseconds(graph, some[:256], times=5),
    }
    write_json(timings, clock)


def _ordered(read: Readings, pictures: ImageSet) -> Readings:
    return left_to_right(read, scoring.blank_of(pictures.class_names))


def _pictures(path: Path, training: dict) -> ImageSet:
    """A model of the stand-in says so whatever it reads."""
    pictures = ImageSet.load(path)
    return replace(pictures, origin="embedded") if training["origin"] == "embedded" else pictures


if __name__ == "__main__":
    command.run(main)

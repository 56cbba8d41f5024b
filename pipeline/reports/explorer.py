"""What the script of the report works from: pictures, readings, confusions, calibration and curves, as plain JSON."""

import base64
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from pipeline.core.errors import DataError
from pipeline.evaluation import confusion
from pipeline.evaluation.accuracy import DECIMALS
from pipeline.evaluation.evaluated import Evaluated
from pipeline.reports import sprites
from pipeline.reports.charts import charts
from pipeline.reports.excerpts import SuiteExcerpt
from pipeline.reports.overview import Overview

METRICS = {"loss": "loss", "exact_match": "exact match"}
"""The metrics of the training loop that are drawn, and what the page calls them."""


@dataclass(frozen=True)
class Sprite:
    """The pictures of one suite: the `id` of its element, and the `source` of that, a data URL."""

    id: str
    source: str


def sprite(number: int, excerpt: SuiteExcerpt) -> Sprite:
    """The sprite of an excerpt, the `number`-th of the page."""
    encoded = base64.b64encode(sprites.png(excerpt.pictures.images)).decode("ascii")
    return Sprite(f"sprite-{number}", f"data:image/png;base64,{encoded}")


def content(overview: Overview, excerpts: Sequence[SuiteExcerpt], evaluation: Path) -> dict[str, Any]:
    """All data of the page's script.

    Args:
        overview: the records of all tasks.
        excerpts: of the suites, in the order of the page; the i-th has the sprite `sprite-I`.
        evaluation: folder of `TASK/STRATEGY/SUITE-confusion.csv`.

    Raises:
        DataError: a confusion matrix is missing.
    """
    strategies = {
        task: [standing.strategy for standing in candidate.standings] for task, candidate in overview.candidates.items()
    }
    return {
        "charts": charts(),
        "metrics": dict(METRICS),
        "suites": [
            _suite(f"sprite-{number}", excerpt, overview, strategies[excerpt.record.task], evaluation)
            for number, excerpt in enumerate(excerpts)
        ],
        "accuracy": {suite: _accuracy(overview, suite) for suites in overview.suites_of.values() for suite in suites},
        "curves": {name: _curves(training.history) for name, training in overview.trainings.items()},
    }


def script_json(value: Mapping[str, Any]) -> Markup:
    """JSON for an element `script`: no character in it can end the element or begin a comment."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"))


def _suite(
    sprite_id: str, excerpt: SuiteExcerpt, overview: Overview, order: Sequence[str], evaluation: Path
) -> dict[str, Any]:
    record, pictures = excerpt.record, excerpt.pictures
    names = list(pictures.class_names)
    highest = max((int(read.readings.probabilities.shape[-1]) for read in excerpt.readings.values()), default=0)
    names += [f"class {index}" for index in range(len(names), highest)]
    return {
        "name": record.suite,
        "task": record.task,
        "split": record.split,
        "n": record.n,
        "classes": names,
        "sprite": sprite_id,
        "columns": sprites.columns_of(pictures.images),
        "size": list(pictures.shape[:2]),
        "indices": list(record.indices),
        "targets": _digits(pictures.labels, pictures.boxes, names),
        "strategies": [
            {
                "name": name,
                "wrong": record.strategies[name].wrong,
                "listed": record.strategies[name].listed,
                "threshold": overview.evaluations[name].suites[record.suite]["test"].threshold,
                "reliability": [
                    {"count": each.count, "confidence": each.confidence, "accuracy": each.accuracy}
                    for each in record.strategies[name].reliability
                    if each.count
                ],
                "confusion": _confusion(evaluation / record.task / name / f"{record.suite}-confusion.csv", names),
                "readings": _readings(excerpt.readings[name], names),
            }
            for name in order
            if name in record.strategies
        ],
    }


def _readings(read: Evaluated, names: Sequence[str]) -> dict[str, Any]:
    """Of each picture: the classes without blanks, their boxes, the confidence, and whether the reading is correct."""
    # Thresholds lie on this grid: a confidence that is cut off reaches one exactly if the confidence itself does.
    confidence = np.floor(read.readings.confidence.astype(np.float64) * 10**DECIMALS) / 10**DECIMALS
    return {
        **_digits(read.readings.classes, read.readings.boxes, names),
        "confidence": confidence.round(DECIMALS).tolist(),
        "correct": read.correct.astype(int).tolist(),
    }


def _digits(classes: np.ndarray, boxes: np.ndarray | None, names: Sequence[str]) -> dict[str, Any]:
    """Rows of classes without blanks, and the boxes of those in whole pixels; `boxes` is None where there are none."""
    kept = classes != (names.index("blank") if "blank" in names else len(names))
    found: dict[str, Any] = {"classes": [row[keep].tolist() for row, keep in zip(classes, kept, strict=True)]}
    found["boxes"] = None
    if boxes is not None:
        whole = np.rint(boxes).astype(int)
        found["boxes"] = [row[keep].tolist() for row, keep in zip(whole, kept, strict=True)]
    return found


def _confusion(path: Path, names: Sequence[str]) -> list[list[int]]:
    """Target, prediction (indices of `names`) and count of every cell that is not 0."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; run `make repro` to make it")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and not set(confusion.COLUMNS) <= set(rows[0]):
        raise DataError(f"{path}: expected the columns {', '.join(confusion.COLUMNS)}, found {', '.join(rows[0])}")
    return [[names.index(row["target"]), names.index(row["prediction"]), int(row["count"])] for row in rows]


def _accuracy(overview: Overview, suite: str) -> list[dict[str, Any]]:
    """The rows of the chart of one suite, best first."""
    rows = {(row.strategy, row.split): row for row in overview.rows if row.suite == suite}
    return [
        {
            "strategy": strategy,
            "test": row.sequence_accuracy,
            "low": row.ci_low,
            "high": row.ci_high,
            "valid": rows[strategy, "valid"].sequence_accuracy,
        }
        for (strategy, split), row in rows.items()
        if split == "test"
    ]


def _curves(history: Sequence[Mapping[str, float]]) -> dict[str, list[dict[str, Any]]]:
    """By metric, the rows of the chart of one training; an epoch without a value is left out."""
    return {
        metric: [
            {"epoch": epoch, "split": split, "value": round(values[name], 6)}
            for split, name in (("train", metric), ("valid", f"val_{metric}"))
            for epoch, values in enumerate(history, 1)
            if name in values
        ]
        for metric in METRICS
    }

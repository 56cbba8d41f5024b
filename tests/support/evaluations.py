"""Readings and records made up for the tests of evaluation, plots and reports."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from onnx_models import CIFAR_NAMES, draw

from pipeline.core.images import BLANK, STRIP_NAMES, ImageSet
from pipeline.core.lines import LINE_SHAPE, LINE_SLOTS
from pipeline.core.readings import Readings, left_to_right
from pipeline.evaluation import robustness as robustness_scores
from pipeline.evaluation import scores
from pipeline.evaluation.evaluated import Evaluated
from pipeline.records.data import Duplicates, ValidationReport
from pipeline.records.evaluation import Evaluation
from pipeline.records.export import ExportRecord, ModelFile, PictureShape
from pipeline.records.robustness import Robustness, ShiftScores
from pipeline.records.training import Task

SUITES = ("plain", "blanks")
SPLITS = ("valid", "gate", "test")


def rows(*texts: str) -> np.ndarray:
    """uint8 (n, slots) of texts in which `_` is a blank."""
    return np.array([[BLANK if c == "_" else int(c) for c in text] for text in texts], np.uint8)


def readings(classes: np.ndarray, confidence: Sequence[float], size: int = 11) -> Readings:
    """Readings that are certain of their classes."""
    classes = np.asarray(classes, np.uint8)
    return Readings(np.eye(size, dtype=np.float32)[classes], classes, np.asarray(confidence, np.float32))


def pictures(labels: np.ndarray, names: tuple[str, ...] = STRIP_NAMES) -> ImageSet:
    """Black pictures with these targets."""
    return ImageSet(np.zeros((len(labels), 4, 20, 1), np.uint8), labels, names, "mnist")


def boxed(
    texts: Sequence[str],
    boxes: Sequence,
    scores: Sequence | None = None,
    confidence: Sequence[float] | None = None,
) -> Readings:
    """Readings with boxes whose classes have the given probabilities, 0.9 where none are given."""
    classes = rows(*texts)
    given = np.full(classes.shape, 0.9) if scores is None else np.asarray(scores)
    probabilities = np.repeat((1 - given)[..., None] / 10, 11, axis=2).astype(np.float32)
    np.put_along_axis(probabilities, classes[..., None].astype(int), given[..., None].astype(np.float32), axis=2)
    sure = np.full(len(classes), 0.5, np.float32) if confidence is None else np.asarray(confidence, np.float32)
    return Readings(probabilities, classes, sure, np.asarray(boxes, np.float32))


def boxed_pictures(texts: Sequence[str], boxes: Sequence) -> ImageSet:
    """Black scenes with these targets and boxes."""
    labels = rows(*texts)
    images = np.zeros((len(labels), 112, 112, 1), np.uint8)
    return ImageSet(images, labels, STRIP_NAMES, "mnist", np.asarray(boxes, np.float32))


def strips(n: int, origin: str = "mnist", seed: int = 0) -> ImageSet:
    """Strips of bars that `onnx_models.band_model` reads without error."""
    labels = np.random.default_rng(seed).integers(0, 11, (n, 5), dtype=np.uint8)
    return ImageSet(np.stack([draw(row) for row in labels]), labels, STRIP_NAMES, origin)


def singles(n: int, names: tuple[str, ...] = CIFAR_NAMES) -> ImageSet:
    """Noise with one label each."""
    rng = np.random.default_rng(0)
    shape = (n, 32, 32, 3) if names is CIFAR_NAMES else (n, 28, 28, 1)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    return ImageSet(images, rng.integers(0, 10, (n, 1), dtype=np.uint8), names, "cifar10")


def noisy(pictures: ImageSet, wrong: float = 0.2, seed: int = 1) -> Readings:
    """Readings that are wrong in a share of the slots, and less confident there."""
    rng = np.random.default_rng(seed)
    slips = rng.random(pictures.labels.shape) < wrong
    classes = np.where(slips, (pictures.labels + 1) % pictures.classes, pictures.labels).astype(np.uint8)
    probabilities = np.full((*classes.shape, pictures.classes), 0.01, np.float32)
    np.put_along_axis(probabilities, classes[..., None].astype(int), 1 - 0.01 * (pictures.classes - 1), axis=2)
    confidence = np.where(slips.any(axis=1), rng.uniform(0.2, 0.9, len(classes)), rng.uniform(0.6, 1, len(classes)))
    return Readings(probabilities, classes, confidence.astype(np.float32))


def scenes(n: int = 40, seed: int = 3) -> Evaluated:
    """Dark scenes with targets in squares, and readings of them: some wrong, some with a digit too many."""
    rng = np.random.default_rng(seed)
    corner = np.sort(rng.integers(0, 85, (n, 8, 2)).astype(np.float32), axis=1)
    labels = np.where(np.arange(8) < rng.integers(1, 8, (n, 1)), rng.integers(0, 10, (n, 8)), BLANK).astype(np.uint8)
    boxes = np.where((labels == BLANK)[..., None], 0, np.concatenate([corner, corner + 20], axis=-1))
    images = np.full((n, 112, 112, 1), 30, np.uint8)
    pictures = ImageSet(images, labels, STRIP_NAMES, "mnist", boxes.astype(np.float32))
    right = noisy(pictures, wrong=0.1, seed=seed)
    order = rng.permuted(np.tile(np.arange(8), (n, 1)), axis=1)
    shuffled = Readings(
        np.take_along_axis(right.probabilities, order[..., None], 1),
        np.take_along_axis(right.classes, order, 1),
        right.confidence,
        np.take_along_axis(pictures.boxes, order[..., None], 1) + np.float32(1),
    )
    return Evaluated.of(left_to_right(shuffled, BLANK), pictures, positional=False)


def record(strategy: str = "bands", task: Task = "strips", **changes: object) -> ExportRecord:
    """The record of an exported model that reads strips."""
    values = {
        "strategy": strategy,
        "task": task,
        "suites": SUITES,
        "trained_on": "strips/plain",
        "normalization": "rescale",
        "origin": "mnist",
        "positional": True,
        "deployable": True,
        "pretrained": "not_applicable",
        "parameters": 1000,
        "precision": "float32",
        "seed": 20,
        "budget": 1.0,
        "settings": {},
        "model": ModelFile(file="model.onnx", sha256="ab" * 32, bytes=1_300_000),
        "inputs": PictureShape(height=28, width=140, channels=1),
        "slots": 5,
        "class_names": STRIP_NAMES,
        "boxes": False,
        "parity": {},
        "opset": 17,
        "made_with": {},
        "regions": None,
    }
    return ExportRecord(**values | changes)


def results(wrong: float = 0.05, suites: Sequence[str] = SUITES, origin: str = "mnist") -> Mapping:
    """What a model read of 200 strips of each split of each suite, wrong in a share of the slots."""
    read = {split: strips(200, origin) for split in SPLITS}
    return {suite: {split: Evaluated.of(noisy(each, wrong), each) for split, each in read.items()} for suite in suites}


def evaluation(wrong: float = 0.05, suites: Sequence[str] = SUITES, **changes: object) -> Evaluation:
    """The evaluation of a model that is wrong in a share of the slots; `changes` are of its record."""
    return scores.evaluation(record(**changes), results(wrong, suites, str(changes.get("origin", "mnist"))))


def shifted(accuracy: float = 0.8, accepted: float = 0.6, accepted_wrong: float = 0.05, n: int = 100) -> ShiftScores:
    """Scores of a set of corrupted pictures."""
    return ShiftScores(n=n, accuracy=accuracy, accepted=accepted, accepted_wrong=accepted_wrong, confidence=0.7)


def robustness(strategy: str = "bands", task: Task = "strips", **changes: object) -> Robustness:
    """What a model read of two suites in two corruptions, and of another collection."""
    read = {"identity": {0: shifted(0.98, 0.9, 0.001)}, "fog": {5: shifted()}, "stripe": {1: shifted(0.4, 0.5, 0.3)}}
    suites, others = dict.fromkeys(SUITES, read), {"optdigits": shifted(0.9, 0.8, 0.02)}
    values = {
        "strategy": strategy,
        "task": task,
        "origin": "mnist",
        "sha256": "ab" * 32,
        "threshold": 0.9,
        "suites": suites,
        "collections": others,
        "shift": robustness_scores.shift(suites, others),
    }
    return Robustness(**values | changes)


def validated(task: Task, suite: str) -> ValidationReport:
    """The report of a data set that meets all expectations."""
    return ValidationReport(
        suite=suite,
        task=task,
        origin="mnist",
        success=True,
        splits={},
        expectations=(),
        duplicates=Duplicates(**dict.fromkeys(Duplicates.model_fields, 0)),
        notes=(),
    )


def lines(n: int = 40, *, known: bool = True) -> Evaluated:
    """Lines of 1 to 10 digits, and readings of them without positions; boxes of zeros where they are not known."""
    rng = np.random.default_rng(4)
    filled = np.arange(LINE_SLOTS) < rng.integers(1, LINE_SLOTS + 1, (n, 1))
    labels = np.where(filled, rng.integers(0, 10, (n, LINE_SLOTS)), BLANK).astype(np.uint8)
    left = 22 * np.arange(LINE_SLOTS)
    boxes = np.stack([left, left * 0 + 4, left + 18, left * 0 + 28], axis=-1) * filled[..., None]
    images = np.zeros((n, *LINE_SHAPE), np.uint8)
    pictures = ImageSet(images, labels, STRIP_NAMES, "mnist", (boxes * known).astype(np.float32))
    read = replace(noisy(pictures, 0.05), boxes=boxes.astype(np.float32))
    return Evaluated.of(left_to_right(read, BLANK), pictures, positional=False)

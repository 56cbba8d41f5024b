"""The proof that a model reads the same elsewhere: Keras against ONNX Runtime, or against a service."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.records.export import Parity
from pipeline.runtime.model import OnnxModel
from pipeline.training import models

TOLERANCE = 1e-4
"""The largest difference of a probability or a confidence that still counts as the same."""
BOX_TOLERANCE = 0.05
"""The same for a side of a box, in pixels."""
_BATCH = 250
_NUDGES = 64
"""Variants of a picture, one pixel one grey level off, that are read to see whether its reading is steady."""

Read = Callable[[np.ndarray], Readings]
"""Reads uint8 (n, H, W, C)."""


def of_export(model: keras.Model, path: Path, pictures: ImageSet, regions: np.ndarray | None = None) -> Parity:
    """Read every picture with Keras and with ONNX Runtime.

    Args:
        model: in Keras.
        path: of the same model in ONNX.
        pictures: of the size that it reads.
        regions: float32 (n, k, 4) of the pictures, for a model that takes them.

    Raises:
        DataError: there are no pictures to compare on.
    """
    if not len(pictures):
        raise DataError("no pictures to compare Keras and ONNX on; expected at least one")
    bar = partial(tqdm, desc="ONNX Runtime", leave=False, disable=None)
    theirs = OnnxModel.load(path, threads=0).read(pictures.images, regions, batch=_BATCH, progress=bar)
    graph = models.traced(model)
    if regions is None:
        return compare(partial(models.read, graph, batch=_BATCH), pictures.images, theirs)

    def read(images: np.ndarray, which: np.ndarray) -> Readings:
        return models.read(graph, images, regions[which], batch=_BATCH)

    return _compare(read, pictures.images, theirs)


def compare(read: Read, images: np.ndarray, theirs: Readings) -> Parity:
    """Compare other readings of uint8 (n, H, W, C) with Keras's.

    Args:
        read: reads pictures with Keras; it is called again on variants of a picture that is read differently.
        images: the pictures.
        theirs: the other readings; boxes are compared where both have them.
    """
    return _compare(lambda images, which: read(images), images, theirs)


def _compare(read: Callable[[np.ndarray, np.ndarray], Readings], images: np.ndarray, theirs: Readings) -> Parity:
    """As `compare`; `read` also gets the index of the picture that each of its images is, or is a variant of."""
    equal, probabilities, boxes = differences = _differences(read(images, np.arange(len(images))), theirs)
    distance = _distance(*differences)
    differing = np.flatnonzero(distance > 1)
    steady = np.ones(len(images), bool)
    # More than this cannot be rounding, and need not be read again.
    if len(differing) <= _most_unsteady(len(images)):
        steady[differing] = [not _unsteady(read, images, i, theirs.take([i]), distance[i]) for i in map(int, differing)]
    unsteady = int((~steady).sum())
    return Parity(
        pictures=len(images),
        same_readings=int(equal.sum()),
        differing=len(differing),
        unsteady=unsteady,
        largest_difference=_two_digits(probabilities[steady].max(initial=0.0)),
        largest_box_difference=None if boxes is None else _two_digits(boxes[steady].max(initial=0.0)),
        holds=len(differing) == unsteady <= _most_unsteady(len(images)),
    )


def _two_digits(value: float) -> float:
    """With two significant digits, a difference is the same from run to run."""
    return float(f"{value:.1e}")


def _most_unsteady(pictures: int) -> int:
    return max(1, pictures // 200)


def _differences(ours: Readings, theirs: Readings) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Bool (n,): whether all classes are equal; float (n,): the largest differences of a probability and of a side.

    The confidence is one of the probabilities.
    """
    equal = (ours.classes == theirs.classes).all(axis=1)
    probabilities = np.abs(ours.probabilities - theirs.probabilities).max(axis=(1, 2))
    probabilities = np.maximum(probabilities, np.abs(ours.confidence - theirs.confidence))
    if ours.boxes is None or theirs.boxes is None:
        return equal, probabilities, None
    return equal, probabilities, np.abs(ours.boxes - theirs.boxes).max(axis=(1, 2))


def _distance(equal: np.ndarray, probabilities: np.ndarray, boxes: np.ndarray | None) -> np.ndarray:
    """Float (n,): of `_differences` the largest, in tolerances; infinite where a class differs, or a number is none."""
    distance = probabilities / TOLERANCE
    if boxes is not None:
        distance = np.maximum(distance, boxes / BOX_TOLERANCE)
    return np.where(equal & np.isfinite(distance), distance, np.inf)


def _unsteady(
    read: Callable[[np.ndarray, np.ndarray], Readings],
    images: np.ndarray,
    index: int,
    theirs: Readings,
    distance: float,
) -> bool:
    """Whether Keras comes at least half as near to `theirs` as `distance` once one pixel is one grey level off."""
    random = np.random.default_rng(0)
    picture = images[index]
    nudged = np.repeat(picture[None], _NUDGES, axis=0)
    where = (np.arange(_NUDGES), *(random.integers(0, size, _NUDGES) for size in picture.shape))
    step = random.choice([-1, 1], _NUDGES)
    nudged[where] = np.clip(nudged[where].astype(int) + step, 0, 255)
    readings = read(nudged, np.full(_NUDGES, index))
    return bool(_distance(*_differences(readings, theirs)).min() < distance / 2)

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
_MOVE = 0.01
"""How far the sides of regions move in these variants, in pixels: a fifth of the tolerance of a box."""

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
    read = partial(models.read, models.traced(model), batch=_BATCH)
    if regions is None:
        return compare(read, pictures.images, theirs)

    def read_variants(index: int) -> Readings:
        return read(_nudged(pictures.images[index]), _moved(regions[index]))

    return _compare(read(pictures.images, regions), theirs, read_variants)


def compare(read: Read, images: np.ndarray, theirs: Readings) -> Parity:
    """Compare other readings of uint8 (n, H, W, C) with Keras's.

    Args:
        read: reads pictures with Keras; it is called again on variants of a picture that is read differently.
        images: the pictures.
        theirs: the other readings; boxes are compared where both have them.
    """
    return _compare(read(images), theirs, lambda index: read(_nudged(images[index])))


def _compare(ours: Readings, theirs: Readings, read_variants: Callable[[int], Readings]) -> Parity:
    """As `compare`; `read_variants` reads the picture of an index with Keras in `_NUDGES` slightly different forms."""
    equal, probabilities, boxes = differences = _differences(ours, theirs)
    distance = _distance(*differences)
    differing = np.flatnonzero(distance > 1)
    steady = np.ones(len(ours), bool)
    # More than this cannot be rounding, and need not be read again.
    if len(differing) <= _most_unsteady(len(ours)):
        for index in map(int, differing):
            nearest = _distance(*_differences(read_variants(index), theirs.take([index]))).min()
            steady[index] = nearest >= distance[index] / 2
    unsteady = int((~steady).sum())
    return Parity(
        pictures=len(ours),
        same_readings=int(equal.sum()),
        differing=len(differing),
        unsteady=unsteady,
        largest_difference=_two_digits(probabilities[steady].max(initial=0.0)),
        largest_box_difference=None if boxes is None else _two_digits(boxes[steady].max(initial=0.0)),
        holds=len(differing) == unsteady <= _most_unsteady(len(ours)),
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


def _nudged(picture: np.ndarray) -> np.ndarray:
    """`_NUDGES` variants of uint8 (H, W, C), each with one pixel one grey level off."""
    random = np.random.default_rng(0)
    nudged = np.repeat(picture[None], _NUDGES, axis=0)
    where = (np.arange(_NUDGES), *(random.integers(0, size, _NUDGES) for size in picture.shape))
    step = random.choice([-1, 1], _NUDGES)
    nudged[where] = np.clip(nudged[where].astype(int) + step, 0, 255)
    return nudged


def _moved(regions: np.ndarray) -> np.ndarray:
    """`_NUDGES` variants of the regions float32 (k, 4) of a picture, each side up to `_MOVE` pixels off; zeros stay.

    Two regions may give equal crops, of which a runtime takes either: no pixel can then tell them apart.
    """
    move = np.random.default_rng(0).uniform(-_MOVE, _MOVE, (_NUDGES, *regions.shape))
    return (regions + move * (regions != 0)).astype(np.float32)

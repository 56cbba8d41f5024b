"""The proof that a model reads the same elsewhere: Keras against ONNX Runtime, or against a service."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.training import models

# ONNX Runtime reads this when it is imported, and without it writes a device id below the home folder there and then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

TOLERANCE = 1e-4
"""The largest difference of a probability or a confidence that still counts as the same."""
BOX_TOLERANCE = 0.05
"""The same for a side of a box, in pixels."""
_BATCH = 250
_NUDGES = 64
"""How many pictures with one pixel a grey level off are read to see whether a reading is steady."""

Read = Callable[[np.ndarray], Readings]
"""Reads uint8 (n, H, W, C)."""


@dataclass(frozen=True)
class Parity:
    """How far other readings are from Keras's over one set of pictures.

    Attributes:
        pictures: how many were compared.
        same_readings: pictures whose classes are equal in every slot.
        differing: pictures with another class, or with a probability or a box beyond its tolerance.
        unsteady: those of them where rounding decides: Keras itself reads so, or at least half as near, once one pixel
            is one grey level lighter or darker. A reading makes choices, such as which of two equally high windows is
            the peak, and two runtimes round differently.
        largest_difference: of a probability, the confidence included, unsteady pictures left out.
        largest_box_difference: in pixels, of the same pictures; None without boxes.
    """

    pictures: int
    same_readings: int
    differing: int
    unsteady: int
    largest_difference: float
    largest_box_difference: float | None = None

    @property
    def holds(self) -> bool:
        """Every picture is read the same, within the tolerances, but for a few unsteady ones."""
        return self.differing == self.unsteady <= _most_unsteady(self.pictures)

    def as_dict(self) -> dict[str, float | int | bool]:
        """For the manifest; differences with two digits, so that they are the same from run to run."""
        differences = {
            name: value if value is None else float(f"{value:.1e}")
            for name, value in asdict(self).items()
            if name.startswith("largest")
        }
        return {**asdict(self), **differences, "holds": self.holds}


def of_export(model: keras.Model, path: Path, pictures: ImageSet) -> Parity:
    """Read every picture with Keras and with ONNX Runtime.

    Args:
        model: in Keras.
        path: of the same model in ONNX.
        pictures: of the size that it reads.

    Raises:
        DataError: there are no pictures to compare on.
    """
    if not len(pictures):
        raise DataError("no pictures to compare Keras and ONNX on; expected at least one")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    starts = tqdm(range(0, len(pictures), _BATCH), desc="ONNX Runtime", leave=False, disable=None)
    parts = [session.run(None, {"images": pictures.images[start : start + _BATCH]}) for start in starts]
    theirs = Readings.of(
        {name: np.concatenate(rows) for name, rows in zip(names, zip(*parts, strict=True), strict=True)}
    )
    read = partial(models.read, models.reader(model), batch=_BATCH, progress="Keras")
    return compare(read, pictures.images, theirs)


def compare(read: Read, images: np.ndarray, theirs: Readings) -> Parity:
    """Hold other readings of uint8 (n, H, W, C) against Keras's.

    Args:
        read: how Keras reads them; it is asked again about variants of a picture that is read differently.
        images: the pictures.
        theirs: what the other said; boxes are compared where both have them.
    """
    equal, probabilities, boxes = differences = _differences(read(images), theirs)
    distance = _distance(*differences)
    differing = np.flatnonzero(distance > 1)
    steady = np.ones(len(images), bool)
    # More cannot be rounding; there is no need to look at each.
    if len(differing) <= _most_unsteady(len(images)):
        steady[differing] = [not _unsteady(read, images[i], theirs.take([i]), distance[i]) for i in differing]
    return Parity(
        pictures=len(images),
        same_readings=int(equal.sum()),
        differing=len(differing),
        unsteady=int((~steady).sum()),
        largest_difference=float(probabilities[steady].max(initial=0.0)),
        largest_box_difference=None if boxes is None else float(boxes[steady].max(initial=0.0)),
    )


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


def _unsteady(read: Read, picture: np.ndarray, theirs: Readings, distance: float) -> bool:
    """Whether Keras comes at least half as near to `theirs` as `distance` once a pixel of uint8 (H, W, C) is nudged."""
    random = np.random.default_rng(0)
    nudged = np.repeat(picture[None], _NUDGES, axis=0)
    where = (np.arange(_NUDGES), *(random.integers(0, size, _NUDGES) for size in picture.shape))
    step = random.choice([-1, 1], _NUDGES)
    nudged[where] = np.clip(nudged[where].astype(int) + step, 0, 255)
    return bool(_distance(*_differences(read(nudged), theirs)).min() < distance / 2)

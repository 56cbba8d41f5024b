"""The proof that a model reads the same elsewhere: Keras against ONNX Runtime, or against a service.

Classes must be equal, probabilities agree within `TOLERANCE`, confidences within `CONFIDENCE_TOLERANCE`, and boxes
within `BOX_TOLERANCE`, but where rounding alone decides. There are two cases, and in both Keras itself has to give the
other reading:

- A picture is unsteady: with one pixel one grey level off, Keras reads it so. One in fifty may be.
- A detector has a tie: several boxes are equally probable, as on an empty ground, where the crops of all regions are
  equal, and no pixel tells them apart. An untrained detector reads such boxes. Each runtime puts them into an order of
  its own, suppression keeps the first, and so the boxes are elsewhere while all probabilities are equal. There Keras
  reads the same candidates again, those that the other runtime chose ahead by a rounding error in their log odds. Its
  boxes are then the ones to compare with. Another box, another probability, or two boxes that suppress one another
  still differ: no candidate that is less probable gets ahead by so little.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, ImageSet
from pipeline.core.readings import Readings, left_to_right
from pipeline.layers import Detections
from pipeline.layers import boxes as geometry
from pipeline.records.export import Parity
from pipeline.runtime.model import OnnxModel
from pipeline.training import models

TOLERANCE = 1e-4
"""The largest difference of a probability that still counts as the same."""
CONFIDENCE_TOLERANCE = 1e-3
"""The same for a confidence. Its trees compare steps, and rounding puts some pictures on the other side of one."""
BOX_TOLERANCE = 0.05
"""The same for a side of a box, in pixels."""
_BATCH = 250
_NUDGES = 64
"""Variants of a picture, one pixel one grey level off, that are read to see whether its reading is steady."""
_MOVE = 0.01
"""How far the sides of regions move in these variants, in pixels: a fifth of the tolerance of a box."""

_LEAD = TOLERANCE / 2
"""By how much, in log odds, a candidate gets ahead to win a tie; a probability changes by a quarter of it at most."""

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
    given = (pictures.images,) if regions is None else (pictures.images, regions)

    def read_variants(index: int) -> Readings:
        return read(_nudged(pictures.images[index]), None if regions is None else _moved(regions[index]))

    def read_ties(index: np.ndarray) -> Readings:
        return _with_ties_as(theirs.take(index), model, *(array[index] for array in given))

    decides = any(isinstance(layer, Detections) for layer in model.layers)
    return _compare(read(*given), theirs, read_variants, read_ties if decides else None)


def compare(read: Read, images: np.ndarray, theirs: Readings) -> Parity:
    """Compare other readings of uint8 (n, H, W, C) with Keras's.

    Args:
        read: reads pictures with Keras; it is called again on variants of a picture that is read differently.
        images: the pictures.
        theirs: the other readings; boxes are compared where both have them.
    """
    return _compare(read(images), theirs, lambda index: read(_nudged(images[index])))


def _compare(
    ours: Readings,
    theirs: Readings,
    read_variants: Callable[[int], Readings],
    read_ties: Callable[[np.ndarray], Readings] | None = None,
) -> Parity:
    """As `compare`.

    Args:
        ours: Keras's readings.
        theirs: the other ones.
        read_variants: reads the picture of an index with Keras in `_NUDGES` slightly different forms.
        read_ties: reads the pictures at some indices with Keras, its ties decided as in `theirs`; None without ties.
    """
    found = _differences(ours, theirs)
    distance = found.distance()
    unsteady = _unsteady(distance, theirs, read_variants)
    unexplained = np.flatnonzero((distance > 1) & ~unsteady)
    if read_ties is not None and found.boxes is not None and len(unexplained):
        tied = _differences(read_ties(unexplained), theirs.take(unexplained))
        won = tied.distance() <= 1
        assert tied.boxes is not None, "both have boxes"
        found.boxes[unexplained[won]] = tied.boxes[won]
        distance = found.distance()
        unsteady = _unsteady(distance, theirs, read_variants)
    differing, steady = int((distance > 1).sum()), ~unsteady
    largest = np.maximum(found.probabilities, found.confidences)[steady].max(initial=0.0)
    return Parity(
        pictures=len(ours),
        same_readings=int(found.same_classes.sum()),
        differing=differing,
        unsteady=int(unsteady.sum()),
        largest_difference=_two_digits(largest),
        largest_box_difference=None if found.boxes is None else _two_digits(found.boxes[steady].max(initial=0.0)),
        holds=differing == int(unsteady.sum()) <= _most_unsteady(len(ours)),
    )


def _unsteady(distance: np.ndarray, theirs: Readings, read_variants: Callable[[int], Readings]) -> np.ndarray:
    """Bool (n,): the pictures beyond a tolerance that Keras reads at least half as near in another variant."""
    unsteady = np.zeros(len(distance), bool)
    differing = np.flatnonzero(distance > 1)
    # More than this cannot be rounding, and need not be read again.
    if len(differing) <= _most_unsteady(len(distance)):
        for index in map(int, differing):
            nearest = _differences(read_variants(index), theirs.take([index])).distance().min()
            unsteady[index] = nearest < distance[index] / 2
    return unsteady


def _with_ties_as(theirs: Readings, model: keras.Model, *given: np.ndarray) -> Readings:
    """Keras's readings, the candidates nearest to the boxes of `theirs` ahead by one to two `_LEAD`, the first most.

    Args:
        theirs: n readings.
        model: whose reading a layer `Detections` makes.
        given: the inputs, n rows each.
    """
    layer = next(layer for layer in model.layers if isinstance(layer, Detections))
    choices = keras.Model(model.inputs, layer.input)
    parts = [
        choices([array[start : start + _BATCH] for array in given], training=False)
        for start in range(0, len(theirs), _BATCH)
    ]
    regions, logits, offsets = (np.concatenate([part[at].numpy() for part in parts]) for at in range(3))
    boxes = geometry.clipped(geometry.decode(offsets, regions), layer.side, layer.side).numpy()
    candidates = keras.ops.softmax(logits, axis=-1).numpy()
    lead = np.zeros(logits.shape[:2], np.float32)
    slots = theirs.classes.shape[1]
    others = theirs.boxes
    assert others is not None, "compared only where both have boxes"
    for picture, slot in np.argwhere((others != 0).any(axis=-1)):
        moved = np.abs(boxes[picture] - others[picture, slot]).max(axis=-1) / BOX_TOLERANCE
        other = np.abs(candidates[picture] - theirs.probabilities[picture, slot]).max(axis=-1) / TOLERANCE
        nearest = np.maximum(moved, other).argmin()
        if max(moved[nearest], other[nearest]) <= 1:
            lead[picture, nearest] = _LEAD * (2 - slot / slots)
    # Of the odds of being a digit, whichever.
    logits[..., :BLANK] += lead[..., None]
    return Readings.of({name: value.numpy() for name, value in layer([regions, logits, offsets]).items()})


def _two_digits(value: float) -> float:
    """With two significant digits, a difference is the same from run to run."""
    return float(f"{value:.1e}")


def _most_unsteady(pictures: int) -> int:
    return max(1, pictures // 50)


@dataclass(frozen=True)
class _Differences:
    """How far n pairs of readings are apart.

    Attributes:
        same_classes: bool (n,), whether all classes are equal.
        probabilities, confidences: float (n,), the largest difference of each pair.
        boxes: float (n,), of a side, in pixels; None without boxes.
    """

    same_classes: np.ndarray
    probabilities: np.ndarray
    confidences: np.ndarray
    boxes: np.ndarray | None

    def distance(self) -> np.ndarray:
        """Float (n,): the largest in tolerances; infinite where a class differs, or a number is none."""
        distance = np.maximum(self.probabilities / TOLERANCE, self.confidences / CONFIDENCE_TOLERANCE)
        if self.boxes is not None:
            distance = np.maximum(distance, self.boxes / BOX_TOLERANCE)
        return np.where(self.same_classes & np.isfinite(distance), distance, np.inf)


def _differences(ours: Readings, theirs: Readings) -> _Differences:
    """Compare readings.

    A detector sorts its digits by probability, and rounding decides between two that are equally probable: the digits
    are compared from left to right.
    """
    ours, theirs = left_to_right(ours, BLANK), left_to_right(theirs, BLANK)
    boxes = None
    if ours.boxes is not None and theirs.boxes is not None:
        boxes = np.abs(ours.boxes - theirs.boxes).max(axis=(1, 2))
    return _Differences(
        same_classes=(ours.classes == theirs.classes).all(axis=1),
        probabilities=np.abs(ours.probabilities - theirs.probabilities).max(axis=(1, 2)),
        confidences=np.abs(ours.confidence - theirs.confidence),
        boxes=boxes,
    )


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

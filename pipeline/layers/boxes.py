"""Arithmetic of boxes, half-open pixel x0, y0, x1, y1, as tensors; float32 whatever the policy."""

import keras
import numpy as np
from keras import ops

SCALES = (0.1, 0.1, 0.2, 0.2)
"""Offsets are divided by these, which brings them to about unit variance (Girshick 2015, section 2.3)."""
_LARGEST = float(np.log(8.0))
"""No regression stretches a side further than this, as a logarithm: an exponential of an untrained net overflows."""


def overlaps(first: keras.KerasTensor, second: keras.KerasTensor) -> keras.KerasTensor:
    """Intersection over union of every two boxes: (..., n, 4) and (..., m, 4) -> (..., n, m); 0 with an empty box."""
    shared = intersections(first, second)
    union = ops.expand_dims(areas(first), -1) + ops.expand_dims(areas(second), -2) - shared
    return shared / ops.maximum(union, 1e-6)


def intersections(first: keras.KerasTensor, second: keras.KerasTensor) -> keras.KerasTensor:
    """Square pixels that every two boxes have in common: (..., n, 4) and (..., m, 4) -> (..., n, m)."""
    a, b = ops.expand_dims(first, -2), ops.expand_dims(second, -3)
    sides = ops.minimum(a[..., 2:], b[..., 2:]) - ops.maximum(a[..., :2], b[..., :2])
    sides = ops.maximum(sides, 0.0)
    return sides[..., 0] * sides[..., 1]


def areas(boxes: keras.KerasTensor) -> keras.KerasTensor:
    """Square pixels of each box: (..., 4) -> (...)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def encode(boxes: keras.KerasTensor, references: keras.KerasTensor) -> keras.KerasTensor:
    """Offsets from references to boxes (Girshick et al. 2014, appendix C), both (..., 4) -> (..., 4).

    The shift of the centre as a share of the reference's sides, and the logarithm of the ratio of the sides, divided by
    `SCALES`. Sides shorter than a pixel count as one, so that an unused box is no error.
    """
    size, reference = _sides(boxes), _sides(references)
    shift = (_centres(boxes) - _centres(references)) / reference
    return ops.concatenate([shift, ops.log(size / reference)], axis=-1) / ops.convert_to_tensor(SCALES, "float32")


def decode(offsets: keras.KerasTensor, references: keras.KerasTensor) -> keras.KerasTensor:
    """The inverse of `encode`, offsets to boxes: (..., 4) and (..., 4) -> (..., 4)."""
    offsets = offsets * ops.convert_to_tensor(SCALES, "float32")
    reference = _sides(references)
    middle = _centres(references) + offsets[..., :2] * reference
    half = reference * ops.exp(ops.clip(offsets[..., 2:], -_LARGEST, _LARGEST)) / 2
    return ops.concatenate([middle - half, middle + half], axis=-1)


def clipped(boxes: keras.KerasTensor, height: int, width: int) -> keras.KerasTensor:
    """The part of each box that lies in the picture: (..., 4) -> (..., 4)."""
    x, y = ops.clip(boxes[..., 0::2], 0.0, float(width)), ops.clip(boxes[..., 1::2], 0.0, float(height))
    return ops.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], axis=-1)


def enlarged(boxes: keras.KerasTensor, context: float, square: bool) -> keras.KerasTensor:
    """Boxes about the same centres: (..., 4) -> (..., 4).

    Args:
        boxes: to be enlarged.
        context: what is added to the sides, as a share of them, half on either side.
        square: give both sides the length of the longer one.
    """
    middle, half = _centres(boxes), _sides(boxes) * (1 + context) / 2
    if square:
        half = ops.repeat(ops.max(half, axis=-1, keepdims=True), 2, axis=-1)
    return ops.concatenate([middle - half, middle + half], axis=-1)


def matched(references: keras.KerasTensor, boxes: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Of a picture's boxes, the one that each reference overlaps most; for training: it takes an argmax.

    Args:
        references: (n, r, 4).
        boxes: (n, slots, 4), zeros where a slot is unused.

    Returns:
        The intersection over union, (n, r), and the slot, int (n, r).
    """
    overlap = overlaps(references, boxes)
    return ops.max(overlap, axis=-1), ops.argmax(overlap, axis=-1)


def survivors(rivals: keras.KerasTensor, rounds: int) -> keras.KerasTensor:
    """Greedy non-maximum suppression without a loop over boxes, in operations that every runtime knows.

    A box survives if no surviving box before it is its rival. Starting from all, each round asks this of every box at
    once, with the survivors of the round before; after as many rounds as the longest chain of boxes that suppress one
    another in turn nothing changes any more, and that is the greedy answer. Chains longer than `rounds` are cut.

    Args:
        rivals: bool (..., n, n), symmetric: whether two boxes are too close to both remain; best box first.
        rounds: how often to ask.

    Returns:
        bool (..., n).
    """
    n = rivals.shape[-1]
    earlier = ops.cast(rivals, "float32") * np.tril(np.ones((n, n), np.float32), -1)
    alive = ops.ones_like(earlier[..., 0])
    for _ in range(rounds):
        alive = ops.cast(ops.matmul(earlier, ops.expand_dims(alive, -1))[..., 0] < 0.5, "float32")
    return alive > 0.5


def anchors(side: int, stride: int, heights: tuple[float, ...], aspects: tuple[float, ...]) -> np.ndarray:
    """Reference boxes about the middle of every cell of a square grid (Ren et al. 2015, section 3.1.1).

    Args:
        side: cells along one side of the grid.
        stride: pixels from one cell to the next.
        heights: of the anchors, in pixels.
        aspects: width over height; every height comes with each.

    Returns:
        float32 (side * side * heights * aspects, 4), the anchors of one cell together, cells row by row.
    """
    middle = (np.arange(side) + 0.5) * stride
    y, x = np.meshgrid(middle, middle, indexing="ij")
    half = np.array([(height * aspect / 2, height / 2) for height in heights for aspect in aspects])
    centres = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
    return np.concatenate([centres - half, centres + half], axis=-1).reshape(-1, 4).astype(np.float32)


def _centres(boxes: keras.KerasTensor) -> keras.KerasTensor:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _sides(boxes: keras.KerasTensor) -> keras.KerasTensor:
    return ops.maximum(boxes[..., 2:] - boxes[..., :2], 1.0)

"""Which parts of a picture a reading rests on: cover one patch after another, and see how much confidence goes.

Zeiler and Fergus, "Visualizing and understanding convolutional networks" (2014, section 4.2).
"""

from collections.abc import Callable

import numpy as np

from pipeline.core.images import SCENE_SHAPE
from pipeline.core.readings import Readings, in_order, left_to_right
from pipeline.preprocessing import proposals
from pipeline.records.export import ExportRecord
from pipeline.runtime.model import OnnxModel

BATCH = 64
"""Covered pictures that are read at once."""
PATCH = 8
"""Side of the patch in pixels; twice this on pictures as large as scenes. It moves by half its side."""


def patch_of(shape: tuple[int, int, int]) -> int:
    """The side of the patch in pixels for pictures of a shape (height, width, channels)."""
    return 2 * PATCH if min(shape[:2]) >= SCENE_SHAPE[0] else PATCH


def covered(image: np.ndarray, patch: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture once for each place of the patch, which has the picture's mean level, channel by channel.

    Args:
        image: uint8 (H, W, C).
        patch: side in pixels, at most H and W.
        stride: pixels from one place to the next; the last one touches the edge.

    Returns:
        uint8 (k, H, W, C), and int64 (k, 2), the row and column of each patch's corner.
    """
    height, width, _ = image.shape
    rows = np.unique([*range(0, height - patch + 1, stride), height - patch])
    columns = np.unique([*range(0, width - patch + 1, stride), width - patch])
    corners = np.array([(row, column) for row in rows for column in columns])
    grey = np.rint(image.mean(axis=(0, 1))).astype(np.uint8)
    pictures = np.repeat(image[None], len(corners), axis=0)
    for picture, (row, column) in zip(pictures, corners, strict=True):
        picture[row : row + patch, column : column + patch] = grey
    return pictures, corners


def drops(
    read: Callable[[np.ndarray], Readings], image: np.ndarray, blank: int | None, patch: int, stride: int
) -> np.ndarray:
    """How much confidence in its reading a picture loses where it is covered, float64 (H, W).

    All of the confidence is lost where another reading comes out. A pixel has the mean over the patches that cover it;
    it is negative where the confidence rises.

    Args:
        read: gives readings, slots from left to right, of pictures uint8 (k, H, W, C).
        image: uint8 (H, W, C).
        blank: the class that is no digit, or None where every class counts.
        patch: side in pixels.
        stride: pixels from one place of the patch to the next.
    """
    pictures, corners = covered(image, patch, stride)
    readings = read(np.concatenate([image[None], pictures]))
    classes, confidence = in_order(readings.classes, blank), readings.confidence.astype(np.float64)
    kept = np.where(np.all(classes[1:] == classes[0], axis=1), confidence[1:], 0.0)
    total, times = np.zeros(image.shape[:2]), np.zeros(image.shape[:2])
    for (row, column), drop in zip(corners, confidence[0] - kept, strict=True):
        total[row : row + patch, column : column + patch] += drop
        times[row : row + patch, column : column + patch] += 1
    return total / np.maximum(times, 1)


def maps(model: OnnxModel, record: ExportRecord, images: np.ndarray) -> list[np.ndarray]:
    """The `drops` of some pictures, read with an exported model; the patch moves by half its side.

    A model that takes regions gets those of the whole picture, wherever it is covered.

    Args:
        model: in ONNX Runtime.
        record: of the model.
        images: uint8 (n, H, W, C).
    """
    patch = patch_of(model.shape)
    found = []
    for image in images:
        regions = None if model.regions is None else proposals.propose(image[None], model.regions)

        def read(pictures: np.ndarray, regions: np.ndarray | None = regions) -> Readings:
            given = None if regions is None else np.repeat(regions, len(pictures), axis=0)
            readings = model.read(pictures, given, batch=BATCH)
            return readings if record.positional else left_to_right(readings, record.blank)

        found.append(drops(read, image, record.blank, patch, patch // 2))
    return found

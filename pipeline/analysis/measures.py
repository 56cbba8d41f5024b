"""Measures of drawn digits and of photographs, from their pixels: stroke thickness, slant, size, overlap, contrast.

Thickness and slant follow Morpho-MNIST (Castro et al. 2019, section 3). The box of a digit may hold ink of a neighbour
or of clutter, which is then measured as if it were the digit's.
"""

import cv2
import numpy as np
from skimage.morphology import skeletonize

from pipeline.core.images import INK

_SCALE = 2
"""Enlargement before the skeleton is drawn; even, so that a stroke of whole pixels has its middle between two rows."""
_LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue (ITU-R BT.601)."""


def ink_box(image: np.ndarray) -> np.ndarray:
    """The tight box of the ink of a picture, float32 (4,), half-open pixel x0, y0, x1, y1; zeros where there is none.

    Args:
        image: uint8 (H, W), ink light.
    """
    rows, columns = np.nonzero(image >= INK)
    if not len(rows):
        return np.zeros(4, np.float32)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)


def thickness(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Mean stroke thickness inside each box, in pixels, float64 (k,); NaN where a box has no stroke.

    Twice the distance from the middle of the stroke (the skeleton) to its edge, averaged over the skeleton. Ink is what
    is at least half as light as the lightest pixel of the picture.

    Args:
        image: uint8 (H, W), ink light.
        boxes: float (k, 4), half-open pixel x0, y0, x1, y1.
    """
    enlarged = cv2.resize(image, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_LINEAR)
    ink = (enlarged >= max(1.0, image.max() / 2)).astype(np.uint8)
    # A frame of paper: a stroke that touches the edge of the picture ends there.
    framed = np.pad(ink, 1)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    middle = skeletonize(framed.astype(bool))
    found = np.full(len(boxes), np.nan)
    for index, box in enumerate(boxes):
        x0, y0, x1, y1 = np.rint(box * _SCALE).astype(int) + 1
        along = middle[max(y0, 0) : y1, max(x0, 0) : x1]
        if along.any():
            found[index] = 2 * float(distance[max(y0, 0) : y1, max(x0, 0) : x1][along].mean()) / _SCALE
    return found


def slant(image: np.ndarray) -> float:
    """The slant of a digit in degrees, positive where its top leans to the right; NaN without ink.

    The angle whose shear makes the second mixed moment of the ink 0.

    Args:
        image: uint8 (H, W), the digit's box, ink light.
    """
    moments = cv2.moments(image)
    if not moments["m00"] or not moments["mu02"]:
        return float("nan")
    # Rows count downwards, so ink that leans to the right has a negative mixed moment.
    return float(np.degrees(np.arctan2(-moments["mu11"], moments["mu02"])))


def longer_side(boxes: np.ndarray) -> np.ndarray:
    """The longer side of each box in pixels, float64 (..., ); NaN where a box is empty.

    Args:
        boxes: float (..., 4), half-open pixel x0, y0, x1, y1.
    """
    longest = np.maximum(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]).astype(float)
    return np.where(longest > 0, longest, np.nan)


def overlap(boxes: np.ndarray) -> np.ndarray:
    """The share of each box that lies in one other box of the picture, the largest of these, float64 (n, slots).

    Empty boxes overlap nothing, and have NaN themselves.

    Args:
        boxes: float (n, slots, 4), half-open pixel x0, y0, x1, y1; zeros where there is no digit.
    """
    low = np.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = np.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=-1)
    slots = boxes.shape[1]
    common[:, range(slots), range(slots)] = 0
    area = np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1).astype(float)
    return np.where(area > 0, common.max(axis=2) / np.where(area > 0, area, 1), np.nan)


def brightness(images: np.ndarray) -> np.ndarray:
    """Mean level of each picture, float64 (n,), 0 to 255; of colours, the mean luma.

    Args:
        images: uint8 (n, H, W, C), C is 1 or 3.
    """
    return _luma(images).mean(axis=(1, 2))


def contrast(images: np.ndarray) -> np.ndarray:
    """Standard deviation of the levels of each picture (RMS contrast, Peli 1990), float64 (n,).

    Args:
        images: uint8 (n, H, W, C), C is 1 or 3.
    """
    return _luma(images).std(axis=(1, 2))


def _luma(images: np.ndarray) -> np.ndarray:
    return images @ _LUMA if images.shape[-1] == 3 else images[..., 0].astype(float)

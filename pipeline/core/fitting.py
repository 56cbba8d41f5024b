"""Pictures of any size for a model of one size: drawings, photos and scans for strips, scenes, digits and CIFAR-10.

A picture of the model's size is read as it is. Of any other picture of digits the polarity is decided and the paper is
removed, as in ingestion. The whole picture is then scaled to a strip or a scene. An isolated digit is cut out and
placed as those of MNIST were (LeCun et al. 1998, section III.A): 20 by 20 pixels at most, its centre of mass in the
middle. For CIFAR-10 the square in the middle of a picture is scaled.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.core.decoding import Picture, PictureError, Shape, judge
from pipeline.core.images import DIGIT
from pipeline.core.ingestion import CONTRAST, is_light_on_dark, remove_paper

FITTED = "fitted"
"""The note of a picture that was brought to the model's size."""
LIGHT_ON_DARK = "light_on_dark"
"""The note of a picture whose ink is lighter than its paper, as ingestion gives it."""
_WORKING = 640
"""Longest side, in pixels, of the picture in which ink is found; the largest model has 140."""
_BOX = 20
"""Sides of the square that an isolated digit fills."""
_FULL = 250
"""Value of the ink's 80th percentile."""


@dataclass(frozen=True)
class Fitted:
    """A picture as a model of one size reads it.

    Attributes:
        picture: of the model's size.
        size: height and width of the picture that was sent, in pixels, as it is displayed.
        scale: pixels of `picture` for each pixel of that one, along both axes.
        corner: x and y in `picture` of that one's upper left corner.
    """

    picture: Picture
    size: tuple[int, int]
    scale: float = 1.0
    corner: tuple[float, float] = (0.0, 0.0)

    def images(self) -> np.ndarray:
        """uint8 (1, height, width, channels): what the model reads."""
        return self.picture.pixels[None]

    def in_picture(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (..., 4) in `picture` as float32 boxes in the picture that was sent, cut at its borders."""
        height, width = self.size
        moved = (boxes - np.array([*self.corner] * 2, np.float32)) / np.float32(self.scale)
        return np.clip(moved, 0, [width, height] * 2).astype(np.float32)


def fit_grey(picture: Picture, task: str, shape: Shape) -> Fitted:
    """Bring grey pixels to a model of digits.

    Args:
        picture: with pixels uint8 (H, W), of either polarity.
        task: of the model.
        shape: height, width and 1 channel of the pictures that it reads.

    Raises:
        PictureError: `wrong_size`, the model reads colours.
    """
    if shape[2] != 1:
        raise PictureError("wrong_size", f"a grey picture found, expected one of {shape[2]} channels")
    pixels = picture.pixels
    size = (pixels.shape[0], pixels.shape[1])
    shrunk = min(1.0, _WORKING / max(size))
    if shrunk < 1:
        sides = tuple(max(1, round(side * shrunk)) for side in size[::-1])
        pixels = cv2.resize(pixels, sides, interpolation=cv2.INTER_AREA)
    light = is_light_on_dark(pixels)
    ink, threshold = _ink(255 - pixels if light else pixels)
    drawn, scale, corner = _centred_digit(ink, threshold) if task == "mnist" else _letterboxed(ink, shape[:2])
    notes = (*picture.notes, *((LIGHT_ON_DARK,) if light else ()), FITTED)
    drawn = drawn[..., None]
    return Fitted(Picture(drawn, (*notes, *judge(drawn[None])[0])), size, scale * shrunk, corner)


def _ink(picture: np.ndarray) -> tuple[np.ndarray, int]:
    """The ink of uint8 (H, W), dark on light, as light on 0, and the level above which a pixel counts as ink.

    A picture without contrast has none.
    """
    ink = remove_paper(picture)
    threshold = int(cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0])
    strong = ink[ink > threshold]
    level = float(np.percentile(strong, 80)) if strong.size else 0.0
    if level < CONTRAST:
        return np.zeros_like(ink), 0
    return np.rint(np.clip(ink * np.float32(_FULL / level), 0, 255)).astype(np.uint8), threshold


def _letterboxed(ink: np.ndarray, sides: tuple[int, ...]) -> tuple[np.ndarray, float, tuple[float, float]]:
    """The whole picture scaled to fit into a height and a width, in the middle; its scale and its corner."""
    height, width = sides
    scale = min(height / ink.shape[0], width / ink.shape[1])
    high, wide = (max(1, min(side, round(of * scale))) for side, of in zip(sides, ink.shape, strict=True))
    top, left = (height - high) // 2, (width - wide) // 2
    drawn = np.zeros(sides, np.uint8)
    drawn[top : top + high, left : left + wide] = _resized(ink, (wide, high))
    return drawn, scale, (float(left), float(top))


def _centred_digit(ink: np.ndarray, threshold: int) -> tuple[np.ndarray, float, tuple[float, float]]:
    """The digit in `_BOX` by `_BOX` pixels with its centre of mass in the middle; scale and corner of the picture."""
    drawn = np.zeros((DIGIT, DIGIT), np.uint8)
    rows, columns = np.nonzero(ink > threshold)
    if not rows.size:
        return drawn, DIGIT / max(ink.shape), (0.0, 0.0)
    y0, y1, x0, x1 = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    scale = _BOX / max(y1 - y0, x1 - x0)
    high, wide = (max(1, min(_BOX, round(side * scale))) for side in (y1 - y0, x1 - x0))
    small = _resized(ink[y0:y1, x0:x1], (wide, high))
    mass = small.sum(dtype=np.float64)
    middle = [float((small.sum(axis=1 - axis) * (np.arange(small.shape[axis]) + 0.5)).sum() / mass) for axis in (0, 1)]
    top, left = (
        int(np.clip(round(DIGIT / 2 - centre), 0, DIGIT - side))
        for centre, side in zip(middle, small.shape, strict=True)
    )
    drawn[top : top + high, left : left + wide] = small
    return drawn, float(scale), (float(left - x0 * scale), float(top - y0 * scale))


def fit_colour(picture: Picture, shape: Shape) -> Fitted:
    """The square in the middle of a picture, scaled to a model's size.

    Args:
        picture: with pixels uint8 (H, W, C).
        shape: height, width and C of the pictures that the model reads.
    """
    pixels = picture.pixels
    size = (pixels.shape[0], pixels.shape[1])
    side = min(size)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    drawn = _resized(np.ascontiguousarray(pixels[top : top + side, left : left + side]), (shape[1], shape[0]))
    scale = shape[0] / side
    notes = (*picture.notes, FITTED, *judge(drawn[None])[0])
    return Fitted(Picture(drawn, notes), size, scale, (-left * scale, -top * scale))


def _resized(pixels: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    smaller = sides[0] <= pixels.shape[1] and sides[1] <= pixels.shape[0]
    return cv2.resize(pixels, sides, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)

"""Draws digits for strips and scenes: scaled and turned, with the boxes of their ink, and with clutter.

Everything works on whole arrays of pictures; random numbers come from the caller's generator.
"""

import numpy as np

from pipeline.core.images import DIGIT, INK

_PATCH = 8
"""Side of a patch, in pixels."""
_BLOCK = 32
"""Pictures processed at a time: their arrays fit the processor's cache, which halves the time."""


def ink_boxes(cells: np.ndarray) -> np.ndarray:
    """The tight half-open box x0, y0, x1, y1 around the ink of each picture; zeros where there is none.

    Args:
        cells: uint8 (..., H, W); a pixel of at least `INK` is ink.

    Returns:
        int64 (..., 4), pixels.
    """
    ink = cells >= INK
    x0, x1 = _extent(np.logical_or.reduce(ink, axis=-2))
    y0, y1 = _extent(np.logical_or.reduce(ink, axis=-1))
    return np.stack([x0, y0, x1, y1], axis=-1)


def warp(
    cells: np.ndarray, scale: np.ndarray, angle: np.ndarray, side: int, centre: np.ndarray | None = None
) -> np.ndarray:
    """Scale and turn digits by bilinear interpolation, each in the centre of a square of its own.

    Args:
        cells: uint8 (n, 28, 28), values 0 to 255.
        scale: float (n,); 2 makes a digit twice as wide and high.
        angle: float (n,), radians.
        side: of the squares, in pixels.
        centre: float (n, 2), the point x, y of the cell that is moved to the centre of the square; the cell's own
            centre if None.

    Returns:
        uint8 (n, side, side).
    """
    if centre is None:
        centre = np.full((len(cells), 2), (DIGIT - 1) / 2)
    drawn = np.empty((len(cells), side, side), np.uint8)
    for start in range(0, len(cells), _BLOCK):
        rows = slice(start, start + _BLOCK)
        drawn[rows] = _interpolate(cells[rows], scale[rows], angle[rows], side, centre[rows])
    return drawn


def add_patches(images: np.ndarray, donors: np.ndarray, used: np.ndarray, rng: np.random.Generator) -> None:
    """Lay 8×8 patches from the middle of other digits over the pictures, in place; the brighter pixel is kept.

    Args:
        images: uint8 (n, H, W).
        donors: uint8 (n, patches, 28, 28), the digits that the patches are cut from.
        used: bool (n, patches), which of the patches are laid.
        rng: draws where each patch is cut and laid.
    """
    n, height, width = images.shape
    rows = np.arange(n)[:, None, None]
    span = np.arange(_PATCH)
    for patch in range(used.shape[1]):
        from_y, from_x = rng.integers(6, DIGIT - _PATCH - 5, (2, n, 1, 1))
        to_y, to_x = rng.integers(0, height - _PATCH + 1, (n, 1, 1)), rng.integers(0, width - _PATCH + 1, (n, 1, 1))
        cut = donors[rows, patch, from_y + span[:, None], from_x + span] * used[:, patch, None, None].astype(np.uint8)
        y, x = to_y + span[:, None], to_x + span
        images[rows, y, x] = np.maximum(images[rows, y, x], cut)


def add_lines(images: np.ndarray, most: int, lengths: tuple[float, float], rng: np.random.Generator) -> None:
    """Draw thin straight lines over the pictures, in place; they are dimmer than most ink.

    Args:
        images: uint8 (n, H, W).
        most: a picture gets 0 to this many lines, each number equally often.
        lengths: shortest and longest line in pixels; a line that leaves the picture is cut off there.
        rng: draws number, position, direction, length and brightness.
    """
    n, (height, width) = len(images), images.shape[1:]
    y, x = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    shortest, longest = lengths
    count = rng.integers(0, most + 1, n)
    for line in range(most):
        start = (rng.uniform(0, 1, (n, 2)) * [width, height]).astype(np.float32)
        direction = rng.uniform(0, np.pi, n)
        length = rng.uniform(shortest, longest, n)
        brightness = rng.uniform(80, 200, n) * (line < count)
        drawn = np.flatnonzero(brightness)
        for first in range(0, len(drawn), _BLOCK):
            rows = drawn[first : first + _BLOCK]
            along_x, along_y = np.cos(direction[rows])[:, None, None], np.sin(direction[rows])[:, None, None]
            dx, dy = (x - start[rows, :1])[:, None, :], (y - start[rows, 1:])[:, :, None]
            along = dx * along_x + dy * along_y
            across = np.abs(dy * along_x - dx * along_y)
            within = (along >= 0) & (along <= length[rows, None, None])
            stroke = np.clip(1.5 - across, 0, 1) * within * brightness[rows, None, None]
            images[rows] = np.maximum(images[rows], np.rint(stroke).astype(np.uint8))


def _extent(occupied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First index with True and the one after the last, along the last axis; zeros without any."""
    size = occupied.shape[-1]
    first = occupied.argmax(axis=-1)
    last = size - occupied[..., ::-1].argmax(axis=-1)
    some = occupied.any(axis=-1)
    return np.where(some, first, 0), np.where(some, last, 0)


def _interpolate(cells: np.ndarray, scale: np.ndarray, angle: np.ndarray, side: int, centre: np.ndarray) -> np.ndarray:
    grid = np.arange(side) - (side - 1) / 2
    cosine, sine = (np.cos(angle) / scale)[:, None, None], (np.sin(angle) / scale)[:, None, None]
    # One pixel of zeros around the cell lets the interpolation fade out at its edge.
    x = np.clip(cosine * grid + sine * grid[:, None] + (centre[:, 0, None, None] + 1), 0, DIGIT + 0.999)
    y = np.clip(-sine * grid + cosine * grid[:, None] + (centre[:, 1, None, None] + 1), 0, DIGIT + 0.999)
    padded = np.pad(cells, ((0, 0), (1, 1), (1, 1))).astype(np.float32).ravel()
    x0, y0 = x.astype(np.intp), y.astype(np.intp)
    fx, fy = (x - x0).astype(np.float32), (y - y0).astype(np.float32)
    width = DIGIT + 2
    corner = y0 * width + x0 + (np.arange(len(cells)) * width**2)[:, None, None]
    upper = padded[corner] * (1 - fx) + padded[corner + 1] * fx
    lower = padded[corner + width] * (1 - fx) + padded[corner + width + 1] * fx
    return np.rint(upper * (1 - fy) + lower * fy).astype(np.uint8)

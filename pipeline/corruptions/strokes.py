"""What is drawn over a grey picture, or drawn instead of it. Pictures are float (n, H, W, 1) with values 0 to 1."""

import numpy as np
from skimage import feature

FADE = 2.3
"""Pixels above and below a line at which it has faded."""
TOOTH = 2.0
"""Half of the width of a tooth of a zigzag, and its height, in pixels."""
_MARGIN = 2
"""Columns on either side that a zigzag leaves free."""


def stripe(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Invert the first and the last quarter of the columns."""
    del rng
    width = pictures.shape[2]
    outer = np.ones(width, bool)
    outer[width // 4 : width - width // 4] = False
    return np.where(outer[:, None], 1 - pictures, pictures)


def dotted_line(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a straight line across the picture, two columns in four; its ends are at rows that are drawn."""
    n, height, width, _ = pictures.shape
    first, last = rng.integers(0, height - 1, (2, n)).astype(float)
    drawn = segment(height, width, (np.zeros(n), first), (np.full(n, width - 1.0), last))
    drawn[..., np.arange(width) // 2 % 2 == 0] = 0
    return pictures + drawn[..., None]


def zigzag(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a zigzag around a straight line from left to right, whose ends differ by at most 5 rows."""
    n, height, width, _ = pictures.shape
    left, right = _MARGIN, width - 1 - _MARGIN
    first = rng.integers(0, height - 1, n).astype(float)
    drop = rng.integers(-5, 5, n)
    slope = np.arctan(drop / (right - left))
    length = (right - left) / np.cos(slope)
    teeth = ((length - TOOTH) // (2 * TOOTH)).astype(int) + 1
    # The corners along and beside the straight line: its start, the teeth, and its end after the last of them.
    tooth = np.arange(teeth.max())
    along = np.tile(np.pad((2 * tooth + 1) * TOOTH, 1), (n, 1))
    beside = np.tile(np.pad(TOOTH * (-1.0) ** tooth, 1), (n, 1))
    each, end = np.arange(n), 2 * TOOTH * (length // (2 * TOOTH))
    rest = np.where(length != end, length - end, np.inf)
    along[each, teeth + 1], beside[each, teeth + 1] = length, beside[each, teeth] / (2 * rest)
    x = left + np.cos(slope)[:, None] * along - np.sin(slope)[:, None] * beside
    y = first[:, None] + np.sin(slope)[:, None] * along + np.cos(slope)[:, None] * beside
    drawn = pictures.copy()
    for corner in range(1, teeth.max() + 2):
        there = (corner <= teeth) | ((corner == teeth + 1) & (length != end))
        ends = [(x[there, at], y[there, at]) for at in (corner - 1, corner)]
        drawn[there] = np.minimum(drawn[there] + segment(height, width, *ends)[..., None], 1)
    return drawn


def segment(
    height: int, width: int, start: tuple[np.ndarray, np.ndarray], end: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Straight lines that fade above and below: 1 + log(1 - d / 2.3) at a vertical distance of d pixels, at least 0.

    Args:
        height: of the pictures.
        width: of the pictures.
        start: x and y of one end, float (n,) each.
        end: of the other end. Where it is not to the right of the first, there is no line.

    Returns:
        float64 (n, height, width): 0 before the column of the start, and from the first whole column after the end on.
    """
    (x0, y0), (x1, y1) = start, end
    columns, rows = np.arange(width), np.arange(height)
    slope = (y1 - y0) / np.where(x1 > x0, x1 - x0, np.inf)
    heights = slope[:, None] * (columns - x0[:, None]) + y0[:, None]
    distance = np.minimum(np.abs(rows[:, None] - heights[:, None]), FADE - 1e-10)
    inside = (columns >= np.floor(x0)[:, None]) & (columns < np.ceil(x1)[:, None]) & (x1 > x0)[:, None]
    return np.clip(np.log(1 - distance / FADE) + 1, 0, 1) * inside[:, None]


def canny_edges(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The edges alone (Canny 1986), at sigma 1 and thresholds of 0.1 and 0.2."""
    del rng
    edges = [feature.canny(picture, sigma=1.0, low_threshold=0.1, high_threshold=0.2) for picture in pictures[..., 0]]
    return np.stack(edges).astype(float)[..., None]

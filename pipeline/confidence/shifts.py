"""Synthetic shifts of pictures, on which thresholds are chosen. They are the project's own kinds, at random strengths.

None of them is of the published sets of `pipeline.corruptions`, which measure robustness and are never fitted on.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

Shift = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Float32 (n, H, W, C) on the scale 0 to 255 and a generator -> the same shape, not yet clipped."""


def shifted(kind: str, images: np.ndarray, seed: int) -> np.ndarray:
    """Shift every picture by one kind, each at a strength of its own.

    Args:
        kind: a key of `KINDS`.
        images: uint8 (n, H, W, C).
        seed: the same seed gives the same pictures.

    Returns:
        uint8 (n, H, W, C).
    """
    random = np.random.default_rng([seed, sorted(KINDS).index(kind)])
    changed = KINDS[kind](images.astype(np.float32), random)
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def _each(random: np.random.Generator, low: float, high: float, n: int) -> np.ndarray:
    return random.uniform(low, high, (n, 1, 1, 1)).astype(np.float32)


def _uniform_noise(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    noise = random.uniform(-1, 1, images.shape).astype(np.float32)
    return images + _each(random, 20, 140, len(images)) * noise


def _box_blur(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    sizes = [(3, 3), (1, 5), (5, 1), (5, 5), (1, 9), (7, 7)]
    choice = random.integers(0, len(sizes), len(images))
    changed = images.copy()
    for index, (rows, columns) in enumerate(sizes):
        some = choice == index
        changed[some] = ndimage.uniform_filter(images[some], (1, rows, columns, 1))
    return changed


def _occlusion(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    # In the ground's own grey a rectangle would not be seen: what is left would be another picture, and no shifted one.
    ground = np.median(images, axis=(1, 2, 3), keepdims=True)
    grey = (ground + _each(random, 60, 195, len(images))) % 255
    return np.where(_rectangle(images, random), grey, images)


def _rectangle(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Bool (n, H, W, 1): a rectangle of 4 to 36 % of each picture, anywhere."""
    inside = np.ones((len(images), 1, 1, 1), bool)
    for axis in (1, 2):
        size = images.shape[axis]
        side = size * _each(random, 0.2, 0.6, len(images))
        start = (size - side) * _each(random, 0, 1, len(images))
        place = np.arange(size).reshape([-1 if at == axis else 1 for at in range(4)])
        inside = inside & (place >= start) & (place < start + side)
    return inside


def _ruled(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    period = random.integers(4, 13, (len(images), 1, 1, 1))
    wide = random.integers(1, 3, (len(images), 1, 1, 1))
    rows = np.arange(images.shape[1])[None, :, None, None] % period < wide
    columns = np.arange(images.shape[2])[None, None, :, None] % period < wide
    which = random.integers(0, 3, (len(images), 1, 1, 1))
    lines = ((which != 1) & rows) | ((which != 0) & columns)
    return np.where(lines, np.maximum(images, _each(random, 60, 255, len(images))), images)


def _strokes(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    height, width = images.shape[1:3]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    changed = images
    for number in range(3):
        ends = random.uniform(0, 1, (len(images), 4, 1, 1)).astype(np.float32) * np.array(
            [height, width, height, width], np.float32
        ).reshape(1, 4, 1, 1)
        y0, x0, y1, x1 = (ends[:, at] for at in range(4))
        along = ((y - y0) * (y1 - y0) + (x - x0) * (x1 - x0)) / ((y1 - y0) ** 2 + (x1 - x0) ** 2 + 1e-3)
        along = np.clip(along, 0, 1)
        distance = np.hypot(y - y0 - along * (y1 - y0), x - x0 - along * (x1 - x0))
        half = random.uniform(0.4, 1.3, (len(images), 1, 1)).astype(np.float32)
        drawn = (random.uniform(size=(len(images), 1, 1)) < 1 / (number + 1)).astype(np.float32)
        ink = 255 * np.clip(half + 0.5 - distance, 0, 1) * drawn
        changed = np.maximum(changed, ink[..., None])
    return changed


def _inversion(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return 255 - images * _each(random, 0.5, 1, len(images))


def _levels(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    n = len(images)
    curved = (images / 255) ** np.exp(_each(random, -1.3, 1.3, n))
    low, share = _each(random, 0, 140, n), _each(random, 0.1, 1, n)
    return low + (255 - low) * share * curved


def _few_levels(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    steps = random.integers(1, 4, (len(images), 1, 1, 1))
    shift = _each(random, -0.35, 0.35, len(images))
    return np.clip(np.rint((images / 255 + shift / steps) * steps), 0, steps) * 255 / steps


def _wave(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    changed = images
    for axis in (1, 2):
        other = images.shape[3 - axis]
        place = np.arange(other, dtype=np.float32)
        period, phase = random.uniform(12, 40, (len(images), 1)), random.uniform(0, 6.3, (len(images), 1))
        move = random.uniform(0, 2.5, (len(images), 1)) * np.sin(6.28 * place / period + phase)
        changed = _moved(changed, move.astype(np.float32), axis)
    return changed


def _moved(images: np.ndarray, move: np.ndarray, axis: int) -> np.ndarray:
    """Move row or column j of every picture by move[:, j] pixels along `axis`, linearly interpolated."""
    swapped = images if axis == 1 else images.transpose(0, 2, 1, 3)
    size = swapped.shape[1]
    at = np.arange(size, dtype=np.float32)[None, :, None] + move[:, None, :]
    low = np.floor(at).astype(int)
    share = (at - low)[..., None]
    parts = [
        np.take_along_axis(swapped, np.clip(low + step, 0, size - 1)[..., None], axis=1)
        * ((low + step >= 0) & (low + step < size))[..., None]
        for step in (0, 1)
    ]
    moved = parts[0] * (1 - share) + parts[1] * share
    return moved if axis == 1 else moved.transpose(0, 2, 1, 3)


def _squeeze(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    changed = images
    for axis in (1, 2):
        size = images.shape[axis]
        scale = random.uniform(0.55, 1.25, (len(images), 1, 1))
        offset = random.uniform(0, 1, (len(images), 1, 1)) * size * (1 - scale)
        # Linear interpolation as a matrix: row i of the result comes from (i - offset) / scale.
        at = (np.arange(size)[None, :, None] + 0.5 - offset) / scale - 0.5
        weights = np.maximum(1 - np.abs(at - np.arange(size)), 0).astype(np.float32)
        swapped = changed if axis == 1 else changed.transpose(0, 2, 1, 3)
        flat = swapped.reshape(len(images), size, -1)
        swapped = np.matmul(weights, flat).reshape(swapped.shape)
        changed = swapped if axis == 1 else swapped.transpose(0, 2, 1, 3)
    return changed


def _blend(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    other = images[random.permutation(len(images))]
    move = random.integers(-images.shape[2] // 3, images.shape[2] // 3 + 1)
    share = _each(random, 0.15, 0.5, len(images))
    return np.maximum(images, share * np.roll(other, move, axis=2))


def _outline(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    size = (1, 3, 3, 1)
    edges = ndimage.grey_dilation(images, size) - ndimage.grey_erosion(images, size)
    share = _each(random, 0.3, 1.2, len(images))
    return images * (1 - np.minimum(share, 1)) + edges * share


def _tiles(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Exchange tiles of a quarter of the height: nothing that could be read remains as it was."""
    side = max(1, images.shape[1] // 4)
    changed = images.copy()
    rows, columns = images.shape[1] // side, images.shape[2] // side
    for index in range(len(images)):
        order = random.permutation(rows * columns)
        for to, origin in enumerate(order):
            (r, c), (i, j) = divmod(to, columns), divmod(int(origin), columns)
            tile = images[index, i * side : (i + 1) * side, j * side : (j + 1) * side]
            changed[index, r * side : (r + 1) * side, c * side : (c + 1) * side] = tile
    return changed


KINDS: dict[str, Shift] = {
    "blend": _blend,
    "box_blur": _box_blur,
    "few_levels": _few_levels,
    "inversion": _inversion,
    "levels": _levels,
    "occlusion": _occlusion,
    "outline": _outline,
    "ruled": _ruled,
    "squeeze": _squeeze,
    "strokes": _strokes,
    "tiles": _tiles,
    "uniform_noise": _uniform_noise,
    "wave": _wave,
}
"""By name: another picture behind, box filters, few grey levels, the negative, contrast and gamma, a covered rectangle,
contours, ruled lines, other proportions, crossing strokes, exchanged tiles, noise, and bent rows and columns."""

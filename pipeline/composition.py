"""Divides pictures into splits, and composes strips of single digits, each split from its own digits only.

Everything is drawn from one seed, in whole arrays: the same seed gives the same bytes.
"""

from collections.abc import Mapping

import numpy as np

from pipeline.errors import DataError
from pipeline.images import BLANK, DIGIT, INK, SLOTS, SPLITS, STRIP_NAMES, STRIP_SHAPE, ImageSet

POOL = "pool"
"""The name of the pictures that no split has claimed yet."""
SOURCE_STRIDE = 1_000_000
"""A picture's id over a whole source is its index in its raw file plus this times the file's place in `_RAW_FILES`."""
_RAW_FILES = (POOL, *SPLITS)

ENCODED_CLASSES = 11
SHIFT = 4
"""Jitter moves a digit by at most this many pixels, in x and in y."""
SCALES = (0.7, 1.3)
ROTATION = 10.0
"""Jitter turns a digit by at most this many degrees."""
OVERLAP = 6
"""The ink of two neighbours overlaps by at most this many columns."""
PATCHES = 4
LINES = 2
_PATCH = 8
_CANVAS = 44
"""Side of the square a jittered digit is drawn on: a 28 px cell, scaled by 1.3 and turned by 10°, fits."""
_CHUNK = 4096


def divide(pools: Mapping[str, ImageSet], sizes: Mapping[str, int], seed: int) -> dict[str, ImageSet]:
    """Divide a source's pictures into the four splits.

    Args:
        pools: raw sets by name. A set named like a split is that split; `pool` is shuffled and divided among the rest.
        sizes: pictures of train, valid, gate and test of the public source. They are taken as they are where they fit
            the pool exactly, as shares of it otherwise.
        seed: of the shuffle.

    Returns:
        The splits by name; `sources` (n, 1) holds each picture's id over the whole source.

    Raises:
        DataError: the pool is too small to give every split a picture.
    """
    splits = {name: _identified(pools[name], name) for name in SPLITS if name in pools}
    missing = [name for name in SPLITS if name not in splits]
    if not missing:
        return splits
    if POOL not in pools:
        raise DataError(f"no pictures for {', '.join(missing)}; expected a raw file {POOL}.npz or one for each split")
    pool = _identified(pools[POOL], POOL)
    order = np.random.default_rng(seed).permutation(len(pool))
    wanted = np.array([sizes[name] for name in missing], float)
    ends = np.floor(np.cumsum(wanted) / wanted.sum() * len(pool) + 0.5).astype(int)
    if np.diff(ends, prepend=0).min() < 1:
        raise DataError(
            f"{len(pool)} pictures cannot be divided into {', '.join(missing)}; expected at least {len(missing)}"
        )
    for name, start, end in zip(missing, [0, *ends[:-1]], ends, strict=True):
        splits[name] = pool.take(order[start:end])
    return {name: splits[name] for name in SPLITS}


def compose(
    digits: ImageSet, *, rounds: int, fewest: int, most: int, jitter: bool, clutter: bool, seed: int
) -> ImageSet:
    """Compose strips from one split's digits.

    The digits are used in the order of fresh permutations, `rounds` of them, five strip slots to five digits: with
    `fewest == most == 5` every digit stands in exactly `rounds` strips; with fewer, what is left of a round is dropped.

    Args:
        digits: uint8 (n, 28, 28, 1) with labels 0 to 9 and ids in `sources`.
        rounds: how often the split's digits are gone through; the set has `rounds * (n // 5)` strips.
        fewest: digits a strip holds at least.
        most: digits a strip holds at most; the number is uniform, the slots of the digits are a random subset.
        jitter: shift, scale, rotate and overlap the digits (limits above); the ink stays inside the picture.
        clutter: add patches cut from other digits of the split, and thin lines.
        seed: of everything drawn here.

    Returns:
        images (m, 28, 140, 1); labels (m, 5), 10 where a slot is blank; boxes (m, 5, 4) of the ink; sources (m, 5), or
        (m, 5 + PATCHES) with clutter: ids of the slots' digits, then of those the patches were cut from, -1 for none.

    Raises:
        DataError: there are fewer than five digits, or they are no 28×28 pictures of one channel.
    """
    if digits.shape != (DIGIT, DIGIT, 1):
        raise DataError(f"digits of shape {digits.shape} found, expected {(DIGIT, DIGIT, 1)} to compose strips from")
    if len(digits) < SLOTS:
        raise DataError(f"{len(digits)} digits found, expected at least {SLOTS} to compose a strip from")
    rng = np.random.default_rng(seed)
    strips = len(digits) // SLOTS
    order = np.concatenate([rng.permutation(len(digits))[: strips * SLOTS] for _ in range(rounds)])
    total = strips * rounds
    chosen = order.reshape(total, SLOTS)
    count = rng.integers(fewest, most + 1, total)
    filled = np.argsort(rng.random((total, SLOTS)), axis=1) < count[:, None]

    ids = digits.sources[:, 0]
    labels = np.where(filled, digits.labels[chosen, 0], BLANK).astype(np.uint8)
    sources = np.where(filled, ids[chosen], -1).astype(np.int32)
    images = np.zeros((total, *STRIP_SHAPE[:2]), np.uint8)
    boxes = np.zeros((total, SLOTS, 4), np.float32)
    for start in range(0, total, _CHUNK):
        rows = slice(start, min(start + _CHUNK, total))
        cells = digits.images[chosen[rows], :, :, 0] * filled[rows, :, None, None].astype(np.uint8)
        draw = _jittered if jitter else _side_by_side
        images[rows], boxes[rows] = draw(cells, filled[rows], rng)
    if clutter:
        donors = rng.integers(0, len(digits), (total, PATCHES))
        used = np.arange(PATCHES) < rng.integers(0, PATCHES + 1, total)[:, None]
        for start in range(0, total, _CHUNK):
            rows = slice(start, min(start + _CHUNK, total))
            _add_patches(images[rows], digits.images[donors[rows], :, :, 0], used[rows], rng)
            _add_lines(images[rows], rng)
        sources = np.concatenate([sources, np.where(used, ids[donors], -1)], axis=1).astype(np.int32)
    return ImageSet(
        images=images[..., None],
        labels=labels,
        class_names=STRIP_NAMES,
        origin=digits.origin,
        boxes=boxes,
        sources=sources,
    )


def encode(labels: np.ndarray) -> np.ndarray:
    """Labels (n, 5) as the 55 targets of five groups of eleven: slot s reading class c sets element 11 s + c.

    The strip 9, 7, 5, 4, blank sets elements 9, 18, 27, 37 and 54.

    Returns:
        float32 (n, 55) of zeros and ones.
    """
    return np.eye(ENCODED_CLASSES, dtype=np.float32)[labels].reshape(len(labels), -1)


def ink_boxes(cells: np.ndarray) -> np.ndarray:
    """The tight half-open box x0, y0, x1, y1 around the ink of each picture; zeros where there is none.

    Args:
        cells: uint8 (..., H, W).

    Returns:
        int64 (..., 4).
    """
    ink = cells >= INK
    columns, rows = ink.any(axis=-2), ink.any(axis=-1)
    x0, x1 = _extent(columns)
    y0, y1 = _extent(rows)
    return np.stack([x0, y0, x1, y1], axis=-1)


def _extent(occupied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = occupied.shape[-1]
    first = occupied.argmax(axis=-1)
    last = size - occupied[..., ::-1].argmax(axis=-1)
    some = occupied.any(axis=-1)
    return np.where(some, first, 0), np.where(some, last, 0)


def _identified(pictures: ImageSet, name: str) -> ImageSet:
    ids = pictures.sources if pictures.sources is not None else np.arange(len(pictures), dtype=np.int32)[:, None]
    offset = SOURCE_STRIDE * _RAW_FILES.index(name)
    return ImageSet(
        images=pictures.images,
        labels=pictures.labels,
        class_names=pictures.class_names,
        origin=pictures.origin,
        sources=(ids + offset).astype(np.int32),
    )


def _side_by_side(cells: np.ndarray, filled: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n = len(cells)
    images = cells.transpose(0, 2, 1, 3).reshape(n, DIGIT, SLOTS * DIGIT)
    boxes = ink_boxes(cells) + (np.arange(SLOTS) * DIGIT)[:, None] * np.array([1, 0, 1, 0])
    return images, np.where(filled[..., None], boxes, 0).astype(np.float32)


def _jittered(cells: np.ndarray, filled: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n = len(cells)
    height, width = STRIP_SHAPE[:2]
    scale = rng.uniform(*SCALES, (n, SLOTS))
    angle = np.deg2rad(rng.uniform(-ROTATION, ROTATION, (n, SLOTS)))
    shift = rng.integers(-SHIFT, SHIFT + 1, (n, SLOTS, 2))
    drawn = _warped(cells.reshape(-1, DIGIT, DIGIT), scale.ravel(), angle.ravel()).reshape(n, SLOTS, _CANVAS, _CANVAS)
    ink = ink_boxes(drawn)
    # The canvas's corner, were its middle put on the shifted middle of the slot; then moved so that the ink fits.
    left = np.arange(SLOTS) * DIGIT + DIGIT // 2 - _CANVAS // 2 + shift[..., 0]
    top = DIGIT // 2 - _CANVAS // 2 + shift[..., 1]
    top = np.clip(top, -ink[..., 1], np.maximum(height - ink[..., 3], -ink[..., 1]))
    _keep_apart(left, ink, filled, width)

    images = np.zeros((n, height + 2 * _CANVAS, width + 2 * _CANVAS), np.uint8)
    rows = np.arange(n)[:, None, None]
    for slot in range(SLOTS):
        y = (top[:, slot] + _CANVAS)[:, None, None] + np.arange(_CANVAS)[:, None]
        x = (left[:, slot] + _CANVAS)[:, None, None] + np.arange(_CANVAS)
        images[rows, y, x] = np.maximum(images[rows, y, x], drawn[:, slot])
    corner = np.stack([left, top, left, top], axis=-1)
    boxes = np.clip(ink + corner, 0, [width, height, width, height])
    inside = images[:, _CANVAS : _CANVAS + height, _CANVAS : _CANVAS + width]
    return inside, np.where(filled[..., None], boxes, 0).astype(np.float32)


def _keep_apart(left: np.ndarray, ink: np.ndarray, filled: np.ndarray, width: int) -> None:
    """Move `left` in place so that ink stays in the picture and neighbours overlap by at most OVERLAP columns."""
    edge = np.full(len(left), -OVERLAP)
    for slot in range(SLOTS):
        here = filled[:, slot]
        start = np.maximum(left[:, slot] + ink[:, slot, 0], np.maximum(edge, 0))
        left[:, slot] = np.where(here, start - ink[:, slot, 0], left[:, slot])
        edge = np.where(here, left[:, slot] + ink[:, slot, 2] - OVERLAP, edge)
    limit = np.full(len(left), width)
    for slot in reversed(range(SLOTS)):
        here = filled[:, slot]
        end = np.minimum(left[:, slot] + ink[:, slot, 2], limit)
        left[:, slot] = np.where(here, end - ink[:, slot, 2], left[:, slot])
        limit = np.where(here, left[:, slot] + ink[:, slot, 0] + OVERLAP, limit)


def _warped(cells: np.ndarray, scale: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Digits scaled and turned about their middle, by bilinear interpolation: uint8 (n, 28, 28) -> (n, 44, 44)."""
    middle = (_CANVAS - 1) / 2
    grid_y, grid_x = np.meshgrid(np.arange(_CANVAS) - middle, np.arange(_CANVAS) - middle, indexing="ij")
    cosine, sine = (np.cos(angle) / scale)[:, None, None], (np.sin(angle) / scale)[:, None, None]
    # One pixel of zeros around the cell lets the interpolation fade out at its edge.
    x = np.clip(cosine * grid_x + sine * grid_y + (DIGIT - 1) / 2 + 1, 0, DIGIT + 0.999)
    y = np.clip(-sine * grid_x + cosine * grid_y + (DIGIT - 1) / 2 + 1, 0, DIGIT + 0.999)
    padded = np.pad(cells, ((0, 0), (1, 1), (1, 1))).astype(np.float32).reshape(len(cells), -1)
    x0, y0 = x.astype(np.int32), y.astype(np.int32)
    fx, fy = (x - x0).astype(np.float32), (y - y0).astype(np.float32)
    corner = (y0 * (DIGIT + 2) + x0).reshape(len(cells), -1)
    shape = x.shape

    def pixel(step: int) -> np.ndarray:
        return np.take_along_axis(padded, corner + step, axis=1).reshape(shape)

    upper = pixel(0) * (1 - fx) + pixel(1) * fx
    lower = pixel(DIGIT + 2) * (1 - fx) + pixel(DIGIT + 3) * fx
    return np.rint(upper * (1 - fy) + lower * fy).astype(np.uint8)


def _add_patches(images: np.ndarray, donors: np.ndarray, used: np.ndarray, rng: np.random.Generator) -> None:
    """Lay 8×8 patches from the middle of other digits over the pictures, in place; the brighter pixel wins."""
    n, height, width = images.shape
    rows = np.arange(n)[:, None, None]
    span = np.arange(_PATCH)
    for patch in range(PATCHES):
        from_y, from_x = rng.integers(6, DIGIT - _PATCH - 5, (2, n, 1, 1))
        to_y, to_x = rng.integers(0, height - _PATCH + 1, (n, 1, 1)), rng.integers(0, width - _PATCH + 1, (n, 1, 1))
        cut = donors[rows, patch, from_y + span[:, None], from_x + span] * used[:, patch, None, None].astype(np.uint8)
        y, x = to_y + span[:, None], to_x + span
        images[rows, y, x] = np.maximum(images[rows, y, x], cut)


def _add_lines(images: np.ndarray, rng: np.random.Generator) -> None:
    """Draw up to LINES thin strokes across the pictures, in place; each ends on two sides and is dimmer than ink."""
    n, height, width = images.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    count = rng.integers(0, LINES + 1, n)
    for line in range(LINES):
        start = rng.uniform(0, 1, (n, 2)) * [width, height]
        direction = rng.uniform(0, np.pi, n)
        length = rng.uniform(20, 60, n)
        brightness = rng.uniform(80, 200, n) * (line < count)
        drawn = np.flatnonzero(brightness)
        along_x, along_y = np.cos(direction[drawn]), np.sin(direction[drawn])
        dx = x[None] - start[drawn, 0, None, None].astype(np.float32)
        dy = y[None] - start[drawn, 1, None, None].astype(np.float32)
        along = dx * along_x[:, None, None] + dy * along_y[:, None, None]
        across = np.abs(dy * along_x[:, None, None] - dx * along_y[:, None, None])
        within = (along >= 0) & (along <= length[drawn, None, None])
        stroke = np.clip(1.5 - across, 0, 1) * within * brightness[drawn, None, None]
        images[drawn] = np.maximum(images[drawn], np.rint(stroke).astype(np.uint8))

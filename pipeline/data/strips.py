"""Divides pictures into splits, and composes strips of single digits, each split from its own digits only.

Everything is drawn from one seed, in whole arrays: the same seed gives the same bytes.
"""

from collections.abc import Mapping

import numpy as np

from pipeline.data import drawing
from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, DIGIT, SLOTS, SPLITS, STRIP_NAMES, STRIP_SHAPE, ImageSet

POOL = "pool"
"""The name of the pictures that no split has claimed yet."""
SOURCE_STRIDE = 1_000_000
"""A picture's id over a whole source is its index in its raw file plus this times the file's place in `_RAW_FILES`."""
_RAW_FILES = (POOL, *SPLITS)

ENCODED_CLASSES = 11
SHIFT = 4
"""Jitter moves a digit by at most this many pixels, in x and in y."""
SCALE = 0.3
"""Jitter scales a digit by 1 ± at most this."""
ROTATION = 10.0
"""Jitter turns a digit by at most this many degrees."""
OVERLAP = 6
"""The ink of two neighbours overlaps by at most this many columns."""
PATCHES = 4
LINES = 2
_LENGTHS = (20.0, 60.0)
_CANVAS = 44
"""Side of the square a jittered digit is drawn on: a 28 px cell, scaled by 1.3 and turned by 10°, fits."""
_CHUNK = 4096


def divide(pools: Mapping[str, ImageSet], sizes: Mapping[str, int], seed: int) -> dict[str, ImageSet]:
    """Divide a source's pictures into the four splits.

    Args:
        pools: raw sets by name. A set named like a split is that split; `pool` is shuffled and divided among the rest.
        sizes: pictures of train, valid, gate and test of the public source. They are taken as they are where they fit
            the pool exactly, as shares of it otherwise; then each class is divided evenly, since by chance alone a
            split of few pictures would miss some.
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
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool))
    wanted = np.array([sizes[name] for name in missing], float)
    if wanted.sum() != len(pool):
        order = order[np.argsort(_spread(pool.labels[order, 0], rng), kind="stable")]
    ends = np.floor(np.cumsum(wanted) / wanted.sum() * len(pool) + 0.5).astype(int)
    if np.diff(ends, prepend=0).min() < 1:
        raise DataError(
            f"{len(pool)} pictures cannot be divided into {', '.join(missing)}; expected at least {len(missing)}"
        )
    for name, start, end in zip(missing, [0, *ends[:-1]], ends, strict=True):
        splits[name] = pool.take(order[start:end])
    return {name: splits[name] for name in SPLITS}


def compose(
    digits: ImageSet,
    *,
    rounds: int,
    fewest: int,
    most: int,
    jitter: bool,
    clutter: bool,
    vary: bool = False,
    seed: int,
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
        vary: easy strips among the hard ones, for training: a strip's jitter has a strength of its own, uniform in 0 to
            1, by which shifts, scales and angles are multiplied; half of the strips, at random, carry no clutter; and
            half hold `most` digits, the others a uniform number.
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
    strength, cluttered = np.ones(total), np.ones(total, bool)
    if vary:
        count = np.where(rng.random(total) < 0.5, most, count)
        strength, cluttered = rng.random(total), rng.random(total) < 0.5
    filled = np.argsort(rng.random((total, SLOTS)), axis=1) < count[:, None]

    ids = digits.sources[:, 0]
    labels = np.where(filled, digits.labels[chosen, 0], BLANK).astype(np.uint8)
    sources = np.where(filled, ids[chosen], -1).astype(np.int32)
    images = np.zeros((total, *STRIP_SHAPE[:2]), np.uint8)
    boxes = np.zeros((total, SLOTS, 4), np.float32)
    for start in range(0, total, _CHUNK):
        rows = slice(start, min(start + _CHUNK, total))
        cells = digits.images[chosen[rows], :, :, 0] * filled[rows, :, None, None].astype(np.uint8)
        if jitter:
            images[rows], boxes[rows] = _jittered(cells, filled[rows], strength[rows, None], rng)
        else:
            images[rows], boxes[rows] = _side_by_side(cells, filled[rows])
    if clutter:
        donors = rng.integers(0, len(digits), (total, PATCHES))
        used = (np.arange(PATCHES) < rng.integers(0, PATCHES + 1, total)[:, None]) & cluttered[:, None]
        marked = np.flatnonzero(cluttered)
        for start in range(0, len(marked), _CHUNK):
            rows = marked[start : start + _CHUNK]
            pictures = images[rows]
            drawing.add_patches(pictures, digits.images[donors[rows], :, :, 0], used[rows], rng)
            drawing.add_lines(pictures, LINES, _LENGTHS, rng)
            images[rows] = pictures
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


def _spread(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Places in 0 to 1 for labels (n,), such that every stretch of it holds each class's share of its pictures."""
    places = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        places[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return places


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


def _side_by_side(cells: np.ndarray, filled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(cells)
    images = cells.transpose(0, 2, 1, 3).reshape(n, DIGIT, SLOTS * DIGIT)
    boxes = drawing.ink_boxes(cells) + (np.arange(SLOTS) * DIGIT)[:, None] * np.array([1, 0, 1, 0])
    return images, np.where(filled[..., None], boxes, 0).astype(np.float32)


def _jittered(
    cells: np.ndarray, filled: np.ndarray, strength: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    n = len(cells)
    height, width = STRIP_SHAPE[:2]
    scale = rng.uniform(1 - SCALE * strength, 1 + SCALE * strength, (n, SLOTS))
    angle = np.deg2rad(rng.uniform(-ROTATION * strength, ROTATION * strength, (n, SLOTS)))
    shift = np.rint(rng.integers(-SHIFT, SHIFT + 1, (n, SLOTS, 2)) * strength[..., None]).astype(int)
    drawn = np.zeros((n, SLOTS, _CANVAS, _CANVAS), np.uint8)
    drawn[filled] = drawing.warped(cells[filled], scale[filled], angle[filled], _CANVAS)
    ink = drawing.ink_boxes(drawn)
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

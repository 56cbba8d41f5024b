"""Composes strips: single digits side by side, each split from its own digits only.

Everything is drawn from one seed, in whole arrays: the same seed gives the same bytes.
"""

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, DIGIT, SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.data import drawing

SHIFT = 4
"""Jitter moves a digit by at most this many pixels, in x and in y."""
SCALE = 0.3
"""Jitter scales a digit by 1 ± at most this."""
ROTATION = 10.0
"""Jitter turns a digit by at most this many degrees."""
OVERLAP = 6
"""The ink of two neighbours overlaps by at most this many columns."""
PATCHES = 4
"""Clutter adds at most this many patches of other digits to a strip."""
LINES = 2
"""Clutter adds at most this many lines to a strip."""
_LINE_LENGTHS = (20.0, 60.0)
_CANVAS = 44
"""Side of the square that a jittered digit is drawn on: a 28 px cell, scaled by 1.3 and turned by 10°, fits."""
_CHUNK = 4096


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

    The digits are used in the order of fresh permutations, `rounds` of them, five slots of a strip to five digits. With
    `fewest == most == 5` every digit is in exactly `rounds` strips; with fewer, the rest of a round is dropped.

    Args:
        digits: uint8 (n, 28, 28, 1) with labels 0 to 9 and ids in `sources`.
        rounds: how often the split's digits are used; the set has `rounds * (n // 5)` strips.
        fewest: fewest digits of a strip.
        most: most digits of a strip. The number is uniform, the slots of the digits are a random subset.
        jitter: shift, scale, rotate and overlap the digits (limits above); the ink stays inside the picture.
        clutter: add patches cut from other digits of the split, and thin lines.
        vary: easy strips among the hard ones, for training. Each strip has a strength, uniform in 0 to 1, that
            multiplies shifts, scales and angles; a random half of the strips has no clutter; and a random half holds
            `most` digits, the others a uniform number.
        seed: of everything drawn here.

    Returns:
        images uint8 (m, 28, 140, 1); labels (m, 5), 10 where a slot is blank; boxes (m, 5, 4) of the ink in pixels;
        sources (m, 5), or (m, 5 + PATCHES) with clutter: ids of the slots' digits, then of those that patches were cut
        from, -1 for none.

    Raises:
        DataError: there are fewer than five digits, their shape is not 28×28×1, or they have no ids.
    """
    if digits.shape != (DIGIT, DIGIT, 1):
        raise DataError(f"digits of shape {digits.shape} found, expected {(DIGIT, DIGIT, 1)} to compose strips from")
    if len(digits) < SLOTS:
        raise DataError(f"{len(digits)} digits found, expected at least {SLOTS} to compose a strip from")
    if digits.sources is None:
        raise DataError("digits without ids found, expected the splits that `compose` wrote")
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
            images[rows], boxes[rows] = _draw_jittered(cells, filled[rows], strength[rows, None], rng)
        else:
            images[rows], boxes[rows] = _draw_side_by_side(cells, filled[rows])
    if clutter:
        donors = rng.integers(0, len(digits), (total, PATCHES))
        used = (np.arange(PATCHES) < rng.integers(0, PATCHES + 1, total)[:, None]) & cluttered[:, None]
        marked = np.flatnonzero(cluttered)
        for start in range(0, len(marked), _CHUNK):
            some = marked[start : start + _CHUNK]
            pictures = images[some]
            drawing.add_patches(pictures, digits.images[donors[some], :, :, 0], used[some], rng)
            drawing.add_lines(pictures, LINES, _LINE_LENGTHS, rng)
            images[some] = pictures
        sources = np.concatenate([sources, np.where(used, ids[donors], -1)], axis=1).astype(np.int32)
    return ImageSet(
        images=images[..., None],
        labels=labels,
        class_names=STRIP_NAMES,
        origin=digits.origin,
        boxes=boxes,
        sources=sources,
    )


def to_multi_hot(labels: np.ndarray) -> np.ndarray:
    """Labels of strips as 55 targets in five groups of eleven: class c in slot s sets element 11 s + c.

    The strip 9, 7, 5, 4, blank sets the elements 9, 18, 27, 37 and 54.

    Args:
        labels: integers (n, 5), 0 to 10.

    Returns:
        float32 (n, 55) of zeros and ones.
    """
    return np.eye(len(STRIP_NAMES), dtype=np.float32)[labels].reshape(len(labels), -1)


def _draw_side_by_side(cells: np.ndarray, filled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (n, 5, 28, 28), bool (n, 5) -> uint8 (n, 28, 140), float32 (n, 5, 4): every digit in its cell."""
    n = len(cells)
    images = cells.transpose(0, 2, 1, 3).reshape(n, DIGIT, SLOTS * DIGIT)
    boxes = drawing.ink_boxes(cells) + (np.arange(SLOTS) * DIGIT)[:, None] * np.array([1, 0, 1, 0])
    return images, np.where(filled[..., None], boxes, 0).astype(np.float32)


def _draw_jittered(
    cells: np.ndarray, filled: np.ndarray, strength: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """As `_draw_side_by_side`, with jitter multiplied by `strength`, (n, 1), 0 to 1."""
    n = len(cells)
    height, width = STRIP_SHAPE[:2]
    scale = rng.uniform(1 - SCALE * strength, 1 + SCALE * strength, (n, SLOTS))
    angle = np.deg2rad(rng.uniform(-ROTATION * strength, ROTATION * strength, (n, SLOTS)))
    shift = np.rint(rng.integers(-SHIFT, SHIFT + 1, (n, SLOTS, 2)) * strength[..., None]).astype(int)
    drawn = np.zeros((n, SLOTS, _CANVAS, _CANVAS), np.uint8)
    drawn[filled] = drawing.warp(cells[filled], scale[filled], angle[filled], _CANVAS)
    ink = drawing.ink_boxes(drawn)
    # The canvas's corner if its centre were on the shifted centre of the slot; then moved so that the ink fits.
    left = np.arange(SLOTS) * DIGIT + DIGIT // 2 - _CANVAS // 2 + shift[..., 0]
    top = DIGIT // 2 - _CANVAS // 2 + shift[..., 1]
    top = np.clip(top, -ink[..., 1], np.maximum(height - ink[..., 3], -ink[..., 1]))
    _limit_overlap(left, ink, filled, width)

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


def _limit_overlap(left: np.ndarray, ink: np.ndarray, filled: np.ndarray, width: int) -> None:
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

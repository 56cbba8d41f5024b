"""Scenes: digits of any size anywhere in a square picture, composed of a split's own digits or from labelled pictures.

What is composed is drawn from one seed, in whole arrays: the same seed gives the same bytes.
"""

import cv2
import numpy as np
from tqdm import tqdm

from pipeline.core.files import printable
from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, DIGIT, INK, SCENE_SHAPE, SCENE_SLOTS, STRIP_NAMES, ImageSet
from pipeline.core.ingestion import CONTRAST, INK_LEVEL, is_light_on_dark, remove_paper
from pipeline.core.lines import PictureSet
from pipeline.data import coco, drawing

SIZES = (14, 42)
"""The longer side of a digit's ink box, in pixels."""
ROTATION = 10.0
"""A digit is turned by at most this many degrees."""
IOU = 0.15
"""Two ink boxes of a scene have at most this intersection over union."""
SHARED = 0.3
"""Two ink boxes of a scene have at most this share of the smaller one in common."""
APART = 4
"""Pixels along x between the centres of two ink boxes, at least, so that the order of digits is unambiguous."""
PATCHES = 8
"""Clutter adds at most this many patches of other digits to a scene."""
LINES = 4
"""Clutter adds at most this many lines to a scene."""
_LINE_LENGTHS = (60.0, 150.0)
"""Lines are longer than any digit is high, so that none can be read as a 1."""
_CANVAS = 48
"""Side of the square that a digit is drawn on: the largest, centred on its ink, fits."""
_SMALL = 21.0
"""Digits below this size need antialiasing; twice this size still fits the square."""
_CORRECTIONS = 3
_TRIES = 48
_TOUCHING = 0.5
"""Share of the digits that are first tried beside another: by chance alone two digits rarely touch."""
_CHUNK = 256


def compose(digits: ImageSet, *, rounds: int, fewest: int, most: int, clutter: bool, seed: int) -> ImageSet:
    """Compose scenes from one split's digits.

    The digits are used in the order of fresh permutations, `rounds` of them. A scene takes the next `fewest` to `most`
    digits, each number equally often; the incomplete scene at the end of a round is dropped. A digit that finds no
    allowed position in 48 tries is dropped, and so is a scene that keeps fewer than `fewest`.

    A digit is scaled to a size uniform within `SIZES`, turned by up to ±10° and put anywhere; where digits overlap, the
    brighter pixel is kept. Half of the digits are tried beside another one first, overlapping by up to 4 pixels.

    Args:
        digits: uint8 (n, 28, 28, 1) with labels 0 to 9 and ids in `sources`.
        rounds: how often the split's digits are used.
        fewest: fewest digits of a scene, 1 or more.
        most: most digits of a scene, 8 or fewer.
        clutter: add patches cut from other digits of the split, and thin lines.
        seed: of everything drawn here.

    Returns:
        images uint8 (m, 112, 112, 1); labels (m, 8) from left to right by the centres of the boxes, then 10 for unused
        slots; boxes (m, 8, 4) of the ink in pixels; sources (m, 8), or (m, 8 + PATCHES) with clutter: ids of the slots'
        digits, then of those that patches were cut from, -1 for none.

    Raises:
        DataError: there are fewer than `most` digits, their shape is not 28×28×1, or they have no ids.
    """
    if digits.shape != (DIGIT, DIGIT, 1):
        raise DataError(f"digits of shape {digits.shape} found, expected {(DIGIT, DIGIT, 1)} to compose scenes from")
    if len(digits) < most:
        raise DataError(f"{len(digits)} digits found, expected at least {most} to compose a scene from")
    if digits.sources is None:
        raise DataError("digits without ids found, expected the splits that `compose` wrote")
    rng = np.random.default_rng(seed)
    chosen = np.concatenate([_deal(len(digits), fewest, most, rng) for _ in range(rounds)])
    total, ids = len(chosen), digits.sources[:, 0]
    images = np.zeros((total, *SCENE_SHAPE[:2]), np.uint8)
    boxes = np.zeros((total, SCENE_SLOTS, 4), np.float32)
    for start in range(0, total, _CHUNK):
        rows = slice(start, start + _CHUNK)
        images[rows], boxes[rows], order, placed = _draw(digits.images[..., 0], chosen[rows], rng)
        chosen[rows] = np.where(placed, np.take_along_axis(chosen[rows], order, axis=1), -1)
    labels = np.where(chosen < 0, BLANK, digits.labels[chosen, 0]).astype(np.uint8)
    sources = np.where(chosen < 0, -1, ids[chosen]).astype(np.int32)
    if clutter:
        donors = rng.integers(0, len(digits), (total, PATCHES))
        used = np.arange(PATCHES) < rng.integers(0, PATCHES + 1, total)[:, None]
        for start in range(0, total, _CHUNK):
            rows = slice(start, start + _CHUNK)
            drawing.add_patches(images[rows], digits.images[donors[rows], :, :, 0], used[rows], rng)
            drawing.add_lines(images[rows], LINES, _LINE_LENGTHS, rng)
        sources = np.concatenate([sources, np.where(used, ids[donors], -1)], axis=1).astype(np.int32)
    scenes = ImageSet(
        images=images[..., None],
        labels=labels,
        class_names=STRIP_NAMES,
        origin=digits.origin,
        boxes=boxes,
        sources=sources,
    )
    return scenes.take((labels != BLANK).sum(axis=1) >= fewest)


def labelled(pictures: PictureSet) -> ImageSet:
    """Make one scene of each labelled picture.

    Polarity is decided and paper removed as in ingestion. The picture is scaled to fit, with its proportions kept, at
    the top left of a scene that is 0 elsewhere. The level of its ink becomes that of ingested lines.

    Args:
        pictures: of any size and polarity, with boxes.

    Returns:
        Scenes in the order of the pictures, as `compose` makes them; boxes are those of the pictures, scaled, and
        `sources`, (n, 8), has the index of a picture for each of its digits.

    Raises:
        DataError: pictures have no boxes, no digits or more than 8; or, in their scenes, two centres are less than
            `APART` pixels apart along x, or a box has no ink. One message names up to `coco.MAX_FAULTS`.
    """
    n = len(pictures)
    images = np.zeros((n, *SCENE_SHAPE), np.uint8)
    labels = np.full((n, SCENE_SLOTS), BLANK, np.uint8)
    boxes = np.zeros((n, SCENE_SLOTS, 4), np.float32)
    sources = np.full((n, SCENE_SLOTS), -1, np.int32)
    faults = []
    for row, picture in enumerate(tqdm(pictures, desc="scenes", unit="picture", leave=False, disable=None)):
        count = len(picture.digits)
        if picture.boxes is None:
            fault = "no boxes found, expected a folder in COCO's format, with a box for every digit"
        elif not 1 <= count <= SCENE_SLOTS:
            fault = f"{count} digits found, expected 1 to {SCENE_SLOTS} in a scene"
        else:
            images[row, ..., 0], fitted = _fitted(picture.pixels, picture.boxes)
            order = np.argsort(_middles(fitted), kind="stable")
            labels[row, :count], boxes[row, :count] = picture.digits[order], fitted[order]
            sources[row, :count] = row
            fault = _fault(images[row, ..., 0], labels[row, :count], boxes[row, :count])
        if fault:
            faults.append(f"{printable(picture.name)}: {fault}")
    coco.expect_none(faults, pictures.origin)
    return ImageSet(images, labels, STRIP_NAMES, pictures.origin, boxes=boxes, sources=sources)


def _fitted(picture: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A scene, uint8 (112, 112), of uint8 (h, w), and float32 boxes (n, 4) in it."""
    ink = remove_paper(255 - picture if is_light_on_dark(picture) else picture)
    height, width = ink.shape
    zoom = min(SCENE_SHAPE[0] / height, SCENE_SHAPE[1] / width)
    rows, columns = max(1, round(height * zoom)), max(1, round(width * zoom))
    drawn = cv2.resize(ink, (columns, rows), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
    fitted = np.clip(boxes * np.array([columns / width, rows / height] * 2), 0, [columns, rows] * 2).astype(np.float32)
    scene = np.zeros(SCENE_SHAPE[:2], np.uint8)
    if (level := _level(drawn, fitted)) >= CONTRAST:
        scene[:rows, :columns] = np.rint(np.clip(drawn * np.float32(INK_LEVEL / level), 0, 255))
    return scene, fitted


def _level(ink: np.ndarray, boxes: np.ndarray) -> float:
    """The 80th percentile of the strokes in the boxes: of what is above Otsu's threshold (1979) there."""
    inside = np.zeros(ink.shape, bool)
    for x0, y0, x1, y1 in _whole(boxes):
        inside[y0:y1, x0:x1] = True
    values = ink[inside]
    if not len(values):
        return 0.0
    threshold, _ = cv2.threshold(values, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    strokes = values[values > threshold]
    return float(np.percentile(strokes if len(strokes) else values, 80))


def _fault(scene: np.ndarray, digits: np.ndarray, boxes: np.ndarray) -> str:
    """Why nobody could read a labelled scene as its boxes say; "" if nothing is wrong."""
    distances = np.diff(_middles(boxes))
    if (distances < APART).any():
        at = int(distances.argmin())
        return (
            f"the centres of digits {at + 1} and {at + 2} ({digits[at]} and {digits[at + 1]}) are "
            f"{distances[at]:.1f} px apart along x in the scene, expected at least {APART}, since digits are read from "
            "left to right"
        )
    for slot, (x0, y0, x1, y1) in enumerate(_whole(boxes)):
        if not (scene[y0:y1, x0:x1] >= INK).any():
            return f"no ink in the box of digit {slot + 1} ({digits[slot]}), expected a digit in every box"
    return ""


def _middles(boxes: np.ndarray) -> np.ndarray:
    """The centres of boxes (n, 4) along x, float64 (n,)."""
    return (boxes[:, 0].astype(float) + boxes[:, 2]) / 2


def _whole(boxes: np.ndarray) -> np.ndarray:
    """The whole pixels, int (n, 4), that boxes (n, 4) reach into."""
    return np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1).astype(int)


def _deal(digits: int, fewest: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """A permutation of the indices of so many digits, dealt to scenes: int64 (m, 8), -1 in unused slots."""
    order = rng.permutation(digits)
    end = np.cumsum(rng.integers(fewest, most + 1, digits // fewest))
    end = end[end <= digits]
    at = np.concatenate([[0], end[:-1]])[:, None] + np.arange(SCENE_SLOTS)
    return np.where(at < end[:, None], order[np.minimum(at, digits - 1)], -1)


def _draw(
    cells: np.ndarray, chosen: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scenes without clutter, from uint8 cells (digits, 28, 28) and the digits chosen for each scene, (n, 8).

    Returns:
        Images (n, 112, 112), boxes (n, 8, 4), and for each slot, (n, 8), the column of `chosen` that it shows and
        whether it shows a digit.
    """
    n, (height, width) = len(chosen), SCENE_SHAPE[:2]
    there = chosen >= 0
    # The largest first: the small ones still find a place between them.
    wanted = -np.sort(-np.where(there, rng.uniform(*SIZES, chosen.shape), 0), axis=1)
    angle = np.deg2rad(rng.uniform(-ROTATION, ROTATION, chosen.shape))
    drawn = np.zeros((*chosen.shape, _CANVAS, _CANVAS), np.uint8)
    drawn[there] = draw_at_size(cells[chosen[there]], wanted[there], angle[there])
    ink = drawing.ink_boxes(drawn)
    longer = np.maximum(ink[..., 2] - ink[..., 0], ink[..., 3] - ink[..., 1])
    corner, placed = _place(ink[..., 2:] - ink[..., :2], (longer >= SIZES[0]) & (longer <= SIZES[1]), rng)

    images = np.zeros((n, height + 2 * _CANVAS, width + 2 * _CANVAS), np.uint8)
    for slot in range(SCENE_SLOTS):
        rows = np.flatnonzero(placed[:, slot])
        left, top = (corner[rows, slot] - ink[rows, slot, :2] + _CANVAS)[..., None, None].transpose(1, 0, 2, 3)
        at = rows[:, None, None], top + np.arange(_CANVAS)[:, None], left + np.arange(_CANVAS)
        images[at] = np.maximum(images[at], drawn[rows, slot])
    boxes = np.concatenate([corner, corner + ink[..., 2:] - ink[..., :2]], axis=-1)
    order = np.argsort(np.where(placed, boxes[..., 0] + boxes[..., 2], 2 * width), axis=1, kind="stable")
    placed = np.take_along_axis(placed, order, axis=1)
    boxes = np.where(placed[..., None], np.take_along_axis(boxes, order[..., None], axis=1), 0)
    return images[:, _CANVAS : _CANVAS + height, _CANVAS : _CANVAS + width], boxes, order, placed


def draw_at_size(cells: np.ndarray, wanted: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Digits turned, and scaled until the longer side of their ink is about `wanted` and within `SIZES`.

    A digit that is not within `SIZES` after a few corrections (a cell without ink) stays as it is.

    Args:
        cells: uint8 (n, 28, 28).
        wanted: float (n,), pixels.
        angle: float (n,), radians.

    Returns:
        uint8 (n, 48, 48), centred on the ink.
    """
    extent, centre = _rotated_ink(cells, angle)
    scale, small = wanted / extent, wanted < _SMALL
    drawn = _draw_scaled(cells, scale, angle, centre, small)
    # Interpolation moves the edge of the ink by a fraction of a pixel, the more, the larger the digit.
    for _ in range(_CORRECTIONS):
        x0, y0, x1, y1 = np.moveaxis(drawing.ink_boxes(drawn), -1, 0)
        longer = np.maximum(x1 - x0, y1 - y0)
        wrong = np.flatnonzero((longer > 0) & ((longer < SIZES[0]) | (longer > SIZES[1])))
        scale[wrong] *= np.clip(longer[wrong], SIZES[0] + 0.5, SIZES[1] - 0.5) / longer[wrong]
        drawn[wrong] = _draw_scaled(cells[wrong], scale[wrong], angle[wrong], centre[wrong], small[wrong])
    return drawn


def _draw_scaled(
    cells: np.ndarray, scale: np.ndarray, angle: np.ndarray, centre: np.ndarray, small: np.ndarray
) -> np.ndarray:
    """uint8 (n, 28, 28) -> (n, 48, 48).

    Small digits are drawn at twice their size and averaged over 2×2 pixels: interpolation alone would miss thin strokes
    between its sampling points.
    """
    drawn = drawing.warp(cells, np.where(small, 2 * scale, scale), angle, _CANVAS, centre)
    half, quarter = _CANVAS // 2, _CANVAS // 4
    means = np.rint(drawn[small].reshape(-1, half, 2, half, 2).mean(axis=(2, 4)))
    drawn[small] = np.pad(means.astype(np.uint8), ((0, 0), (quarter, quarter), (quarter, quarter)))
    return drawn


def _rotated_ink(cells: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The longer side of the rotated ink, (n,), and the point x, y of the cell that is its centre, (n, 2)."""
    y, x = np.mgrid[0:DIGIT, 0:DIGIT] - (DIGIT - 1) / 2
    ink = cells >= INK
    cosine, sine = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    turned = np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1)
    low = np.where(ink[:, None], turned, DIGIT).min(axis=(2, 3))
    high = np.where(ink[:, None], turned, -DIGIT).max(axis=(2, 3))
    across, along = ((low + high) / 2).T
    cosine, sine = cosine[:, 0, 0], sine[:, 0, 0]
    centre = np.stack([cosine * across + sine * along, cosine * along - sine * across], axis=1) + (DIGIT - 1) / 2
    return np.maximum((high - low).max(axis=1), 0) + 1, centre


def _place(size: np.ndarray, there: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Find positions for one digit after the other, in all scenes at once.

    Args:
        size: int (n, 8, 2), width and height of the boxes in pixels.
        there: bool (n, 8), which of the boxes exist.
        rng: draws the positions that are tried.

    Returns:
        The boxes' top left corners x, y, int (n, 8, 2), and which boxes found a position, bool (n, 8).
    """
    n, digits = len(size), size.shape[1]
    corner = np.zeros_like(size)
    placed = np.zeros((n, digits), bool)
    room = np.array(SCENE_SHAPE[1::-1])
    for digit in range(digits):
        mine = size[:, digit, None]
        tried = np.floor(rng.random((n, _TRIES, 2)) * (room - mine + 1)).astype(int)
        if digit:
            beside = _beside(corner[:, :digit], size[:, :digit], mine, rng)
            first = np.arange(_TRIES) < _TRIES // 2
            touching = (rng.random(n) < _TOUCHING)[:, None] & first
            tried = np.where(touching[..., None], np.clip(beside, 0, room - mine), tried)
        allowed = np.ones((n, _TRIES), bool)
        for other in range(digit):
            theirs, start = size[:, other, None], corner[:, other, None]
            common = np.clip(np.minimum(tried + mine, start + theirs) - np.maximum(tried, start), 0, None).prod(axis=-1)
            area, other_area = mine.prod(axis=-1), theirs.prod(axis=-1)
            apart = np.abs(2 * (tried - start) + mine - theirs)[..., 0] >= 2 * APART
            little = common <= np.minimum(SHARED * np.minimum(area, other_area), IOU * (area + other_area - common))
            allowed &= (apart & little) | ~placed[:, other, None]
        corner[:, digit] = tried[np.arange(n), allowed.argmax(axis=1)]
        placed[:, digit] = there[:, digit] & allowed.any(axis=1)
    return corner, placed


def _beside(corner: np.ndarray, size: np.ndarray, mine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Corners, int (n, tries, 2), where a box of size `mine`, (n, 1, 2), is beside another box of its scene.

    The two overlap by up to 4 pixels.
    """
    n = len(corner)
    rows, other = np.arange(n)[:, None], rng.integers(0, corner.shape[1], (n, _TRIES))
    start, theirs = corner[rows, other], size[rows, other]
    along = start + np.floor(rng.random((n, _TRIES, 2)) * theirs - mine / 2).astype(int)
    over = rng.integers(0, 5, (n, _TRIES, 1))
    across = np.where(rng.random((n, _TRIES, 1)) < 0.5, start + theirs - over, start - mine + over)
    axis = rng.integers(0, 2, (n, _TRIES, 1))
    return np.where(np.arange(2) == axis, across, along)

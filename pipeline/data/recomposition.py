"""New lines from labelled ones: the ink of their digits, cut out by its boxes, is put together anew on their paper.

A few hundred amounts are memorised soon. Their digits, in other orders, sizes and places, are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.ingestion import Line, cut_lines, is_light_on_dark, remove_paper
from pipeline.core.lines import LINE_SLOTS, Picture
from pipeline.data.handwriting import Hand
from pipeline.data.lines import HEIGHT, Drawn, Mark, collected, holds, in_chunks, number, place, with_signs

_MIXED = 0.6
"""Share of the lines that take digits of three other pictures as well."""
_OTHER_PAPER = 0.25
"""Share of the lines that are on the paper of another picture."""
_SIDE = 46
"""Height of a digit in pixels, at most."""


@dataclass(frozen=True)
class Cut:
    """A digit that was cut out of a picture.

    Attributes:
        value: 0 to 9.
        ink: uint8 (h, w), as `ingestion.remove_paper` gives it.
        source: the id of the picture.
    """

    value: int
    ink: np.ndarray
    source: int


@dataclass(frozen=True)
class Layers:
    """A picture taken apart, scaled to `HEIGHT`.

    Attributes:
        digits: from left to right.
        ground: uint8 (HEIGHT, W), what paper removal left between the digits.
        strength: of the digits' ink, in its grey levels.
    """

    digits: tuple[Cut, ...]
    ground: np.ndarray
    strength: float


def compose(pictures: Sequence[Picture], ids: Sequence[int], *, lines: int, origin: str, seed: int) -> ImageSet:
    """Compose lines from the digits of labelled pictures.

    Args:
        pictures: of one split; those without boxes are left out.
        ids: of the pictures.
        lines: how many.
        origin: of the pictures.
        seed: of everything drawn here; the same seed gives the same bytes, however many processes work on it.

    Returns:
        As `lines.compose` does; `sources` holds the id of the picture that each digit was cut out of.

    Raises:
        DataError: no picture has boxes.
    """
    layers = [
        take_apart(picture, source)
        for picture, source in zip(pictures, ids, strict=True)
        if picture.boxes is not None and len(picture.digits)
    ]
    if not layers and lines:
        raise DataError("labelled lines without boxes found; expected boxes of their digits, or `recomposed: 0`")
    return in_chunks(_chunk, layers, lines=lines, origin=origin, seed=seed)


def take_apart(picture: Picture, source: int) -> Layers:
    """Take apart a picture with boxes; `source` is its id."""
    assert picture.boxes is not None, "digits are cut out by their boxes"
    dark = 255 - picture.pixels if is_light_on_dark(picture.pixels) else picture.pixels
    scale = HEIGHT / dark.shape[0]
    size = (max(1, round(dark.shape[1] * scale)), HEIGHT)
    ink = cv2.resize(remove_paper(dark), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    ground, digits = ink.copy(), []
    for value, box in zip(picture.digits.tolist(), picture.boxes * scale, strict=True):
        part = ink[_around(box, 1)]
        if part.size:
            digits.append(Cut(value, _without_neighbours(part), source))
        ground[_around(box, 2)] = 0
    values = [digit.ink.ravel() for digit in digits]
    strength = float(np.percentile(np.concatenate(values), 92)) + 10 if values else 10.0
    return Layers(tuple(digits), ground, strength)


def _around(box: np.ndarray, room: int) -> tuple[slice, slice]:
    """The rows and columns of a box x0, y0, x1, y1 and of some pixels around it."""
    x0, y0, x1, y1 = box
    return slice(max(0, int(y0 - room)), int(y1 + room + 1)), slice(max(0, int(x0 - room)), int(x1 + room + 1))


def _without_neighbours(ink: np.ndarray) -> np.ndarray:
    """A digit's ink without small pieces at the sides of its box, which belong to other digits."""
    _, mask = cv2.threshold(ink, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    largest = stats[1:, 4].max(initial=0)
    for label in range(1, count):
        x, _, width, _, area = stats[label]
        if (x == 0 or x + width == ink.shape[1]) and area < 0.25 * largest:
            ink = np.where(cv2.dilate((labels == label).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0, 0, ink)
    return ink.astype(np.uint8)


def _chunk(layers: Sequence[Layers], count: int, origin: str, seed: tuple[int, int]) -> ImageSet:
    rng = np.random.default_rng(seed)
    # A picture without a digit gives paper to others.
    written = [each for each in layers if each.digits]
    rows: list[tuple[Line, Drawn]] = []
    while len(rows) < count:
        drawn = _line(written, rng)
        found = cut_lines(drawn.pixels, one_line=True).lines
        if found and holds(found[0], drawn.boxes):
            rows.append((found[0], drawn))
    return collected(rows, origin)


def _line(layers: Sequence[Layers], rng: np.random.Generator) -> Drawn:
    """One line as ink uint8 (HEIGHT, W)."""
    own = layers[int(rng.integers(len(layers)))]
    pool = [(digit, 1.0) for digit in own.digits]
    if rng.random() < _MIXED:
        for index in rng.integers(0, len(layers), 3).tolist():
            other = layers[index]
            pool += [(digit, own.strength / other.strength) for digit in other.digits]
    tall = float(np.median([digit.ink.shape[0] for digit in own.digits]))
    zoom = rng.uniform(0.75, 1.15)
    hand = Hand.drawn(rng, tall * zoom, tall * zoom)
    marks = []
    for _ in range(min(len(number(rng)), LINE_SLOTS)):
        digit, factor = pool[int(rng.integers(len(pool)))]
        height, width = digit.ink.shape
        # Heights differ less than in the pictures, where they belong to other digits.
        scale = zoom * (tall / height) ** 0.6 * rng.uniform(0.92, 1.08)
        size = max(3, round(width * scale * rng.uniform(0.88, 1.12))), int(np.clip(height * scale, 6, _SIDE))
        ink = cv2.resize(digit.ink.astype(np.float32) * factor, size, interpolation=cv2.INTER_CUBIC)
        marks.append(Mark(digit.value, np.clip(ink, 0, None), digit.source))
    line = place(with_signs(marks, hand, own.strength, rng), hand, HEIGHT / 2 + rng.uniform(-3, 3), rng)
    ground = layers[int(rng.integers(len(layers)))].ground if rng.random() < _OTHER_PAPER else own.ground
    ground = np.tile(ground, -(-line.pixels.shape[1] // ground.shape[1]))[:, : line.pixels.shape[1]]
    ink = np.maximum(line.pixels * rng.uniform(0.7, 1.15), ground)
    return Drawn(np.clip(ink, 0, 255).astype(np.uint8), line.digits, line.boxes, line.sources)

"""Lines as sets of pictures: composed ones, 1 to 10 digits of one hand on paper, and labelled pictures.

Both are pictures of their own size that are ingested (`pipeline.core.ingestion`), as any picture is. One seed gives one
set of bytes, however many processes compose.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from joblib import Parallel, delayed

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, DIGIT, DIGIT_NAMES, STRIP_NAMES, ImageSet
from pipeline.core.ingestion import Line, ingest
from pipeline.core.lines import LINE_HEIGHT, LINE_SHAPE, LINE_SLOTS, LINE_WIDTH, Picture, PictureSet
from pipeline.data import paper
from pipeline.data.handwriting import COMMA, DASH, DOLLAR, DOT, EQUALS, HASH, Hand

HEIGHT = 48
"""Pixels of a picture in which a line is drawn."""
LOWEST, HIGHEST = 18, 42
"""Pixels of a digit's height."""
LENGTHS = (0.04, 0.05, 0.12, 0.2, 0.24, 0.15, 0.09, 0.05, 0.03, 0.03)
"""How often a line has 1, 2, … digits: about as often as amounts do."""
LIGHT_ON_DARK = 0.2
"""Share of the lines with light ink on dark paper."""
_CONTRAST, _OVER_PATTERN = 40.0, 4.0
"""Least difference of pen and paper: in grey levels, and in standard deviations of what is printed on the paper."""
_CUT = 0.06
"""Share of a digit's height that the upper or lower side of the picture cuts off at most."""
_ADVANCE = 0.65
"""Least distance of a digit's left side and that of the next one, as a share of its width: they overlap no more."""
_IN_LINE = 0.6
"""Share of a digit's box that is in the line that ingestion found; with less of any digit, a line is drawn again."""
_CHUNK = 500
"""Lines that are drawn from one seed."""


@dataclass(frozen=True)
class Mark:
    """A digit or a sign to be placed on a line.

    Attributes:
        value: 0 to 9, or None for a sign, which is not read.
        ink: float32 (h, w): the share of ink in each pixel, or its strength.
        source: the id of what it was made of; -1 for a sign.
        sinks: the share of its height by which it hangs below the line.
        low: it stands at the bottom of the line, as digits, points and commas do; dashes are in its middle.
    """

    value: int | None
    ink: np.ndarray
    source: int = -1
    sinks: float = 0.0
    low: bool = True


@dataclass(frozen=True)
class Drawn:
    """A line before ingestion.

    Attributes:
        pixels: (HEIGHT, W), a picture as uint8 or ink as float32.
        digits: uint8 (n,), 0 to 9, from left to right.
        boxes: float32 (n, 4) of the digits in pixels; None where they are unknown.
        sources: int32 (n,), the id of what each digit was made of.
    """

    pixels: np.ndarray
    digits: np.ndarray
    boxes: np.ndarray | None
    sources: np.ndarray


def compose(digits: ImageSet, *, lines: int, seed: int) -> ImageSet:
    """Compose lines from one split's digits.

    Args:
        digits: uint8 (n, 28, 28, 1) with labels 0 to 9 and ids in `sources`; at least one of each class.
        lines: how many.
        seed: of everything drawn here.

    Returns:
        images uint8 (lines, 32, 224, 1); labels (lines, 10), digits first, blanks behind them; boxes (lines, 10, 4) in
        pixels of the images; sources (lines, 10), the ids of the digits, -1 for none.

    Raises:
        DataError: a class is missing, the digits' shape is not 28×28×1, or they have no ids.
    """
    if digits.shape != (DIGIT, DIGIT, 1):
        raise DataError(f"digits of shape {digits.shape} found, expected {(DIGIT, DIGIT, 1)} to compose lines from")
    if digits.sources is None:
        raise DataError("digits without ids found, expected the splits that `compose` wrote")
    missing = sorted(set(range(len(DIGIT_NAMES))) - set(digits.labels[:, 0].tolist()))
    if missing:
        raise DataError(f"no digits {', '.join(map(str, missing))} found, expected all ten to compose lines from")
    return in_chunks(_chunk, digits, lines=lines, origin=digits.origin, seed=seed)


def in_chunks(draw: Callable[..., ImageSet], material: object, *, lines: int, origin: str, seed: int) -> ImageSet:
    """Draw lines in chunks that share nothing, on all processors.

    Args:
        draw: called as `draw(material, count, origin, seed)` for every chunk.
        material: that lines are made of.
        lines: how many, in all chunks together.
        origin: of the material.
        seed: of all chunks; each gets its own.
    """
    if not lines:
        return collected([], origin)
    counts = [min(_CHUNK, lines - start) for start in range(0, lines, _CHUNK)]
    jobs = [delayed(draw)(material, count, origin, (seed, index)) for index, count in enumerate(counts)]
    # Without memory maps of large arrays, which joblib would leave in a folder of its own.
    parts = Parallel(n_jobs=-1 if len(jobs) > 1 else 1, max_nbytes=None)(jobs)
    return joined(parts)


def joined(parts: Sequence[ImageSet]) -> ImageSet:
    """Sets of lines, one after the other."""
    boxes = [part.boxes for part in parts if part.boxes is not None]
    sources = [part.sources for part in parts if part.sources is not None]
    return ImageSet(
        images=np.concatenate([part.images for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        class_names=STRIP_NAMES,
        origin=parts[0].origin,
        boxes=np.concatenate(boxes) if len(boxes) == len(parts) else None,
        sources=np.concatenate(sources) if len(sources) == len(parts) else None,
    )


def collected(rows: Sequence[tuple[Line, Drawn]], origin: str) -> ImageSet:
    """Lines that ingestion found, with what was drawn, as a set."""
    n = len(rows)
    images = np.zeros((n, *LINE_SHAPE), np.uint8)
    labels = np.full((n, LINE_SLOTS), BLANK, np.uint8)
    boxes = np.zeros((n, LINE_SLOTS, 4), np.float32)
    sources = np.full((n, LINE_SLOTS), -1, np.int32)
    for row, (line, drawn) in enumerate(rows):
        count = len(drawn.digits)
        images[row], labels[row, :count], sources[row, :count] = line.pixels, drawn.digits, drawn.sources
        if drawn.boxes is not None:
            boxes[row, :count] = line.from_picture(drawn.boxes)
    return ImageSet(images, labels, STRIP_NAMES, origin, boxes=boxes, sources=sources)


def ingested(pictures: PictureSet, ids: Sequence[int], *, keep_empty: bool) -> tuple[ImageSet, int]:
    """Ingest labelled pictures of one line each.

    Args:
        pictures: of 1 to 10 digits each.
        ids: of the pictures.
        keep_empty: keep a picture in which ingestion finds nothing, as an empty line, which no model reads correctly;
            without it, leave the picture out.

    Returns:
        A set as `compose` makes it, and how many pictures ingestion found nothing in. The id of a picture stands in
        `sources` for each of its digits. A picture without boxes has zeros; without any boxes the set has none.

    Raises:
        DataError: a picture has no digits, or more than 10.
    """
    rows, empty = [], 0
    for picture, source in zip(pictures, ids, strict=True):
        count = len(picture.digits)
        if not 1 <= count <= LINE_SLOTS:
            raise DataError(f"{picture.name}: {count} digits found, expected 1 to {LINE_SLOTS}")
        found = ingest(picture.pixels, one_line=True).lines
        empty += not found
        if found or keep_empty:
            sources = np.full(count, source, np.int32)
            drawn = Drawn(picture.pixels, picture.digits, picture.boxes, sources)
            rows.append((found[0] if found else _empty_line(picture), drawn))
    made = collected(rows, pictures.origin)
    return (made if any(picture.boxes is not None for picture in pictures) else replace(made, boxes=None)), empty


def _empty_line(picture: Picture) -> Line:
    """The whole picture as a line without ink."""
    height, width = picture.pixels.shape
    scale = LINE_HEIGHT / height
    return Line(np.zeros(LINE_SHAPE, np.uint8), (0, 0, width, height), (min(scale, LINE_WIDTH / width), scale))


def holds(line: Line, boxes: np.ndarray | None) -> bool:
    """Whether a line that ingestion found has at least `_IN_LINE` of each of the boxes (n, 4) of its picture."""
    if boxes is None:
        return True
    x0, y0, x1, y1 = line.box
    left, top = np.maximum(boxes[:, 0], x0), np.maximum(boxes[:, 1], y0)
    width, height = np.minimum(boxes[:, 2], x1) - left, np.minimum(boxes[:, 3], y1) - top
    whole = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return bool((np.maximum(width, 0) * np.maximum(height, 0) >= _IN_LINE * whole).all())


def number(rng: np.random.Generator) -> np.ndarray:
    """The digits of a random number, int (n,); one in four ends with zeros."""
    digits = rng.integers(0, 10, 1 + rng.choice(len(LENGTHS), p=LENGTHS))
    if len(digits) > 2 and rng.random() < 0.25:
        digits[-rng.integers(1, min(4, len(digits))) :] = 0
    return digits


def with_signs(digits: Sequence[Mark], hand: Hand, strength: float, rng: np.random.Generator) -> list[Mark]:
    """Put signs among digits: between groups of three, behind the number, seldom before it.

    Args:
        digits: from left to right.
        hand: writes the signs.
        strength: of their ink, in the unit of the digits' ink.
        rng: draws them.
    """

    def sign(kinds: Sequence[str]) -> Mark:
        kind = str(rng.choice(kinds))
        return Mark(None, hand.sign(kind, rng) * strength, low=kind in (DOT, COMMA))

    grouped, marks = rng.random() < 0.5, []
    for index, digit in enumerate(digits):
        marks.append(digit)
        rest = len(digits) - 1 - index
        if grouped and rest and rest % 3 == 0:
            marks.append(sign((DOT, COMMA)))
    if rng.random() < 0.35:
        last = sign((DOT, DASH, DASH, EQUALS, EQUALS, COMMA, HASH))
        marks += [last] * (2 if rng.random() < 0.15 else 1)
    if rng.random() < 0.12:
        marks.insert(0, sign((DASH, EQUALS, HASH, DOLLAR, DOLLAR)))
    return marks


def place(marks: Sequence[Mark], hand: Hand, middle: float, rng: np.random.Generator) -> Drawn:
    """Put marks side by side, touching and apart, as ink on nothing.

    Args:
        marks: from left to right.
        hand: says how far apart they are.
        middle: y of the line's middle, in pixels.
        rng: draws the gaps.
    """
    x, placed = float(rng.uniform(2, 10)), []
    for mark in marks:
        height, width = mark.ink.shape
        top = middle + hand.height / 2 - height + rng.normal(0, 0.8) if mark.low else middle - height / 2
        top = int(np.clip(top + mark.sinks * height - hand.rise * x, -_CUT * height, HEIGHT - (1 - _CUT) * height))
        placed.append((mark, int(x), top))
        gap = rng.uniform(0, 3) if mark.value is None else rng.normal(hand.gap, hand.gap_spread)
        x = max(x + width + gap, int(x) + _ADVANCE * width)
    # A wide digit can end behind the narrow mark that follows it.
    end = max(left + mark.ink.shape[1] for mark, left, _ in placed)
    ink = np.zeros((HEIGHT, max(24, int(end + rng.uniform(2, 14)))), np.float32)
    digits, boxes, sources = [], [], []
    for mark, left, top in placed:
        height, width = mark.ink.shape
        y0, y1 = max(0, top), min(HEIGHT, top + height)
        part = ink[y0:y1, left : left + width]
        np.maximum(part, mark.ink[y0 - top : y1 - top], out=part)
        if mark.value is not None:
            digits.append(mark.value)
            boxes.append((left, y0, left + width, y1))
            sources.append(mark.source)
    return Drawn(
        ink,
        np.array(digits, np.uint8),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(sources, np.int32),
    )


def written(digits: ImageSet, rows_of: Sequence[np.ndarray], rng: np.random.Generator) -> Drawn:
    """Draw one line of single digits on paper, as a picture.

    Args:
        digits: uint8 (n, 28, 28, 1), with ids or without.
        rows_of: the rows of each class.
        rng: draws it.
    """
    hand = Hand.drawn(rng, LOWEST, HIGHEST)
    marks = []
    for value in number(rng).tolist():
        row = hand.example(value, rows_of[value], rng)
        ink = hand.digit(digits.images[row, ..., 0], value, rng)
        source = -1 if digits.sources is None else int(digits.sources[row, 0])
        marks.append(Mark(value, ink, source, hand.hanging if value == 9 else 0.0))
    middle = HEIGHT / 2 + rng.uniform(-0.45, 0.45) * (HEIGHT - hand.height)
    line = place(with_signs(marks, hand, 1.0, rng), hand, middle, rng)
    height, width = line.pixels.shape
    ground = paper.drawn(height, width, rng)
    light = float(ground.mean())
    least = max(_CONTRAST, _OVER_PATTERN * paper.pattern(ground))
    contrast = rng.uniform(least, max(least + 5.0, light - 40)) * rng.uniform(0.9, 1)
    picture = paper.photographed(ground - line.pixels * contrast, rng)
    return Drawn(picture, line.digits, line.boxes, line.sources)


def _chunk(digits: ImageSet, count: int, origin: str, seed: tuple[int, int]) -> ImageSet:
    rng = np.random.default_rng(seed)
    rows_of = [np.flatnonzero(digits.labels[:, 0] == value) for value in range(len(DIGIT_NAMES))]
    rows: list[tuple[Line, Drawn]] = []
    while len(rows) < count:
        drawn = written(digits, rows_of, rng)
        picture = 255 - drawn.pixels if rng.random() < LIGHT_ON_DARK else drawn.pixels
        found = ingest(picture, one_line=True).lines
        if found and holds(found[0], drawn.boxes):
            rows.append((found[0], drawn))
    return collected(rows, origin)

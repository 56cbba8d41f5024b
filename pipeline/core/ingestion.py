"""Ingestion: any grey picture of handwritten numbers becomes lines of ink in the one form that models read.

The steps are: decide the polarity, remove the paper, find the lines of writing, and scale each to the model's height.
Training sets, `make read` and the service all ingest here, so a model sees the same ink everywhere. Boxes are in the
pixels of the picture that came in.

Lines are found in a copy of the picture that is scaled down, and cut out of the picture itself. Every step takes a time
that the number of pixels bounds, whatever they show. OpenCV works on the calling thread alone: callers share the cores.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from pipeline.core.lines import LINE_HEIGHT, LINE_SHAPE, LINE_WIDTH

COARSE = 200_000
"""Most pixels of the picture in which lines are found first."""
FINE = 1_800_000
"""Most pixels of the picture in which lines of small writing are found."""
SMALL_WRITING = 14
"""Height of digits, in pixels of the coarse picture, below which lines are found in the fine one."""
PAPER = 40_000
"""Most pixels of the picture in which the paper is estimated: paper is smooth."""
_POLARITY = 50_000
"""Most pixels of the picture in which the polarity is decided."""
CONTRAST = 18
"""Least difference of ink and paper, as a share of the paper in 255ths, at which writing counts as visible."""
DARKEST = 48
"""Paper darker than this, in grey levels, counts as this: the noise of black would become ink."""
SMALLEST = 8
"""Least height of a line, in pixels of the picture."""
LONGEST = 100
"""Most times that one side of a picture is longer than the other."""
MOST_LINES = 64
"""Lines of a picture; the others of a larger page are left out."""
MARGIN = 0.12
"""Paper around the ink of a line, as a share of the line's height."""
INK_LEVEL = 235
"""Value of the ink's 80th percentile in a line's picture, whatever pen wrote it."""
_TALL = 0.45
"""A component at least this share of the median height is a digit; a smaller one is a separator or a speck."""
_GAP = 1.6
"""Two digits at most this many heights apart are of one line."""
_PIECE, _NEAR, _LEVEL = 0.22, 0.6, 0.25
"""A smaller component belongs to a line, as a piece of a digit or a sign, if one of its sides is at least the first
share of the digits' height, the line is at most the second one away, and the third one of its own height is in it."""
_OVERLAP = 0.35
"""Two digits of one line have at least this share of the lower one's height in common."""
_MOST_PIECES = 8
"""Steps in which a line grows by pieces."""
_MOST_DIGITS = 1024
"""Components that are chained to lines, the largest ones; their pairs are looked at."""
_STROKES = 0.3
"""Least correlation of neighbouring pixels in a line. Strokes have 0.5 and more, noise has none."""
_NOISE = 0.25
"""Least share of lines with strokes in the area of all that look like lines."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels, half-open."""


@dataclass(frozen=True)
class Line:
    """One line of writing.

    Attributes:
        pixels: uint8 `LINE_SHAPE`, ink light on 0, at the left.
        box: of the line in the picture.
        scale: pixels of `pixels` for each pixel of the picture, along x and y.
    """

    pixels: np.ndarray
    box: Box
    scale: tuple[float, float]

    def in_picture(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (n, 4) in `pixels` as float32 boxes in the picture."""
        scale = np.array([*self.scale, *self.scale], np.float32)
        return (boxes / scale + np.array([*self.box[:2], *self.box[:2]])).astype(np.float32)

    def from_picture(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (n, 4) in the picture as float32 boxes in `pixels`, cut at its borders."""
        scale = np.array([*self.scale, *self.scale], np.float32)
        moved = (boxes - np.array([*self.box[:2], *self.box[:2]])) * scale
        height, width = self.pixels.shape[:2]
        return np.clip(moved, 0, [width, height] * 2).astype(np.float32)


@dataclass(frozen=True)
class Ingested:
    """What a picture holds.

    Attributes:
        lines: from top to bottom, those side by side from left to right; at most `MOST_LINES`.
        notes: what was done, in order: `light_on_dark` (inverted), `scaled_down` (before lines were found), `squeezed`
            (a line was longer than the model's picture), `more_lines` (than `MOST_LINES`). Without lines the last note
            says why: `no_contrast`, `no_writing`, or `too_small` (the writing or a side of the picture has less than
            `SMALLEST` pixels, or a side less than a hundredth of the other).
    """

    lines: tuple[Line, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Paper:
    """The estimated paper of a picture.

    Attributes:
        levels: uint8, scaled down by `step`.
        step: pixels of the picture for each of `levels`.
        offset: of the ink, in 255ths of the paper, that a printed pattern or noise leaves everywhere.
    """

    levels: np.ndarray
    step: int
    offset: int = 0

    def ink_of(self, picture: np.ndarray, left: int = 0, top: int = 0) -> np.ndarray:
        """How much darker than the paper each pixel is, in 255ths of the paper.

        Args:
            picture: uint8 (h, w), dark on light: a part of the picture whose paper this is.
            left: x of the part.
            top: y of the part.
        """
        height, width = picture.shape
        if self.step == 1:
            paper = self.levels[top : top + height, left : left + width]
        else:
            # One more pixel on each side, so that a part has the paper of the whole.
            x0, y0 = max(0, left // self.step - 1), max(0, top // self.step - 1)
            x1, y1 = -(-(left + width) // self.step) + 1, -(-(top + height) // self.step) + 1
            levels = self.levels[y0:y1, x0:x1]
            size = (levels.shape[1] * self.step, levels.shape[0] * self.step)
            paper = cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR)
            paper = paper[top - y0 * self.step :, left - x0 * self.step :][:height, :width]
            short = (height - paper.shape[0], width - paper.shape[1])
            if max(short) > 0:
                paper = cv2.copyMakeBorder(paper, 0, short[0], 0, short[1], cv2.BORDER_REPLICATE)
        ink = cv2.divide(cv2.subtract(paper, picture), np.maximum(paper, np.uint8(DARKEST)), scale=255)
        return cv2.subtract(ink, np.full_like(ink, self.offset)) if self.offset else ink


def ingest(picture: np.ndarray, *, one_line: bool = False) -> Ingested:
    """Find and cut the lines of writing of a picture.

    Args:
        picture: uint8 (H, W), grey, of any size and either polarity.
        one_line: everything found is one line, as on a picture that was cut around a number.
    """
    _expect_grey(picture)
    _stay_on_this_thread()
    if min(picture.shape) < max(SMALLEST, max(picture.shape) / LONGEST):
        return Ingested((), ("too_small",))
    notes = []
    step = _step(picture.shape, COARSE)
    coarse = _scaled_down(picture, step)
    if is_light_on_dark(coarse):
        picture = 255 - picture
        coarse = _scaled_down(picture, step)
        notes.append("light_on_dark")
    if step > 1:
        notes.append("scaled_down")
    paper = _paper_of(coarse)
    found = _found(paper.ink_of(coarse), step, one_line)
    fine_step = _step(picture.shape, FINE)
    if fine_step < step and found.height < SMALL_WRITING:
        step, fine = fine_step, _scaled_down(picture, fine_step)
        paper = _paper_of(fine)
        found = _found(paper.ink_of(fine), step, one_line)
    paper = replace(paper, step=paper.step * step)
    lines = []
    for box in found.boxes:
        x0, y0, x1, y1 = _with_margin(box, picture.shape, step)
        ink = paper.ink_of(picture[y0:y1, x0:x1], x0, y0)
        lines.append(_line(ink, found.threshold, (x0, y0), 1.0))
    return _ingested(lines, (*notes, *found.notes))


def cut_lines(ink: np.ndarray, scale: float = 1.0, *, one_line: bool = False) -> Ingested:
    """Find and cut the lines of ink without paper.

    Args:
        ink: uint8 (H, W), as `remove_paper` returns it.
        scale: pixels of `ink` for each pixel of the picture, in which boxes are returned.
        one_line: as in `ingest`.
    """
    _stay_on_this_thread()
    found = _found(_expect_grey(ink), 1 / scale, one_line)
    lines = []
    for box in found.boxes:
        x0, y0, x1, y1 = _with_margin(box, ink.shape, 1)
        lines.append(_line(ink[y0:y1, x0:x1], found.threshold, (x0, y0), scale))
    return _ingested(lines, found.notes)


def is_light_on_dark(picture: np.ndarray) -> bool:
    """Whether the ink of uint8 (H, W) is lighter than its paper.

    Ink covers little, so differences to the local median are skewed towards it; shadows and large dark areas move the
    median with them.
    """
    _stay_on_this_thread()
    small = _scaled_down(_expect_grey(picture), _step(picture.shape, _POLARITY))
    side = min(max(3, min(small.shape) // 2 | 1), 101)
    difference = small.astype(np.float32) - cv2.medianBlur(small, side)
    difference -= difference.mean()
    return bool((difference**3).mean() > 0)


def remove_paper(picture: np.ndarray) -> np.ndarray:
    """Ink of uint8 (H, W), dark on light, as uint8 (H, W): how much darker than the paper each pixel is.

    The paper is the morphological closing of the picture, which no pen stroke survives, smoothed. Ink is a share of the
    paper, so a shadow does not weaken it. What a printed pattern leaves in most pixels counts as paper too.
    """
    _stay_on_this_thread()
    return _paper_of(_expect_grey(picture)).ink_of(picture)


def find_lines(mask: np.ndarray) -> list[Box]:
    """Boxes of the lines of writing in bool (H, W), where True is ink; from top to bottom, then from left to right.

    Rules and underlines are left out. Connected components as tall as digits are chained to lines: neighbours at about
    the same height, and not far apart.
    """
    return _lines_and_height(mask.astype(np.uint8))[0]


@dataclass(frozen=True)
class _Found:
    """Lines in a picture of ink.

    Attributes:
        boxes: in pixels of the ink.
        threshold: above which ink counts as such.
        height: of the digits in pixels; 0 without any.
        notes: `more_lines`, or why there are none.
    """

    boxes: list[Box]
    threshold: int
    height: float = 0.0
    notes: tuple[str, ...] = ()


def _found(ink: np.ndarray, step: float, one_line: bool) -> _Found:
    """Find the lines of ink, each pixel of which is `step` pixels of the picture wide."""
    threshold, contrast = _threshold(ink)
    if contrast < CONTRAST:
        return _Found([], threshold, notes=("no_contrast",))
    mask = cv2.threshold(ink, threshold, 1, cv2.THRESH_BINARY)[1]
    boxes, height = _lines_and_height(mask)
    strokes = [box for box in boxes if _has_strokes(mask, box)]
    # Among thousands of specks of noise some look like strokes.
    boxes = strokes if _size(strokes) >= _NOISE * _size(boxes) else []
    if one_line and boxes:
        corners = np.array(boxes)
        boxes = [(*corners[:, :2].min(axis=0), *corners[:, 2:].max(axis=0))]
    large = [box for box in boxes if (box[3] - box[1]) * step >= SMALLEST]
    if not large:
        return _Found([], threshold, height, ("too_small" if boxes else "no_writing",))
    notes = ("more_lines",) if len(large) > MOST_LINES else ()
    return _Found(large[:MOST_LINES], threshold, height, notes)


def _size(boxes: list[Box]) -> float:
    return sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes)


def _ingested(lines: list[Line], notes: tuple[str, ...]) -> Ingested:
    squeezed = any(line.scale[0] < 0.99 * line.scale[1] for line in lines)
    return Ingested(tuple(lines), (*notes, "squeezed") if squeezed else notes)


def _expect_grey(picture: np.ndarray) -> np.ndarray:
    if picture.dtype != np.uint8 or picture.ndim != 2 or min(picture.shape) < 1:
        raise ValueError(f"expected uint8 (height, width), found {picture.dtype} {picture.shape}")
    return picture


def _stay_on_this_thread() -> None:
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)


def _step(shape: tuple[int, ...], pixels: int) -> int:
    """The smallest whole number by which a picture's sides are divided to leave at most so many pixels.

    No side becomes 0: of a picture that is much longer than high more pixels are left.
    """
    return max(1, min(int(np.ceil(np.sqrt(shape[0] * shape[1] / pixels))), *shape))


def _scaled_down(picture: np.ndarray, step: int) -> np.ndarray:
    """The means of squares of `step` by `step` pixels; what is left over at the right and the bottom is left out."""
    if step == 1:
        return picture
    height, width = (side // step for side in picture.shape)
    return cv2.resize(picture[: height * step, : width * step], (width, height), interpolation=cv2.INTER_AREA)


def _paper_of(picture: np.ndarray) -> _Paper:
    """The paper of uint8 (H, W), dark on light."""
    step = _step(picture.shape, PAPER)
    small = _scaled_down(picture, step)
    side = int(np.clip(0.6 * min(small.shape), 9, 61 if step == 1 else 31)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    smooth = cv2.GaussianBlur(small, (0, 0), 1.0)
    levels = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_REPLICATE)
    paper = _Paper(cv2.GaussianBlur(levels, (0, 0), side / 4), step)
    return replace(paper, offset=_median(paper.ink_of(picture)))


def _histogram(ink: np.ndarray) -> np.ndarray:
    """float64 (256,): how many pixels have each value."""
    return cv2.calcHist([ink], [0], None, [256], [0, 256]).ravel().astype(float)


def _median(ink: np.ndarray) -> int:
    counts = np.cumsum(_histogram(ink))
    return int(np.searchsorted(counts, counts[-1] / 2))


def _threshold(ink: np.ndarray) -> tuple[int, float]:
    """Otsu's threshold (1979) between paper and ink, and the difference of their means."""
    counts = _histogram(ink)
    below, sums = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.nan_to_num((sums[-1] - sums) / above - sums / below, posinf=0.0, neginf=0.0)
    threshold = int(np.argmax(below * above * difference**2))
    return threshold, float(difference[threshold])


def _components(ink: np.ndarray) -> np.ndarray:
    """Integers (n, 5): x, y, width, height and area of each connected component, in pixels."""
    return cv2.connectedComponentsWithStats(ink, connectivity=8)[2][1:]


def _digit_height(components: np.ndarray) -> float:
    """The median height of the components, each counted by its area; 0 without any."""
    large = components[components[:, 4] >= 8]
    if not len(large):
        return 0.0
    counts = np.cumsum(np.bincount(large[:, 3], np.minimum(large[:, 4], 400)))
    return float(np.searchsorted(counts, counts[-1] / 2))


def _lines_and_height(ink: np.ndarray) -> tuple[list[Box], float]:
    """The boxes of the lines in uint8 (H, W), 0 or 1, and the height of their digits."""
    rules = _rules(ink, 0)
    components = _components(cv2.subtract(ink, rules)) if rules.any() else _components(ink)
    height = _digit_height(components)
    if rules.any():
        # How long a rule must be depends on the digits, whose height is known without rules alone.
        rules = cv2.dilate(_rules(ink, height), np.ones((3, 3), np.uint8))
        # Where a rule crosses a stroke, the stroke is closed again.
        without = cv2.morphologyEx(cv2.subtract(ink, rules), cv2.MORPH_CLOSE, np.ones((5, 1), np.uint8))
        components = _components(cv2.bitwise_and(without, cv2.bitwise_or(ink, rules)))
        height = _digit_height(components)
    tall = (components[:, 3] >= max(5, _TALL * height)) & (components[:, 4] >= 0.1 * height)
    digits = components[tall].astype(float)
    if len(digits) > _MOST_DIGITS:
        digits = digits[np.sort(np.argsort(-digits[:, 4], kind="stable")[:_MOST_DIGITS])]
    boxes, areas = [], []
    for members in _chains(digits):
        x, y, w, h, area = digits[members].T
        boxes.append((x.min(), y.min(), (x + w).max(), (y + h).max()))
        areas.append(area.sum())
    pieces = components[~tall & (components[:, 2:4].max(axis=1) >= max(3, _PIECE * height))].astype(float)
    kept = [
        _with_pieces(box, pieces, height) for box, area in zip(boxes, areas, strict=True) if area >= 0.02 * max(areas)
    ]
    return _in_reading_order(kept), height


def _with_pieces(box: Box, pieces: np.ndarray, height: float) -> Box:
    """A line's box with the small components, float (n, 5), at its height and next to it.

    A fine pen breaks digits into pieces, and the zeros of an amount are often small.
    """
    x, y, right, bottom = pieces[:, 0], pieces[:, 1], pieces[:, 0] + pieces[:, 2], pieces[:, 1] + pieces[:, 3]
    for _ in range(_MOST_PIECES):
        x0, y0, x1, y1 = box
        common = np.minimum(bottom, y1) - np.maximum(y, y0)
        beside = (common >= _LEVEL * pieces[:, 3]) & (right > x0 - _NEAR * height) & (x < x1 + _NEAR * height)
        beside &= (x < x0) | (right > x1) | (y < y0) | (bottom > y1)
        if not beside.any():
            break
        grown = (x[beside].min(), y[beside].min(), right[beside].max(), bottom[beside].max())
        box = (min(x0, grown[0]), min(y0, grown[1]), max(x1, grown[2]), max(y1, grown[3]))
    return box


def _rules(ink: np.ndarray, height: float) -> np.ndarray:
    """uint8 (H, W): long thin runs along x or y, such as ruled lines, underlines and the edges of paper."""
    rules = np.zeros_like(ink)
    for along in (1, 0):
        side = ink.shape[along]
        run = max(side // 24, 12)
        kernel = np.ones((1, run) if along else (run, 1), np.uint8)
        runs = cv2.morphologyEx(ink, cv2.MORPH_OPEN, kernel)
        # The runs of a rule reach over a third of the side.
        if cv2.countNonZero(cv2.reduce(runs, 0 if along else 1, cv2.REDUCE_MAX)) < 0.3 * side:
            continue
        # A rule that is not quite straight is several runs, one after the other.
        reach = max(3, run // 2)
        joined = cv2.dilate(runs, np.ones((3, reach) if along else (reach, 3), np.uint8))
        _, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        length, thickness = stats[:, 2:4].T if along else stats[:, 3:1:-1].T
        is_rule = (length >= max(0.5 * side, 3 * height)) & (thickness <= 0.06 * length + 6)
        is_rule[0] = False
        if is_rule.any():
            rules |= runs & is_rule.astype(np.uint8)[labels]
    return rules


def _has_strokes(mask: np.ndarray, box: Box) -> bool:
    """Whether the ink in a box is of strokes, in which neighbouring pixels go together, and not of noise."""
    x0, y0, x1, y1 = map(int, box)
    part = mask[y0:y1, x0:x1]
    share = cv2.countNonZero(part) / part.size
    if share == 1:
        return True
    both = [
        cv2.countNonZero(cv2.bitwise_and(part[:, 1:], part[:, :-1])) / max(1, part.size - len(part))
        if x1 - x0 > 1
        else 0,
        cv2.countNonZero(cv2.bitwise_and(part[1:], part[:-1])) / max(1, part.size - part.shape[1]),
    ]
    return (sum(both) / 2 - share**2) / (share * (1 - share)) >= _STROKES


def _chains(digits: np.ndarray) -> list[np.ndarray]:
    """Indices of the digits, float (n, 5), of each line."""
    x, y, w, h, _ = digits.T
    common = np.minimum.outer(y + h, y + h) - np.maximum.outer(y, y)
    gap = x[None] - (x + w)[:, None]
    lower = np.minimum.outer(h, h)
    joined = (x[None] >= x[:, None]) & (common >= _OVERLAP * lower) & (gap < _GAP * np.add.outer(h, h) / 2)
    first, second = np.nonzero(joined)
    # Each digit takes the smallest number of its neighbours, and then of the one with that number, until none changes.
    labels = np.arange(len(digits))
    while True:
        smaller = labels.copy()
        np.minimum.at(smaller, first, labels[second])
        np.minimum.at(smaller, second, labels[first])
        smaller = smaller[smaller]
        if np.array_equal(smaller, labels):
            return [np.flatnonzero(labels == label) for label in np.unique(labels)]
        labels = smaller


def _in_reading_order(boxes: list[Box]) -> list[Box]:
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: (box[1] + box[3], box[0])):
        last = rows[-1][-1] if rows else box
        common = min(last[3], box[3]) - max(last[1], box[1])
        if rows and common > 0.5 * min(last[3] - last[1], box[3] - box[1]):
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row)]


def _with_margin(box: Box, shape: tuple[int, ...], step: int) -> tuple[int, int, int, int]:
    """A box of ink, of which each pixel is `step` wide, with some paper around it in a picture of a shape."""
    x0, y0, x1, y1 = (value * step for value in box)
    margin = MARGIN * (y1 - y0) + step
    right, bottom = (min(side, int(np.ceil(value + margin))) for side, value in zip(shape[::-1], (x1, y1), strict=True))
    return max(0, int(x0 - margin)), max(0, int(y0 - margin)), right, bottom


def _line(ink: np.ndarray, threshold: int, corner: tuple[int, int], scale: float) -> Line:
    """The line in uint8 (h, w), scaled to `LINE_HEIGHT`.

    Args:
        ink: a part of a picture of ink.
        threshold: above which ink counts as such.
        corner: x and y of the part, in pixels of the ink.
        scale: pixels of `ink` for each pixel of the picture that came in.
    """
    height, full = ink.shape
    zoom = LINE_HEIGHT / height
    width = min(LINE_WIDTH, max(1, round(full * zoom)))
    if zoom >= 1:
        narrow = cv2.resize(ink, (min(width, full), height), interpolation=cv2.INTER_AREA)
        drawn = cv2.resize(narrow, (width, LINE_HEIGHT), interpolation=cv2.INTER_CUBIC)
    else:
        drawn = cv2.resize(ink, (width, LINE_HEIGHT), interpolation=cv2.INTER_AREA)
    counts = np.cumsum(_histogram(ink)[threshold + 1 :])
    level = threshold + 1 + int(np.searchsorted(counts, 0.8 * counts[-1])) if counts[-1:] > 0 else 255
    pixels = np.zeros(LINE_SHAPE, np.uint8)
    pixels[:, :width, 0] = np.rint(np.clip(drawn * np.float32(INK_LEVEL / max(level, CONTRAST)), 0, 255))
    x0, y0 = corner
    return Line(
        pixels=pixels,
        box=(x0 / scale, y0 / scale, (x0 + full) / scale, (y0 + height) / scale),
        scale=(width / full * scale, zoom * scale),
    )

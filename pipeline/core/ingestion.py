"""Ingestion: any grey picture of handwritten numbers becomes lines of ink in the one form that models read.

The steps are: decide the polarity, remove the paper, find the lines of writing, and scale each to the model's height.
Training sets, `make read` and the service all ingest here, so a model sees the same ink everywhere. Boxes are in the
pixels of the picture that came in.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.core.lines import LINE_HEIGHT, LINE_SHAPE, LINE_WIDTH

ANALYSIS = 1600
"""Longest side, in pixels, of the picture in which lines are found; a larger one is scaled down."""
PAPER = 800
"""Longest side, in pixels, of the picture in which the paper is estimated: paper is smooth."""
CONTRAST = 18
"""Least difference of ink and paper, in grey levels of 0 to 255, at which writing counts as visible."""
SMALLEST = 8
"""Least height of a line, in pixels of the picture."""
MARGIN = 0.12
"""Paper around the ink of a line, as a share of the line's height."""
INK_LEVEL = 235
"""Value of the ink's 80th percentile in a line's picture, whatever pen wrote it."""
_TALL = 0.45
"""A component at least this share of the median height is a digit; a smaller one is a separator or a speck."""
_GAP = 1.6
"""Two digits at most this many heights apart are of one line."""
_OVERLAP = 0.35
"""Two digits of one line have at least this share of the lower one's height in common."""

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
        lines: from top to bottom, those side by side from left to right.
        notes: what was done, in order: `light_on_dark` (inverted), `scaled_down` (before lines were found), `squeezed`
            (a line was longer than the model's picture). Without lines the last note says why: `no_contrast`,
            `no_writing` or `too_small`.
    """

    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def ingest(picture: np.ndarray, *, one_line: bool = False) -> Ingested:
    """Find and cut the lines of writing of a picture.

    Args:
        picture: uint8 (H, W), grey, of any size and either polarity.
        one_line: everything found is one line, as on a picture that was cut around a number.
    """
    notes = []
    dark = _expect_grey(picture)
    if is_light_on_dark(picture):
        dark = 255 - picture
        notes.append("light_on_dark")
    scale = min(1.0, ANALYSIS / max(dark.shape))
    if scale < 1:
        dark = cv2.resize(dark, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        notes.append("scaled_down")
    found = cut_lines(remove_paper(dark), scale, one_line=one_line)
    return Ingested(found.lines, (*notes, *found.notes))


def cut_lines(ink: np.ndarray, scale: float = 1.0, *, one_line: bool = False) -> Ingested:
    """Find and cut the lines of ink without paper.

    Args:
        ink: uint8 (H, W), as `remove_paper` returns it.
        scale: pixels of `ink` for each pixel of the picture, in which boxes are returned.
        one_line: as in `ingest`.
    """
    notes: list[str] = []
    threshold, contrast = _threshold(ink)
    if contrast < CONTRAST:
        return Ingested((), ("no_contrast",))
    boxes = find_lines(ink > threshold)
    if one_line and boxes:
        corners = np.array(boxes)
        boxes = [(*corners[:, :2].min(axis=0), *corners[:, 2:].max(axis=0))]
    large = [box for box in boxes if box[3] - box[1] >= SMALLEST * scale]
    if not large:
        return Ingested((), ("too_small" if boxes else "no_writing",))
    lines = [_cut(ink, threshold, box, scale) for box in large]
    if any(line.scale[0] < 0.99 * line.scale[1] for line in lines):
        notes.append("squeezed")
    return Ingested(tuple(lines), tuple(notes))


def is_light_on_dark(picture: np.ndarray) -> bool:
    """Whether the ink of uint8 (H, W) is lighter than its paper.

    Ink covers little, so differences to the local median are skewed towards it; shadows and large dark areas move the
    median with them.
    """
    step = max(1, -(-max(picture.shape) // 400))
    small = cv2.resize(picture, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA) if step > 1 else picture
    side = min(max(3, min(small.shape) // 2 | 1), 101)
    difference = small.astype(np.float32) - cv2.medianBlur(small, side)
    difference -= difference.mean()
    return bool((difference**3).mean() > 0)


def remove_paper(picture: np.ndarray) -> np.ndarray:
    """Ink of uint8 (H, W), dark on light, as uint8 (H, W): how much darker than the paper each pixel is.

    The paper is the morphological closing of the picture, which no pen stroke survives, smoothed. Its median difference
    to the picture, which a printed pattern leaves, counts as paper too.
    """
    step = max(1, round(max(picture.shape) / PAPER))
    size = (max(1, picture.shape[1] // step), max(1, picture.shape[0] // step))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if step > 1 else picture
    side = int(np.clip(0.6 * min(small.shape), 9, 61)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    smooth = cv2.GaussianBlur(small, (0, 0), 1.0)
    paper = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_REPLICATE)
    paper = cv2.GaussianBlur(paper, (0, 0), side / 4)
    if step > 1:
        paper = cv2.resize(paper, picture.shape[::-1], interpolation=cv2.INTER_LINEAR)
    ink = cv2.subtract(paper, picture)
    return cv2.subtract(ink, int(np.median(ink)))


def find_lines(mask: np.ndarray) -> list[Box]:
    """Boxes of the lines of writing in bool (H, W), where True is ink; from top to bottom, then from left to right.

    Rules and underlines are left out. Connected components as tall as digits are chained to lines: neighbours at about
    the same height, and not far apart.
    """
    ink = mask.astype(np.uint8)
    components = _components(ink)
    height = _digit_height(components)
    rules = _rules(ink, 0)
    if rules.any():
        # How long a rule must be depends on the digits, whose height is known without rules alone.
        height = _digit_height(_components(ink & ~rules & 1))
        rules = cv2.dilate(_rules(ink, height), np.ones((3, 3), np.uint8))
        # Where a rule crosses a stroke, the stroke is closed again.
        without = cv2.morphologyEx(ink & ~rules & 1, cv2.MORPH_CLOSE, np.ones((5, 1), np.uint8))
        components = _components(without & (ink | rules))
        height = _digit_height(components)
    tall = (components[:, 3] >= max(5, _TALL * height)) & (components[:, 4] >= 0.1 * height)
    digits = components[tall].astype(float)
    boxes, areas = [], []
    for members in _chains(digits, height):
        x, y, w, h, area = digits[members].T
        boxes.append((x.min(), y.min(), (x + w).max(), (y + h).max()))
        areas.append(area.sum())
    kept = [box for box, area in zip(boxes, areas, strict=True) if area >= 0.02 * max(areas)]
    return _in_reading_order(kept)


def _expect_grey(picture: np.ndarray) -> np.ndarray:
    if picture.dtype != np.uint8 or picture.ndim != 2 or min(picture.shape) < 1:
        raise ValueError(f"expected uint8 (height, width), found {picture.dtype} {picture.shape}")
    return picture


def _threshold(ink: np.ndarray) -> tuple[int, float]:
    """Otsu's threshold (1979) between paper and ink, and the difference of their means, in grey levels."""
    threshold, binary = cv2.threshold(ink, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    if not binary.any():
        return 0, 0.0
    return int(threshold), float(ink[binary > 0].mean() - ink[binary == 0].mean())


def _components(ink: np.ndarray) -> np.ndarray:
    """Integers (n, 5): x, y, width, height and area of each connected component, in pixels."""
    return cv2.connectedComponentsWithStats(ink, connectivity=8)[2][1:]


def _digit_height(components: np.ndarray) -> float:
    """The median height of the components, each counted by its area; 0 without any."""
    large = components[components[:, 4] >= 8]
    return float(np.median(np.repeat(large[:, 3], np.minimum(large[:, 4], 400)))) if len(large) else 0.0


def _rules(ink: np.ndarray, height: float) -> np.ndarray:
    """uint8 (H, W): long thin runs along x or y, such as ruled lines, underlines and the edges of paper."""
    rules = np.zeros_like(ink)
    for along in (1, 0):
        side = ink.shape[along]
        run = max(side // 24, 12)
        kernel = np.ones((1, run) if along else (run, 1), np.uint8)
        runs = cv2.morphologyEx(ink, cv2.MORPH_OPEN, kernel)
        # A rule that is not quite straight is several runs, one after the other.
        reach = max(3, run // 2)
        joined = cv2.dilate(runs, np.ones((3, reach) if along else (reach, 3), np.uint8))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        for label in range(1, count):
            length, thickness = stats[label, 2:4] if along else stats[label, 3:1:-1]
            if length >= max(0.5 * side, 3 * height) and thickness <= 0.06 * length + 6:
                rules[(labels == label) & (runs > 0)] = 1
    return rules


def _chains(digits: np.ndarray, height: float) -> list[list[int]]:
    """Indices of the digits, float (n, 5), of each line."""
    parent = list(range(len(digits)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    order = np.argsort(digits[:, 0], kind="stable")
    for place, first in enumerate(order):
        x, y, w, h, _ = digits[first]
        for second in order[place + 1 :]:
            next_x, next_y, _, next_h, _ = digits[second]
            if next_x - (x + w) > 4 * max(h, height):
                break
            common = min(y + h, next_y + next_h) - max(y, next_y)
            if common >= _OVERLAP * min(h, next_h) and next_x - (x + w) < _GAP * (h + next_h) / 2:
                parent[root(int(first))] = root(int(second))
    chains: dict[int, list[int]] = {}
    for index in range(len(digits)):
        chains.setdefault(root(index), []).append(index)
    return list(chains.values())


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


def _cut(ink: np.ndarray, threshold: int, box: Box, scale: float) -> Line:
    """A line's ink with some paper around it, `LINE_HEIGHT` pixels high, at the left of `LINE_SHAPE`."""
    margin = MARGIN * (box[3] - box[1]) + 1
    x0, y0 = (max(0, int(value - margin)) for value in box[:2])
    x1, y1 = (min(side, int(np.ceil(value + margin))) for side, value in zip(ink.shape[::-1], box[2:], strict=True))
    part = ink[y0:y1, x0:x1]
    zoom = LINE_HEIGHT / part.shape[0]
    width = min(LINE_WIDTH, max(1, round(part.shape[1] * zoom)))
    drawn = cv2.resize(
        part, (width, LINE_HEIGHT), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    ).astype(np.float32)
    strokes = part[part > threshold]
    level = float(np.percentile(strokes, 80)) if len(strokes) else 255.0
    pixels = np.zeros(LINE_SHAPE, np.uint8)
    pixels[:, :width, 0] = np.rint(np.clip(drawn * (INK_LEVEL / max(level, CONTRAST)), 0, 255))
    return Line(
        pixels=pixels,
        box=(x0 / scale, y0 / scale, x1 / scale, y1 / scale),
        scale=(width / (x1 - x0) * scale, zoom * scale),
    )

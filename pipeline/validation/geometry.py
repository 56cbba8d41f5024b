"""Measures of strips, scenes and lines as columns: of boxes and ink, and the first fault of each picture."""

from typing import Any

import numpy as np

from pipeline.core.images import DIGIT, INK, SCENE_SHAPE, SCENE_SLOTS, SLOTS, STRIP_SHAPE, ImageSet
from pipeline.core.lines import LINE_SHAPE

OVERLAP = 6
"""The boxes of neighbours overlap by at most this many columns. Stated here as well as in the composition: a check that
asked the composition would agree with its mistakes."""
_CHUNK = 2048


def strip_geometry(pictures: ImageSet, drawn: np.ndarray) -> dict[str, Any]:
    """The columns of strips.

    Args:
        pictures: strips with boxes.
        drawn: bool (n, 5), which slots hold a digit.

    Returns:
        Arrays (n,), or one value for all pictures. `box_fault`, `cell_fault`: the first slot with a fault and the
        reason, or None; `min_box_ink`: fewest ink pixels in a digit's box, NaN without digits; `stray_ink`: ink pixels
        outside all boxes; `blank_ink`: ink pixels in the columns of blank slots; `seam_ink`: ink pixels in the last
        column of a cell and the first of the next.
    """
    n, (height, width, _) = len(pictures), pictures.shape
    boxes = pictures.boxes
    if boxes is None or (height, width) != STRIP_SHAPE[:2]:
        zeros = np.zeros(n, np.int64)
        fault = "no boxes" if boxes is None else "not the shape of a strip"
        ink = dict.fromkeys(("min_box_ink", "stray_ink", "blank_ink", "seam_ink"), zeros)
        return {**ink, "box_fault": fault, "cell_fault": fault}

    x0, x1 = boxes[..., 0], boxes[..., 2]
    left, right = np.arange(SLOTS) * DIGIT, (np.arange(SLOTS) + 1) * DIGIT
    backwards, overlapping = np.zeros((2, n, SLOTS), bool)
    edge, previous = np.full((2, n), -np.inf)
    for slot in range(SLOTS):
        here, centre = drawn[:, slot], (x0[:, slot] + x1[:, slot]) / 2
        backwards[:, slot] = here & (centre <= previous)
        overlapping[:, slot] = here & (edge - x0[:, slot] > OVERLAP)
        edge, previous = np.where(here, x1[:, slot], edge), np.where(here, centre, previous)
    faults = {
        **_box_faults(boxes, drawn, height, width),
        "a box to the left of the previous one": backwards,
        f"a box that overlaps the previous one by more than {OVERLAP} columns": overlapping,
    }
    found = {
        "box_fault": first_fault(faults),
        "cell_fault": first_fault({"a box outside its cell": drawn & ((x0 < left) | (x1 > right))}),
    }
    return {**found, **_strip_ink(pictures.images, boxes, drawn)}


def scene_geometry(pictures: ImageSet, drawn: np.ndarray) -> dict[str, Any]:
    """The columns of scenes.

    Args:
        pictures: scenes with boxes.
        drawn: bool (n, 8), which slots hold a digit.

    Returns:
        Arrays (n,), or one value for all pictures; numbers are NaN without a digit, or without two, to measure.
        `box_fault`: the first slot with a fault and the reason, or None; `min_side`, `max_side`: the longer side of a
        box in pixels, over all boxes; `min_x_distance`: pixels along x from the centre of a box to that of the next,
        negative if the next is to the left; `max_iou`, `max_overlap`: the intersection of two boxes as a share of their
        union and of the smaller one; `min_box_ink`: fewest ink pixels in a box; `bare_sides`: sides of boxes without
        ink.
    """
    n, (height, width, _), boxes = len(pictures), pictures.shape, pictures.boxes
    if boxes is None or (height, width) != SCENE_SHAPE[:2]:
        numbers = ("min_side", "max_side", "min_x_distance", "max_iou", "max_overlap", "min_box_ink")
        fault = "no boxes" if boxes is None else "not the shape of a scene"
        return {**dict.fromkeys(numbers, np.full(n, np.nan)), "bare_sides": np.zeros(n, np.int64), "box_fault": fault}

    x0, y0, x1, y1 = np.moveaxis(boxes.astype(float), -1, 0)
    side, area = np.maximum(x1 - x0, y1 - y0), np.maximum((x1 - x0) * (y1 - y0), 1)
    distance, iou, overlap, previous = np.full((4, n), np.nan)
    for slot in range(SCENE_SLOTS):
        here, centre = drawn[:, slot], (x0[:, slot] + x1[:, slot]) / 2
        distance = np.fmin(distance, np.where(here, centre - previous, np.nan))
        previous = np.where(here, centre, previous)
        for other in range(slot):
            both = here & drawn[:, other]
            across = np.minimum(x1[:, slot], x1[:, other]) - np.maximum(x0[:, slot], x0[:, other])
            along = np.minimum(y1[:, slot], y1[:, other]) - np.maximum(y0[:, slot], y0[:, other])
            common = np.maximum(across, 0) * np.maximum(along, 0)
            union, smaller = area[:, slot] + area[:, other] - common, np.minimum(area[:, slot], area[:, other])
            iou = np.fmax(iou, np.where(both, common / union, np.nan))
            overlap = np.fmax(overlap, np.where(both, common / smaller, np.nan))
    late = drawn & (np.cumsum(~drawn, axis=1) > 0)
    return {
        "box_fault": first_fault({**_box_faults(boxes, drawn, height, width), "a digit after a blank": late}),
        "min_side": np.fmin.reduce(np.where(drawn, side, np.nan), axis=1),
        "max_side": np.fmax.reduce(np.where(drawn, side, np.nan), axis=1),
        "min_x_distance": distance,
        "max_iou": iou,
        "max_overlap": overlap,
        **_scene_ink(pictures.images, boxes, drawn),
    }


def line_geometry(pictures: ImageSet, drawn: np.ndarray) -> dict[str, Any]:
    """The columns of lines.

    Args:
        pictures: lines.
        drawn: bool (n, 10), which slots hold a digit.

    Returns:
        Arrays (n,), or one value for all pictures. `box_fault`: the first slot with a fault and the reason, or None;
        `missing_box`: likewise, for digits without a box or with an empty one; `min_box_ink`: fewest ink pixels in a
        digit's box, NaN without boxes; `is_empty`: a picture without any ink.
    """
    n, (height, width, _) = len(pictures), pictures.shape
    late = {"a digit after a blank": drawn & (np.cumsum(~drawn, axis=1) > 0)}
    found: dict[str, Any] = {"is_empty": pictures.images.max(axis=(1, 2, 3)) == 0, "min_box_ink": np.full(n, np.nan)}
    if (height, width) != LINE_SHAPE[:2]:
        return {**found, "box_fault": "not the shape of a line", "missing_box": "not the shape of a line"}
    if pictures.boxes is None:
        return {**found, "box_fault": first_fault(late), "missing_box": "no boxes"}
    boxes = pictures.boxes
    known = (boxes != 0).any(axis=-1)
    x0, y0, x1, y1 = np.moveaxis(boxes, -1, 0)
    sized = (x0 < x1) & (y0 < y1)
    backwards, previous = np.zeros_like(drawn), np.full(n, -np.inf)
    for slot in range(drawn.shape[1]):
        here, centre = drawn[:, slot] & known[:, slot], (x0[:, slot] + x1[:, slot]) / 2
        backwards[:, slot] = here & (centre < previous)
        previous = np.where(here, centre, previous)
    faults = _box_faults(boxes, drawn, height, width)
    missing = {reason: faults.pop(reason) for reason in ("a digit without a box", "an empty box")}
    found["box_fault"] = first_fault({**late, **faults, "a box to the left of the previous one": backwards})
    found["missing_box"] = first_fault(missing)
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        sums = _ink_sums(pictures.images[rows])
        low, high = np.floor(boxes[rows, :, :2]), np.ceil(boxes[rows, :, 2:])
        corners = np.clip(np.concatenate([low, high], axis=-1), 0, [width, height, width, height]).astype(int)
        inked = _ink_within(sums, *np.moveaxis(corners, -1, 0))
        found["min_box_ink"][rows] = np.fmin.reduce(np.where(drawn[rows] & sized[rows], inked, np.nan), axis=1)
    return found


def _box_faults(boxes: np.ndarray, drawn: np.ndarray, height: int, width: int) -> dict[str, np.ndarray]:
    """The faults that a single box can have, as bool arrays (n, slots)."""
    x0, y0, x1, y1 = np.moveaxis(boxes, -1, 0)
    inside = (x0 >= 0) & (y0 >= 0) & (x1 <= width) & (y1 <= height)
    return {
        "a digit without a box": drawn & ~boxes.any(axis=-1),
        "an empty box": drawn & ~((x0 < x1) & (y0 < y1)),
        "a box that leaves the picture": drawn & ~inside,
        "a blank with a box": ~drawn & boxes.any(axis=-1),
    }


def _scene_ink(images: np.ndarray, boxes: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    n, height, width, _ = images.shape
    min_box_ink, bare_sides = np.full(n, np.nan), np.zeros(n, np.int64)
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        sums = _ink_sums(images[rows])
        # Boxes of labelled pictures end between pixels.
        whole = np.concatenate([np.floor(boxes[rows, :, :2]), np.ceil(boxes[rows, :, 2:])], axis=-1)
        x0, y0, x1, y1 = np.moveaxis(np.clip(whole, 0, [width, height, width, height]).astype(int), -1, 0)
        there = drawn[rows]
        min_box_ink[rows] = np.fmin.reduce(np.where(there, _ink_within(sums, x0, y0, x1, y1), np.nan), axis=1)
        sides = (
            _ink_within(sums, x0, y0, np.minimum(x0 + 1, width), y1),
            _ink_within(sums, x0, y0, x1, np.minimum(y0 + 1, height)),
            _ink_within(sums, np.maximum(x1 - 1, 0), y0, x1, y1),
            _ink_within(sums, x0, np.maximum(y1 - 1, 0), x1, y1),
        )
        bare_sides[rows] = sum((side == 0) & there for side in sides).sum(axis=1)
    return {"min_box_ink": min_box_ink, "bare_sides": bare_sides}


def _ink_sums(images: np.ndarray) -> np.ndarray:
    """Integral images of the ink, int32 (n, H + 1, W + 1) of uint8 (n, H, W, 1).

    Four of its sums give the ink of any box (Crow, "Summed-area tables", 1984).
    """
    ink = (images[..., 0] >= INK).astype(np.int32)
    return np.pad(ink.cumsum(axis=1, dtype=np.int32).cumsum(axis=2, dtype=np.int32), ((0, 0), (1, 0), (1, 0)))


def _ink_within(sums: np.ndarray, x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray) -> np.ndarray:
    """Ink pixels in boxes (n, slots), from integral images (n, H + 1, W + 1)."""
    row = np.arange(len(sums))[:, None]
    return sums[row, y1, x1] - sums[row, y0, x1] - sums[row, y1, x0] + sums[row, y0, x0]


def _strip_ink(images: np.ndarray, boxes: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    n, height, width, _ = images.shape
    x, y = np.arange(width), np.arange(height)
    min_box_ink = np.full(n, np.nan)
    stray_ink, blank_ink, seam_ink = np.zeros((3, n), np.int64)
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        ink = images[rows, :, :, 0] >= INK
        stray = ink.copy()
        for slot in range(SLOTS):
            x0, y0, x1, y1 = (side[:, None] for side in boxes[rows, slot].T)
            within = ((y >= y0) & (y < y1))[:, :, None] & ((x >= x0) & (x < x1))[:, None, :]
            inked = np.where(drawn[rows, slot], (ink & within).sum(axis=(1, 2)), np.nan)
            min_box_ink[rows] = np.fmin(min_box_ink[rows], inked)
            stray &= ~within
        stray_ink[rows] = stray.sum(axis=(1, 2))
        cells = ink.sum(axis=1).reshape(-1, SLOTS, DIGIT)
        blank_ink[rows] = (cells.sum(axis=2) * ~drawn[rows]).sum(axis=1)
        seam_ink[rows] = cells[:, :-1, -1].sum(axis=1) + cells[:, 1:, 0].sum(axis=1)
    return {"min_box_ink": min_box_ink, "stray_ink": stray_ink, "blank_ink": blank_ink, "seam_ink": seam_ink}


def first_fault(faults: dict[str, np.ndarray]) -> np.ndarray:
    """The first slot with a fault in each row, and the reason.

    Args:
        faults: bool (n, slots) by reason, the most important first.

    Returns:
        Text or None, object (n,).
    """
    found = np.full(len(next(iter(faults.values()))), None, object)
    for reason, wrong in faults.items():
        for row, slot in zip(*np.nonzero(wrong), strict=True):
            if found[row] is None:
                found[row] = f"slot {slot + 1}: {reason}"
    return found

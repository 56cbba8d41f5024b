"""A data set as a table, a row a picture: what its expectations are held against.

What a check needs to see (ink outside boxes, the twin of a picture in another split) is worked out here, as columns.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, DIGIT, INK, SCENE_SHAPE, SCENE_SLOTS, SLOTS, STRIP_SHAPE, ImageSet

OVERLAP = 6
"""The boxes of neighbours overlap by at most this many columns. Stated here as well as in the composition: a check that
asked the composition would agree with its mistakes."""
SLOTS_OF = {"strips": SLOTS, "scenes": SCENE_SLOTS}
"""Slots of a picture, of the tasks whose pictures are composed of digits; pictures of other tasks have one label."""
_CHUNK = 2048


@dataclass(frozen=True)
class Split:
    """One split as a table; the pictures themselves need not stay in memory.

    Attributes:
        name: `train`, `valid`, `gate` or `test`.
        pictures: a row a picture: `split, row, origin, shape, dtype, classes, label, mean, deviation, minimum, maximum,
            ink_share, digest, source_1…, source_fault`; for strips `slot_1…slot_5, digits` and the columns of
            `_strip_geometry`; for scenes `slot_1…slot_8, digits` and the columns of `_scene_geometry`.
        class_names: the name of each class.
        sha256: of all arrays of the split.
    """

    name: str
    pictures: pd.DataFrame
    class_names: tuple[str, ...]
    sha256: str


def tabulate(name: str, pictures: ImageSet, task: str) -> Split:
    """Describe every picture of a split in a row of numbers and text, `name row i` being the row's label.

    Raises:
        DataError: a picture has another number of labels than the task's pictures have.
    """
    n, slots = len(pictures), SLOTS_OF.get(task, 1)
    if pictures.slots != slots:
        raise DataError(
            f"{name}: {pictures.slots} labels a picture found, expected {slots}; compose the data set again"
        )
    rows = np.arange(n)
    names = np.array(pictures.class_names, object)
    columns: dict[str, Any] = {
        "split": name,
        "row": rows,
        "origin": pictures.origin,
        "shape": shape_text(pictures.shape),
        "dtype": str(pictures.images.dtype),
        "classes": " ".join(pictures.class_names),
        **_statistics(pictures.images),
    }
    drawn = np.ones(pictures.labels.shape, bool)
    if task in SLOTS_OF:
        drawn = pictures.labels != BLANK
        columns |= {f"slot_{slot + 1}": names[pictures.labels[:, slot]] for slot in range(slots)}
        letters = np.array([name if len(name) == 1 else "_" for name in pictures.class_names], object)
        columns["label"] = letters[pictures.labels].sum(axis=1) if n else []
        columns["digits"] = drawn.sum(axis=1)
        columns |= {"strips": _strip_geometry, "scenes": _scene_geometry}[task](pictures, drawn)
    else:
        columns["label"] = names[pictures.labels[:, 0]]
    if pictures.sources is None or pictures.sources.shape[1] < slots:
        columns["source_fault"] = "no ids, or fewer than slots"
    else:
        columns |= {f"source_{k + 1}": pictures.sources[:, k] for k in range(pictures.sources.shape[1])}
        columns["source_fault"] = _first_fault(
            {
                "a picture without an id": drawn & (pictures.sources[:, :slots] < 0),
                "a blank with an id": ~drawn & (pictures.sources[:, :slots] >= 0),
            }
        )
    sha256 = hashlib.sha256()
    for array in (pictures.images, pictures.labels, pictures.boxes, pictures.sources):
        if array is not None:
            sha256.update(np.ascontiguousarray(array))
    index = pd.Index([f"{name} row {row}" for row in rows], dtype=object)
    return Split(name, pd.DataFrame(columns, index=index), pictures.class_names, sha256.hexdigest())


def joined(splits: Sequence[Split]) -> pd.DataFrame:
    """All splits in one table, with what only shows across them: `twin_elsewhere`, `copy_of`, `source_elsewhere`."""
    table = pd.concat([split.pictures for split in splits])
    rows = table.index.to_numpy()
    split = np.repeat(np.arange(len(splits)), [len(one.pictures) for one in splits])
    compared = np.flatnonzero(table["digits"].to_numpy() > 0) if "digits" in table else np.arange(len(table))
    digest = table["digest"].to_numpy()[compared]
    twin_elsewhere, copy_of, source_elsewhere = np.full((3, len(table)), None, object)
    here, there = _elsewhere(digest, split[compared])
    twin_elsewhere[compared[here]] = rows[compared[there]]
    keys = pd.DataFrame({"digest": digest, "split": split[compared], "row": compared})
    first = keys.groupby(["digest", "split"], sort=False)["row"].transform("first").to_numpy()
    copy_of[compared] = np.where(first == compared, None, rows[first])

    columns = [name for name in table if re.fullmatch(r"source_\d+", name)]
    ids = table[columns].fillna(-1).to_numpy(np.int64).reshape(len(table), -1)
    row, column = np.nonzero(ids >= 0)
    for here, there in zip(*_elsewhere(ids[row, column], split[row]), strict=True):
        source_elsewhere[row[here]] = f"id {ids[row[here], column[here]]}, also in {rows[row[there]]}"
    return table.assign(twin_elsewhere=twin_elsewhere, copy_of=copy_of, source_elsewhere=source_elsewhere)


def shape_text(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in shape)


def _statistics(images: np.ndarray) -> dict[str, Any]:
    """Per picture: mean, standard deviation, extrema, share of ink, and digest, a chunk at a time."""
    n, size = len(images), int(np.prod(images.shape[1:]))
    found = {name: np.zeros(n) for name in ("mean", "deviation", "ink_share")}
    found |= {name: np.zeros(n, np.int64) for name in ("minimum", "maximum")}
    digests = []
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        flat = np.ascontiguousarray(images[rows]).reshape(-1, size)
        # Whole numbers throughout: a constant picture's deviation is 0 exactly, and every machine finds the same.
        total = flat.sum(axis=1, dtype=np.int64)
        squares = np.square(flat, dtype=np.uint16).sum(axis=1, dtype=np.int64)
        found["mean"][rows] = total / size
        found["deviation"][rows] = np.sqrt(size * squares - total**2) / size
        found["ink_share"][rows] = (flat >= INK).sum(axis=1) / size
        found["minimum"][rows], found["maximum"][rows] = flat.min(axis=1), flat.max(axis=1)
        digests += [hashlib.blake2b(picture, digest_size=16).hexdigest() for picture in flat]
    return {**found, "digest": digests}


def _strip_geometry(pictures: ImageSet, drawn: np.ndarray) -> dict[str, Any]:
    """What strips must get right, per picture.

    `box_fault` and `cell_fault`: the first slot at fault and why, or None; `least_box_ink`: fewest ink pixels in a
    digit's box, NaN without digits; `stray_ink`: ink pixels outside all boxes; `blank_ink`: ink pixels in the
    columns of blank slots; `seam_ink`: ink pixels in the last column of a cell and the first of the next.
    """
    n, (height, width, _) = len(pictures), pictures.shape
    boxes = pictures.boxes
    if boxes is None or (height, width) != STRIP_SHAPE[:2]:
        zeros = np.zeros(n, np.int64)
        fault = "no boxes" if boxes is None else "not the shape of a strip"
        ink = dict.fromkeys(("least_box_ink", "stray_ink", "blank_ink", "seam_ink"), zeros)
        return {**ink, "box_fault": fault, "cell_fault": fault}

    x0, x1 = boxes[..., 0], boxes[..., 2]
    left, right = np.arange(SLOTS) * DIGIT, (np.arange(SLOTS) + 1) * DIGIT
    backwards, overlapping = np.zeros((2, n, SLOTS), bool)
    edge, middle = np.full((2, n), -np.inf)
    for slot in range(SLOTS):
        here, centre = drawn[:, slot], (x0[:, slot] + x1[:, slot]) / 2
        backwards[:, slot] = here & (centre <= middle)
        overlapping[:, slot] = here & (edge - x0[:, slot] > OVERLAP)
        edge, middle = np.where(here, x1[:, slot], edge), np.where(here, centre, middle)
    faults = {
        **_box_faults(boxes, drawn, height, width),
        "a box left of the one before": backwards,
        f"a box more than {OVERLAP} columns over the one before": overlapping,
    }
    found = {
        "box_fault": _first_fault(faults),
        "cell_fault": _first_fault({"a box outside its cell": drawn & ((x0 < left) | (x1 > right))}),
    }
    return {**found, **_ink(pictures.images, boxes, drawn)}


def _scene_geometry(pictures: ImageSet, drawn: np.ndarray) -> dict[str, Any]:
    """What scenes must get right, per picture; numbers are NaN where there are no digits, or no two, to measure.

    `box_fault`: the first slot at fault and why, or None; `least_side` and `greatest_side`: the longer side of a box,
    over all boxes; `least_apart`: pixels along x from the middle of a box to that of the next, negative if that lies to
    the left; `greatest_iou` and `greatest_shared`: what two boxes have in common, as a share of their union and of the
    smaller one; `least_box_ink`: fewest ink pixels in a box; `bare_sides`: sides of boxes along which no pixel
    is ink.
    """
    n, (height, width, _), boxes = len(pictures), pictures.shape, pictures.boxes
    if boxes is None or (height, width) != SCENE_SHAPE[:2]:
        numbers = ("least_side", "greatest_side", "least_apart", "greatest_iou", "greatest_shared", "least_box_ink")
        fault = "no boxes" if boxes is None else "not the shape of a scene"
        return {**dict.fromkeys(numbers, np.full(n, np.nan)), "bare_sides": np.zeros(n, np.int64), "box_fault": fault}

    x0, y0, x1, y1 = np.moveaxis(boxes.astype(float), -1, 0)
    side, area = np.maximum(x1 - x0, y1 - y0), np.maximum((x1 - x0) * (y1 - y0), 1)
    apart, iou, shared, middle = np.full((4, n), np.nan)
    for slot in range(SCENE_SLOTS):
        here, centre = drawn[:, slot], (x0[:, slot] + x1[:, slot]) / 2
        apart = np.fmin(apart, np.where(here, centre - middle, np.nan))
        middle = np.where(here, centre, middle)
        for other in range(slot):
            both = here & drawn[:, other]
            across = np.minimum(x1[:, slot], x1[:, other]) - np.maximum(x0[:, slot], x0[:, other])
            along = np.minimum(y1[:, slot], y1[:, other]) - np.maximum(y0[:, slot], y0[:, other])
            common = np.maximum(across, 0) * np.maximum(along, 0)
            union, smaller = area[:, slot] + area[:, other] - common, np.minimum(area[:, slot], area[:, other])
            iou = np.fmax(iou, np.where(both, common / union, np.nan))
            shared = np.fmax(shared, np.where(both, common / smaller, np.nan))
    late = drawn & (np.cumsum(~drawn, axis=1) > 0)
    return {
        "box_fault": _first_fault({**_box_faults(boxes, drawn, height, width), "a digit after a blank": late}),
        "least_side": np.fmin.reduce(np.where(drawn, side, np.nan), axis=1),
        "greatest_side": np.fmax.reduce(np.where(drawn, side, np.nan), axis=1),
        "least_apart": apart,
        "greatest_iou": iou,
        "greatest_shared": shared,
        **_ink_of_boxes(pictures.images, boxes, drawn),
    }


def _box_faults(boxes: np.ndarray, drawn: np.ndarray, height: int, width: int) -> dict[str, np.ndarray]:
    """What may be wrong with a single box, as bool arrays (n, slots)."""
    x0, y0, x1, y1 = np.moveaxis(boxes, -1, 0)
    inside = (x0 >= 0) & (y0 >= 0) & (x1 <= width) & (y1 <= height)
    return {
        "a digit without a box": drawn & ~boxes.any(axis=-1),
        "an empty box": drawn & ~((x0 < x1) & (y0 < y1)),
        "a box that leaves the picture": drawn & ~inside,
        "a blank with a box": ~drawn & boxes.any(axis=-1),
    }


def _ink_of_boxes(images: np.ndarray, boxes: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    n, height, width, _ = images.shape
    least_box_ink, bare_sides = np.full(n, np.nan), np.zeros(n, np.int64)
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        # Ink above and to the left of every pixel's corner: four of these sums give the ink of any box.
        ink = (images[rows, :, :, 0] >= INK).astype(np.int32)
        sums = np.pad(ink.cumsum(axis=1, dtype=np.int32).cumsum(axis=2, dtype=np.int32), ((0, 0), (1, 0), (1, 0)))
        x0, y0, x1, y1 = np.moveaxis(np.clip(boxes[rows], 0, [width, height, width, height]).astype(int), -1, 0)
        there = drawn[rows]
        least_box_ink[rows] = np.fmin.reduce(np.where(there, _ink_within(sums, x0, y0, x1, y1), np.nan), axis=1)
        sides = (
            _ink_within(sums, x0, y0, np.minimum(x0 + 1, width), y1),
            _ink_within(sums, x0, y0, x1, np.minimum(y0 + 1, height)),
            _ink_within(sums, np.maximum(x1 - 1, 0), y0, x1, y1),
            _ink_within(sums, x0, np.maximum(y1 - 1, 0), x1, y1),
        )
        bare_sides[rows] = sum((side == 0) & there for side in sides).sum(axis=1)
    return {"least_box_ink": least_box_ink, "bare_sides": bare_sides}


def _ink_within(sums: np.ndarray, x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray) -> np.ndarray:
    row = np.arange(len(sums))[:, None]
    return sums[row, y1, x1] - sums[row, y0, x1] - sums[row, y1, x0] + sums[row, y0, x0]


def _ink(images: np.ndarray, boxes: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    n, height, width, _ = images.shape
    x, y = np.arange(width), np.arange(height)
    least_box_ink = np.full(n, np.nan)
    stray_ink, blank_ink, seam_ink = np.zeros((3, n), np.int64)
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        ink = images[rows, :, :, 0] >= INK
        stray = ink.copy()
        for slot in range(SLOTS):
            x0, y0, x1, y1 = (side[:, None] for side in boxes[rows, slot].T)
            within = ((y >= y0) & (y < y1))[:, :, None] & ((x >= x0) & (x < x1))[:, None, :]
            inked = np.where(drawn[rows, slot], (ink & within).sum(axis=(1, 2)), np.nan)
            least_box_ink[rows] = np.fmin(least_box_ink[rows], inked)
            stray &= ~within
        stray_ink[rows] = stray.sum(axis=(1, 2))
        cells = ink.sum(axis=1).reshape(-1, SLOTS, DIGIT)
        blank_ink[rows] = (cells.sum(axis=2) * ~drawn[rows]).sum(axis=1)
        seam_ink[rows] = cells[:, :-1, -1].sum(axis=1) + cells[:, 1:, 0].sum(axis=1)
    return {"least_box_ink": least_box_ink, "stray_ink": stray_ink, "blank_ink": blank_ink, "seam_ink": seam_ink}


def _first_fault(faults: dict[str, np.ndarray]) -> np.ndarray:
    """Text on the first slot at fault of each row, from bool arrays (n, slots), or None: object (n,)."""
    found = np.full(len(next(iter(faults.values()))), None, object)
    for reason, wrong in faults.items():
        for row, slot in zip(*np.nonzero(wrong), strict=True):
            if found[row] is None:
                found[row] = f"slot {slot + 1}: {reason}"
    return found


def _elsewhere(keys: np.ndarray, split: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the keys that stand in another split as well, and for each the first position there."""
    table = pd.DataFrame({"key": keys, "split": split, "at": np.arange(len(keys))})
    by_key = table.groupby("key")["split"]
    shared = table[by_key.transform("min") != by_key.transform("max")]
    firsts = shared.groupby(["key", "split"], as_index=False)["at"].min().groupby("key")
    lowest, second = (firsts.nth(place).set_index("key").loc[shared["key"]] for place in (0, 1))
    in_lowest = shared["split"].to_numpy() == lowest["split"].to_numpy()
    return shared["at"].to_numpy(), np.where(in_lowest, second["at"], lowest["at"])

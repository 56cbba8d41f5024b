"""Regions that may hold a digit, proposed from the ink alone, outside any network.

In the spirit of Edge Boxes (Zitnick and Dollár 2014): windows of several sizes and shapes slide over the picture, each
is drawn in to the tight box of the ink inside it, and a box counts for more the more ink it encloses and the less ink
its border cuts through. Connected components alone would not do: digits touch, and clutter crosses them.
"""

import functools
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from pipeline.core.errors import DataError
from pipeline.core.files import read_arrays, write_arrays
from pipeline.core.images import INK, ImageSet

REGIONS = 64
"""Regions of a picture that the strategies ask for."""
HEIGHTS = (14, 18, 23, 29, 36, 45)
ASPECTS = (1.0, 0.7, 0.45)
"""Width over height of the windows."""
STRIDE = 0.15
"""Of a window's side, but at least 2 pixels; digits are tall, and across they are searched a little more coarsely."""
OVERLAP = 0.58
"""Of two regions whose intersection over union is greater, the one with the lower score goes."""
_SIDES = (6, 3, 11)
"""Height, width and longer side that a box has at least, in pixels."""
_FIRST = 600
"""Boxes that compete for a picture's regions, after their scores."""
_CELL = 4
"""Pixels; of boxes whose sides all lie in the same cells, the one with the highest score competes."""
_BITS = 16
_PART = 1000
"""Pictures that a process takes at a time."""


def propose(images: np.ndarray, k: int = REGIONS) -> np.ndarray:
    """The k most promising regions of each picture, best first.

    Args:
        images: uint8 (n, H, W, 1).
        k: regions of a picture.

    Returns:
        float32 (n, k, 4), half-open pixel x0, y0, x1, y1; zeros where a picture has fewer.

    Raises:
        DataError: the pictures are no uint8 pictures of one channel.
    """
    if images.ndim != 4 or images.shape[-1] != 1 or images.dtype != np.uint8:
        raise DataError(f"pictures are {images.dtype} {images.shape}, expected uint8 (n, height, width, 1)")
    if len(images) <= _PART:
        return _proposed(images, k)
    # NumPy on small pictures holds the interpreter's lock: processes help, threads do not.
    parts = [images[start : start + _PART] for start in range(0, len(images), _PART)]
    return np.concatenate(Parallel(n_jobs=-1)(delayed(_proposed)(part, k) for part in parts))


def _proposed(images: np.ndarray, k: int) -> np.ndarray:
    regions = np.zeros((len(images), k, 4), np.float32)
    for image, found in zip(images[..., 0], regions, strict=True):
        boxes = candidates(image)
        kept = suppressed(boxes, scores(image, boxes), k)
        found[: len(kept)] = kept
    return regions


def candidates(image: np.ndarray) -> np.ndarray:
    """Every window, drawn in to the ink that it holds, each box once: uint8 (H, W) -> int64 (m, 4)."""
    ink = image >= INK
    windows, rows, row_of, columns, column_of = _windows(*image.shape)
    x0, y0, x1, y1 = windows
    along_x, along_y = row_of * (image.shape[1] + 1), column_of * (image.shape[0] + 1)
    following, preceding = _nearest_ink(ink, rows)
    left, right = following.ravel().take(along_x + x0), preceding.ravel().take(along_x + x1)
    following, preceding = _nearest_ink(ink.T, columns)
    top, bottom = following.ravel().take(along_y + y0), preceding.ravel().take(along_y + y1)
    wide, high = right - left, bottom - top
    large = (high >= _SIDES[0]) & (wide >= _SIDES[1]) & (np.maximum(wide, high) >= _SIDES[2])
    boxes = np.stack([side[large] for side in (left, top, right, bottom)], axis=1).astype(np.int64)
    return boxes[_last_of_each(boxes)]


def scores(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """How much a box looks like one whole digit: float64 (m,), the log odds of an overlap of 0.65 with a true box.

    The weights are those of a logistic regression over the boxes of 150 training scenes. Ink is the brightness inside
    the box; cut ink is, along the four sides, the lesser of the two pixels that a side runs between.

    Args:
        image: uint8 (H, W).
        boxes: int64 (m, 4).
    """
    x0, y0, x1, y1 = boxes.T
    bright = np.pad(image.astype(np.float64) / 255, 1)
    inside = np.cumsum(np.cumsum(bright[:-1, :-1], axis=0), axis=1)
    across_rows = np.minimum(bright[:-1], bright[1:])[:, :-1].cumsum(axis=1)
    across_columns = np.minimum(bright[:, :-1], bright[:, 1:])[:-1].cumsum(axis=0)
    ink = inside[y1, x1] - inside[y0, x1] - inside[y1, x0] + inside[y0, x0]
    cut = across_rows[y0, x1] - across_rows[y0, x0] + across_rows[y1, x1] - across_rows[y1, x0]
    cut += across_columns[y1, x0] - across_columns[y0, x0] + across_columns[y1, x1] - across_columns[y0, x1]
    return features(ink, cut, (x1 - x0).astype(float), (y1 - y0).astype(float)) @ _WEIGHTS


def features(ink: np.ndarray, cut: np.ndarray, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """What `scores` weighs, each (m,), as float64 (m, 9)."""
    wide, high, filled = np.log(width), np.log(height), ink / (width * height)
    terms = (np.sqrt(cut), cut, cut / ink, np.log(ink), filled, wide, high, wide**2, high**2)
    return np.stack(terms, axis=1)


_WEIGHTS = np.array([-0.62, 0.05, -27.39, 7.83, -20.27, -1.57, 0.75, -1.05, -1.3])


def suppressed(boxes: np.ndarray, score: np.ndarray, k: int) -> np.ndarray:
    """The best k boxes of which no two overlap by more than `OVERLAP`, best first.

    Args:
        boxes: int64 (m, 4).
        score: float (m,).
        k: how many at most.

    Returns:
        float32 (k or fewer, 4).
    """
    order = np.argsort(score, kind="stable")
    # Without this, what surrounds the plainest digits leaves no place for the others among the first.
    order = order[_last_of_each(boxes[order] // _CELL)][: -_FIRST - 1 : -1]
    x0, y0, x1, y1 = boxes[order].T.astype(np.float32)
    area = (x1 - x0) * (y1 - y0)
    alive, kept = np.ones(len(order), bool), []
    for index in range(len(order)):
        if not alive[index]:
            continue
        kept.append(index)
        if len(kept) == k:
            break
        wide = np.minimum(x1, x1[index]) - np.maximum(x0, x0[index])
        high = np.minimum(y1, y1[index]) - np.maximum(y0, y0[index])
        shared = np.maximum(wide, 0) * np.maximum(high, 0)
        alive &= shared <= OVERLAP * (area + area[index] - shared)
    return boxes[order[kept]].astype(np.float32)


def save(path: Path, regions: np.ndarray) -> None:
    """Write the regions float32 (n, k, 4) of n pictures as an uncompressed `.npz`."""
    write_arrays(path, {"regions": regions})


def load(path: Path, pictures: int | None = None) -> np.ndarray:
    """Read what `save` wrote.

    Args:
        path: the file.
        pictures: n, how many pictures the regions must be of; None takes any number.

    Returns:
        float32 (n, k, 4).

    Raises:
        DataError: the file is missing or damaged, or holds the regions of another number of pictures.
    """
    regions = read_arrays(path).get("regions")
    if regions is None or regions.dtype != np.float32 or regions.ndim != 3 or regions.shape[2] != 4:
        raise DataError(f"{path}: no regions float32 (n, k, 4) in it; run `dvc repro propose`")
    if pictures is not None and len(regions) != pictures:
        raise DataError(f"{path}: regions of {len(regions)} pictures, expected {pictures}; run `dvc repro propose`")
    return regions


def of_splits(train: ImageSet, valid: ImageSet, folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """The regions of a training and a valid split, float32 (n, k, 4) each.

    Args:
        train: scenes uint8 (n, H, W, 1).
        valid: likewise, or the first of them.
        folder: with the files that `propose` wrote of the whole splits; None computes the regions here.

    Raises:
        DataError: a file is missing, or has the regions of fewer pictures.
    """
    if folder is None:
        return propose(train.images), propose(valid.images)
    return load(folder / "train.npz", len(train)), load(folder / "valid.npz")[: len(valid)]


def recall(regions: np.ndarray, boxes: np.ndarray, overlap: float) -> np.ndarray:
    """The share of true boxes that the first 1, 2, ... k regions of their picture cover.

    Args:
        regions: float32 (n, k, 4), best first.
        boxes: float32 (n, slots, 4), zeros where a slot is unused.
        overlap: intersection over union from which a box counts as covered.

    Returns:
        float64 (k,).
    """
    low = np.maximum(regions[:, None, :, :2], boxes[:, :, None, :2])
    high = np.minimum(regions[:, None, :, 2:], boxes[:, :, None, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(some[..., 2:] - some[..., :2], axis=-1) for some in (regions, boxes)]
    covered = shared >= overlap * (areas[0][:, None] + areas[1][:, :, None] - shared)
    there = areas[1] > 0
    return np.maximum.accumulate(covered, axis=2)[there].mean(axis=0)


def _last_of_each(boxes: np.ndarray) -> np.ndarray:
    """The places, in rising order, of boxes (m, 4) that no equal box follows.

    By a hash table, a sort taking longer than all the rest: now and then a box goes because another has its place.
    """
    x0, y0, x1, y1 = boxes.T
    key = ((x0 << 8 | y0) << 8 | x1) << 8 | y1
    place = (key * 2654435761 >> 12) & ((1 << _BITS) - 1)
    table, index = np.empty(1 << _BITS, np.int64), np.arange(len(boxes))
    table[place] = index
    return np.flatnonzero(table[place] == index)


@functools.cache
def _windows(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All windows (4, m), the bands of rows (b, 2) and the band of each window (m,), and the same of columns."""
    parts = []
    for tall in HEIGHTS:
        for aspect in ASPECTS:
            wide = round(tall * aspect)
            if tall > height or wide > width:
                continue
            tops, lefts = _starts(height, tall, STRIDE * tall), _starts(width, wide, 1.2 * STRIDE * wide)
            top, left = (grid.ravel() for grid in np.meshgrid(tops, lefts, indexing="ij"))
            parts.append(np.stack([left, top, left + wide, top + tall]))
    if not parts:
        raise DataError(f"pictures of {height}×{width} found, expected at least {HEIGHTS[0]}×{HEIGHTS[0]}")
    windows = np.concatenate(parts, axis=1)
    rows, row_of = np.unique(windows[[1, 3]], axis=1, return_inverse=True)
    columns, column_of = np.unique(windows[[0, 2]], axis=1, return_inverse=True)
    return windows, rows.T, row_of.ravel(), columns.T, column_of.ravel()


def _starts(size: int, side: int, stride: float) -> np.ndarray:
    """Where windows begin, the last one flush with the far border."""
    return np.unique(np.append(np.arange(0, size - side + 1, max(2, round(stride))), size - side))


def _nearest_ink(ink: np.ndarray, bands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each band of rows, the first column with ink at or after x, and the end of the last one before x.

    Args:
        ink: bool (H, W).
        bands: int (b, 2), half-open ranges of rows.

    Returns:
        int16 (b, W + 1) twice: W where no ink follows, 0 where none precedes.
    """
    width = ink.shape[1]
    below = np.zeros((ink.shape[0] + 1, width), np.int16)
    np.cumsum(ink, axis=0, out=below[1:])
    some = below[bands[:, 1]] > below[bands[:, 0]]
    following = np.full((len(bands), width + 1), width, np.int16)
    preceding = np.zeros((len(bands), width + 1), np.int16)
    column = np.arange(width, dtype=np.int16)
    np.copyto(following[:, :-1], column, where=some)
    np.copyto(preceding[:, 1:], column + 1, where=some)
    following = np.minimum.accumulate(following[:, ::-1], axis=1)[:, ::-1]
    return following, np.maximum.accumulate(preceding, axis=1)

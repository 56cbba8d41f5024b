"""A data set as tables: one with a row per picture, one with a row per split and class.

What an expectation needs (ink outside boxes, an equal picture in another split) is computed here, as columns.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, INK, STRIP_NAMES, ImageSet
from pipeline.data.splits import CORRECTED
from pipeline.validation.geometry import first_fault, line_geometry, scene_geometry, strip_geometry
from pipeline.validation.suite_spec import SLOTS_OF, SuiteSpec

_CHUNK = 2048
_GEOMETRY = {"strips": strip_geometry, "scenes": scene_geometry, "lines": line_geometry}


@dataclass(frozen=True)
class Split:
    """One split as a table; the pictures themselves need not stay in memory.

    Attributes:
        name: `train`, `valid`, `gate` or `test`.
        pictures: a row per picture: `split, row, origin, shape, dtype, classes, label, mean, deviation, minimum,
            maximum, ink_share, digest, source_1…, source_fault`; for strips `slot_1…slot_5, digits` and the columns of
            `strip_geometry`; for scenes `slot_1…slot_8, digits` and the columns of `scene_geometry`; for lines
            `slot_1…slot_10, digits` and the columns of `line_geometry`.
        class_names: the name of each class.
        sha256: of all arrays of the split, in hexadecimal digits.
    """

    name: str
    pictures: pd.DataFrame
    class_names: tuple[str, ...]
    sha256: str


def tabulate(name: str, pictures: ImageSet, task: str) -> Split:
    """Describe every picture of a split by a row of numbers and text, with `NAME row I` as the row's label.

    Args:
        name: of the split.
        pictures: of the split.
        task: `strips`, `scenes`, `lines`, `mnist` or `cifar10`.

    Raises:
        DataError: the pictures have another number of labels than those of the task.
    """
    n, slots = len(pictures), SLOTS_OF.get(task, 1)
    if pictures.slots != slots:
        raise DataError(
            f"{name}: {pictures.slots} labels per picture found, expected {slots}; compose the data set again"
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
        columns |= _GEOMETRY[task](pictures, drawn)
    else:
        columns["label"] = names[pictures.labels[:, 0]]
    if pictures.sources is None or pictures.sources.shape[1] < slots:
        columns["source_fault"] = "no ids, or fewer than slots"
    else:
        columns |= {f"source_{k + 1}": pictures.sources[:, k] for k in range(pictures.sources.shape[1])}
        columns["source_fault"] = first_fault(
            {
                "a picture without an id": drawn & (pictures.sources[:, :slots] < 0),
                "a blank with an id": ~drawn & (pictures.sources[:, :slots] >= 0),
            }
        )
    sha256 = hashlib.sha256()
    for array in (pictures.images, pictures.labels, pictures.boxes, pictures.sources):
        if array is not None:
            sha256.update(np.ascontiguousarray(array).data)
    index = pd.Index([f"{name} row {row}" for row in rows], dtype=object)
    return Split(name, pd.DataFrame(columns, index=index), pictures.class_names, sha256.hexdigest())


def join(splits: Sequence[Split]) -> pd.DataFrame:
    """All splits in one table, with the columns that compare rows.

    `duplicate_across_splits`: the label of an equal picture in another split, or None; `duplicate_within_split`: the
    label of the first equal picture of the same split, or None for that one; `source_across_splits`: a source id that
    is also in another split, or None. Strips without digits and lines without ink are not compared.
    """
    table = pd.concat([split.pictures for split in splits])
    rows = table.index.to_numpy()
    split = np.repeat(np.arange(len(splits)), [len(one.pictures) for one in splits])
    compared = np.flatnonzero(table["digits"].to_numpy() > 0) if "digits" in table else np.arange(len(table))
    if "is_empty" in table:
        compared = compared[~table["is_empty"].to_numpy(bool)[compared]]
    digest = table["digest"].to_numpy()[compared]
    across, within, source = np.full((3, len(table)), None, object)
    here, there = _elsewhere(digest, split[compared])
    across[compared[here]] = rows[compared[there]]
    keys = pd.DataFrame({"digest": digest, "split": split[compared], "row": compared})
    first = keys.groupby(["digest", "split"], sort=False)["row"].transform("first").to_numpy()
    within[compared] = np.where(first == compared, None, rows[first])

    columns = [name for name in table if re.fullmatch(r"source_\d+", name)]
    ids = table[columns].fillna(-1).to_numpy(np.int64).reshape(len(table), -1)
    row, column = np.nonzero(ids >= 0)
    for here, there in zip(*_elsewhere(ids[row, column], split[row]), strict=True):
        source[row[here]] = f"id {ids[row[here], column[here]]}, also in {rows[row[there]]}"
    return table.assign(duplicate_across_splits=across, duplicate_within_split=within, source_across_splits=source)


def class_table(splits: Sequence[Split], spec: SuiteSpec) -> pd.DataFrame:
    """A row per split and class: `split, class, count, share`.

    `share` is a multiple of the even one; blanks have none, NaN. What people corrected counts for neither: it is what
    models read wrongly, and never balanced.
    """
    parts = []
    for split in splits:
        labels = split.pictures.reindex(columns=spec.label_columns).to_numpy(object)
        labels = labels[~_corrected(split.pictures, labels.shape)]
        names = spec.all_classes(split.class_names)
        count = pd.Series(labels).value_counts().reindex(names, fill_value=0).astype(int)
        balanced = [name for name in names if not (spec.digits and name == STRIP_NAMES[BLANK])]
        total = max(int(count[balanced].sum()), 1)
        share = (count[balanced] / total * len(balanced)).reindex(names)
        parts.append(
            pd.DataFrame({"split": split.name, "class": names, "count": count.to_numpy(), "share": share.to_numpy()})
        )
    table = pd.concat(parts, ignore_index=True)
    return table.set_axis(table["split"] + " class " + table["class"], axis=0)


def _corrected(pictures: pd.DataFrame, shape: tuple[int, ...]) -> np.ndarray:
    """Which labels (n, slots) are those of pictures that people corrected."""
    ids = pictures.reindex(columns=[f"source_{slot + 1}" for slot in range(shape[1])]).fillna(-1).to_numpy(float)
    return ids >= CORRECTED


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as text, for instance 28×140×1."""
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
        digests += [hashlib.blake2b(picture.data, digest_size=16).hexdigest() for picture in flat]
    return {**found, "digest": digests}


def _elsewhere(keys: np.ndarray, split: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the keys that are in another split, too, and for each the first position there."""
    table = pd.DataFrame({"key": keys, "split": split, "at": np.arange(len(keys))})
    by_key = table.groupby("key")["split"]
    shared = table[by_key.transform("min") != by_key.transform("max")]
    firsts = shared.groupby(["key", "split"], as_index=False)["at"].min().groupby("key")
    lowest, second = (firsts.nth(place).set_index("key").loc[shared["key"]] for place in (0, 1))
    in_lowest = shared["split"].to_numpy() == lowest["split"].to_numpy()
    return shared["at"].to_numpy(), np.where(in_lowest, second["at"], lowest["at"])

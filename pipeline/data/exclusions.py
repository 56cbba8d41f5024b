"""Pictures that a person confirmed to have a wrong label: training and validation leave them out, gate and test never.

A list is a CSV file with the columns sha256 (of the pixels, as `pixel_digest` gives it), label (as published) and
reason. The pages of the stage `suspects` give the first two.
"""

import csv
import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet

COLUMNS = ("sha256", "label", "reason")
LEFT_OUT = ("train", "valid")
"""The splits that leave pictures out. A test set from which pictures vanish is another test set."""


def pixel_digest(pixels: np.ndarray) -> str:
    """The SHA-256 of a picture's height, width and channels and of its bytes, in hexadecimal digits.

    Args:
        pixels: uint8 (H, W, C) or (H, W), which is (H, W, 1).
    """
    height, width, *channels = pixels.shape
    head = f"{height} {width} {channels[0] if channels else 1}\n".encode()
    return hashlib.sha256(head + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def read(path: Path) -> dict[str, str]:
    """The published label of every listed picture, by digest.

    Raises:
        DataError: the file is missing, or a row is no digest, label and reason, or is there twice.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected a table with the columns {', '.join(COLUMNS)}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a valid table ({error})") from None
    if not rows or tuple(rows[0]) != COLUMNS:
        raise DataError(f"{path}: expected the columns {', '.join(COLUMNS)}, found {', '.join(rows[0]) if rows else ''}")
    listed: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(COLUMNS) or not re.fullmatch("[0-9a-f]{64}", row[0]) or not row[1] or not row[2].strip():
            raise DataError(f"{path}:{number}: expected 64 hexadecimal digits, the published label and a reason")
        if row[0] in listed:
            raise DataError(f"{path}:{number}: duplicate picture {row[0][:12]}…; expected every picture once")
        listed[row[0]] = row[1]
    return listed


def kept(
    path: Path, divided: Mapping[str, Sequence[int]], pixels: Sequence[np.ndarray], labels: Sequence[str], origin: str
) -> dict[str, list[int]]:
    """The pictures of each split without those of a list; gate and test keep all of theirs.

    Args:
        path: of the list.
        divided: by split, the indices of its pictures.
        pixels: of every picture, uint8 (H, W, C) or (H, W).
        labels: of every picture, as published: the name of its class, or its digits.
        origin: where the pictures come from. Of the stand-in, none needs to be listed.

    Returns:
        The indices by split, in the given order.

    Raises:
        DataError: the list is damaged, names a picture that is not there, or gives another label than the published.
    """
    listed = read(path)
    found = {digest: index for index, each in enumerate(pixels) if (digest := pixel_digest(each)) in listed}
    missing = sorted(set(listed) - set(found))
    if missing and origin != "embedded":
        raise DataError(
            f"{path}: {missing[0][:12]}… and {len(missing) - 1} more are no pictures of this source; expected digests "
            "as reports/suspects has them"
        )
    for digest, index in found.items():
        if labels[index] != listed[digest]:
            raise DataError(
                f"{path}: {digest[:12]}…: label {listed[digest]!r} found, expected {labels[index]!r} as published"
            )
    wrong = set(found.values())
    rows = {
        split: [row for row in indices if split not in LEFT_OUT or row not in wrong]
        for split, indices in divided.items()
    }
    out = ", ".join(f"{len(divided[split]) - len(rows[split])} of {split}" for split in LEFT_OUT)
    stay = sum(row in wrong for split, indices in divided.items() if split not in LEFT_OUT for row in indices)
    print(f"{path}: left out {out}; {stay} of gate and test stay", file=sys.stderr)
    return rows


def left_out(path: Path, splits: Mapping[str, ImageSet]) -> dict[str, ImageSet]:
    """Splits of single pictures without those of a list, as `kept` says.

    Raises:
        DataError: as `kept`.
    """
    ends = np.cumsum([len(pictures) for pictures in splits.values()])
    divided = {
        split: range(end - len(pictures), end) for (split, pictures), end in zip(splits.items(), ends, strict=True)
    }
    every = list(splits.values())
    rows = kept(
        path,
        divided,
        [image for pictures in every for image in pictures.images],
        [pictures.class_names[label] for pictures in every for label in pictures.labels[:, 0]],
        every[0].origin,
    )
    return {
        split: pictures.take(np.array(rows[split], int) - divided[split].start) for split, pictures in splits.items()
    }

"""Amounts of real bank cheques with a label and a box for every digit: where they are, and how they are verified.

The pictures are of ORAND-CAR-A (Diem et al., "ICFHR 2014 Competition on Handwritten Digit String Recognition in
Challenging Datasets", 2014). Labels and boxes were published by Fzkuji as Labeled_ORAND-CAR-A (MIT License, 2021).
About 2 % of these labels are not what is written; `reviewed` applies a list of corrections.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.core.decoding import PictureError, decode_grey
from pipeline.core.errors import DataError
from pipeline.core.lines import Picture, PictureSet
from pipeline.data import coco
from pipeline.remote import archives
from pipeline.remote.downloads import RemoteFile, obtain

ORIGIN = "cheques"
ARCHIVE = "cheques/cheques.tar.gz"
"""Path in a mirror."""
COMMIT = "ffb6268437de5d18d94bc111f83458ff43a267ef"
URLS = (
    f"https://codeload.github.com/Fzkuji/Labeled_ORAND-CAR-A/tar.gz/{COMMIT}",
    f"https://github.com/Fzkuji/Labeled_ORAND-CAR-A/archive/{COMMIT}.tar.gz",
)
"""Addresses of the repository's archive, in the order in which they are tried."""
PICTURES = "ORAND-CAR-2014-coco/images/train2017/"
ANNOTATIONS = "ORAND-CAR-2014-coco/annotations/instances_train2017.json"
"""Paths in the archive, without its top folder."""
PUBLISHED = Path(__file__).with_name("cheques.csv")
"""The pictures that are read: file name, SHA-256 of the file's bytes, and published label."""
REVIEWED = Path(__file__).with_name("cheques_reviewed.csv")
"""Corrections: file name, published label, label as reviewed by eye, and the reason."""
BOXES_SHA256 = "021d86eb59f380b53e2ec2c2101a0a05eb4fa567f0385da5f14a5ae7ef6cb1f9"
"""SHA-256 of the boxes of all pictures in the order of `PUBLISHED`, as little-endian float32."""
_LIMIT = 64 << 20
_MEMBER_LIMIT = 16 << 20
_TEXT = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True)
class Published:
    """A picture of the list.

    Attributes:
        sha256: of the file's bytes, 64 hexadecimal digits.
        label: its digits as published.
    """

    sha256: str
    label: str


def published() -> dict[str, Published]:
    """The pictures that are read, by file name, in the order of their names.

    Raises:
        DataError: the list is damaged.
    """
    rows = {}
    for line, (name, sha256, label) in _rows(PUBLISHED, ("file", "sha256", "label")):
        if not re.fullmatch(r"[0-9a-f]{64}", sha256) or not _TEXT.fullmatch(label) or name in rows:
            raise DataError(f"{PUBLISHED.name}:{line}: expected a new file name, its SHA-256, and 1 to 10 digits")
        rows[name] = Published(sha256, label)
    return dict(sorted(rows.items()))


def fetch(mirror: str, cache: Path) -> PictureSet:
    """Get and verify the amounts.

    Args:
        mirror: a folder or an http(s) URL that holds the file `ARCHIVE`; "" for the public repository.
        cache: folder of the downloads.

    Returns:
        The pictures of the list, in the order of their names, with digits and boxes as published.

    Raises:
        ConfigurationError, DataError, Unreachable: as `downloads.obtain`.
    """
    return obtain(RemoteFile(ARCHIVE, URLS, _LIMIT), mirror, cache, _read)


def reviewed(pictures: PictureSet) -> PictureSet:
    """Replace published labels by those that were reviewed by eye.

    Where a correction changes the number of digits, the picture's boxes are left out, since they no longer belong to
    its digits. Pictures of another origin are returned as they are: the corrections are of these amounts alone.

    Args:
        pictures: some or all of what `fetch` returned.

    Raises:
        DataError: the list of corrections is damaged, names no published picture, or contradicts a published label.
    """
    if pictures.origin != ORIGIN:
        return pictures
    corrections = _corrections(published())
    corrected = []
    for picture in pictures:
        if picture.name not in corrections:
            corrected.append(picture)
            continue
        before, after = corrections[picture.name]
        if (found := _text(picture.digits)) != before:
            raise DataError(f"{picture.name}: {found} found, expected {before} as published; run fetch again")
        digits = np.array([int(digit) for digit in after], np.uint8)
        boxes = picture.boxes if len(after) == len(before) else None
        corrected.append(replace(picture, digits=digits, boxes=boxes))
    return PictureSet(tuple(corrected), pictures.origin)


def _corrections(listed: Mapping[str, Published]) -> dict[str, tuple[str, str]]:
    """Published and reviewed label of each file that was corrected."""
    corrections: dict[str, tuple[str, str]] = {}
    for line, (name, before, after, reason) in _rows(REVIEWED, ("file", "published", "reviewed", "reason")):
        where = f"{REVIEWED.name}:{line}"
        if name not in listed:
            raise DataError(f"{where}: {name!r} is not in {PUBLISHED.name}; correct or remove the row")
        if name in corrections:
            raise DataError(f"{where}: duplicate file {name}; expected every picture once")
        if listed[name].label != before:
            raise DataError(f"{where}: {before!r} found as published label, expected {listed[name].label!r}")
        if not _TEXT.fullmatch(after) or after == before or not reason.strip():
            raise DataError(
                f"{where}: expected 1 to 10 digits that differ from {before}, and a reason; {after!r} found"
            )
        corrections[name] = (before, after)
    return corrections


def _read(path: Path) -> PictureSet:
    listed = published()
    content = archives.read_members(
        archives.read_gzip(path, _LIMIT),
        str(path),
        members=[ANNOTATIONS, *(PICTURES + name for name in listed)],
        limit=_MEMBER_LIMIT,
    )
    if ANNOTATIONS not in content:
        raise DataError(f"{path}: {ANNOTATIONS} is missing; the file is damaged or another data set")
    _expect_pictures(listed, content, path)
    labels = {each.file: each for each in coco.parse(content[ANNOTATIONS], f"{path}: {ANNOTATIONS}")}
    pictures = [_picture(name, each, content[PICTURES + name], labels.get(name), path) for name, each in listed.items()]
    boxes = np.concatenate([picture.boxes for picture in pictures if picture.boxes is not None])
    archives.expect_sha256(hashlib.sha256(boxes.astype("<f4").tobytes()).hexdigest(), BOXES_SHA256, path)
    return PictureSet(tuple(pictures), ORIGIN)


def _expect_pictures(listed: Mapping[str, Published], content: Mapping[str, bytes], path: Path) -> None:
    missing = [name for name in listed if PICTURES + name not in content]
    if missing:
        raise DataError(f"{path}: {missing[0]} is missing{_and_more(missing)}; get the file again")
    different = [
        name for name, each in listed.items() if hashlib.sha256(content[PICTURES + name]).hexdigest() != each.sha256
    ]
    if different:
        raise DataError(
            f"{path}: {different[0]} has another SHA-256 than in {PUBLISHED.name}{_and_more(different)}; "
            "the file is damaged or another data set"
        )


def _picture(name: str, each: Published, content: bytes, labelled: coco.Labelled | None, path: Path) -> Picture:
    if labelled is None or _text(labelled.digits) != each.label:
        found = "no label" if labelled is None else f"label {_text(labelled.digits)}"
        raise DataError(f"{path}: {name}: {found} found, expected {each.label} as in {PUBLISHED.name}")
    try:
        pixels = decode_grey(content).pixels
    except PictureError as error:
        raise DataError(f"{path}: {name}: {error}") from None
    if pixels.shape != labelled.size:
        raise DataError(
            f"{path}: {name}: {pixels.shape[1]}×{pixels.shape[0]} pixels found, "
            f"expected {labelled.size[1]}×{labelled.size[0]} as in {ANNOTATIONS}"
        )
    return Picture(name, pixels, labelled.digits, labelled.boxes)


def _rows(table: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line number and values of every row of a list that belongs to this module."""
    try:
        reader = csv.reader(io.StringIO(table.read_text(encoding="utf-8"), newline=""), strict=True)
        if tuple(next(reader, ())) != columns:
            raise DataError(f"{table.name}: expected the columns {', '.join(columns)}")
        for row in reader:
            if len(row) != len(columns):
                raise DataError(f"{table.name}:{reader.line_num}: {len(row)} values found, expected {len(columns)}")
            yield reader.line_num, tuple(row)
    except FileNotFoundError:
        raise DataError(f"{table}: no such file; restore it with git") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{table.name}: not a valid table ({error}); restore it with git") from None


def _text(digits: np.ndarray) -> str:
    return "".join(map(str, digits.tolist()))


def _and_more(names: Sequence[str]) -> str:
    return f", and {len(names) - 1:,} more" if len(names) > 1 else ""

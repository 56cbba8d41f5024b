"""Pictures that the service read wrongly and a person labelled: `make label` writes them, `compose` takes them in.

`corrections/TASK/labels.csv` has a row for each picture. Three of four are trained on, the others are pictures of the
gate: which ones, the digest of the picture says, so that a picture keeps its place among more of them.
"""

import csv
import io
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from pipeline.core.decoding import Picture as Decoded
from pipeline.core.decoding import PictureError, decode_any, decode_grey
from pipeline.core.files import printable, read_file
from pipeline.core.errors import DataError
from pipeline.core.fitting import fit_colour, fit_grey
from pipeline.core.images import ImageSet
from pipeline.core.ingestion import is_light_on_dark, remove_paper
from pipeline.core.lines import Picture
from pipeline.data.exclusions import pixel_digest
from pipeline.data.splits import CORRECTED

FOLDER = Path("corrections")
"""Of all tasks; `compose` depends on it."""
LABELS = "labels.csv"
COLUMNS = ("file", "label", "reading", "reason", "by")
FORMATS = ("PNG", "JPEG", "WEBP")
_GATE = 4
"""One picture of so many is for the gate."""
_SPECK = 0.04
"""Ink of a piece, as a share of that of the largest, below which it is no digit."""
_DEGREES, _SHEAR, _ZOOM, _SHIFT = 8.0, 0.12, 0.08, 1.0
"""By how much a copy is turned, sheared, scaled and moved at most; the last in pixels of 28."""


@dataclass(frozen=True)
class Corrected:
    """A picture and what is right.

    Attributes:
        name: of the file, without its suffix: the SHA-256 of its bytes.
        content: its bytes.
        label: the digits, or the name of the class.
    """

    name: str
    content: bytes
    label: str

    @property
    def for_gate(self) -> bool:
        """Whether the gate judges by it; the others are trained on."""
        return int(self.name[:8], 16) % _GATE == 0


def read(folder: Path) -> list[Corrected]:
    """The corrections of a task, in the order of their names; none where there is no folder.

    Raises:
        DataError: the table is damaged, or a picture is missing or is not the one of its name.
    """
    table = folder / LABELS
    if not folder.is_dir():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(read_file(table).decode("utf-8"), newline=""), strict=True))
    except FileNotFoundError:
        raise DataError(f"{printable(table)}: no such file; `dvc checkout` brings what `make label` wrote") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{printable(table)}: not a valid table ({error}); expected CSV in UTF-8") from None
    found: dict[str, Corrected] = {}
    for number, row in enumerate(rows, 2):
        path = folder / (row.get("file") or "")
        name = path.name.partition(".")[0]
        if tuple(row) != COLUMNS or path.parent != folder / "pictures" or not name:
            raise DataError(f"{printable(table)}:{number}: expected {', '.join(COLUMNS)} with a file in pictures/")
        try:
            content = read_file(path)
        except FileNotFoundError:
            raise DataError(f"{printable(path)}: no such file, expected the picture of {LABELS}:{number}") from None
        if name in found:
            raise DataError(f"{printable(table)}:{number}: duplicate picture {name[:12]}…; expected each once")
        found[name] = Corrected(name, content, row["label"])
    return [found[name] for name in sorted(found)]


def with_singles(splits: dict[str, ImageSet], folders: Sequence[Path], *, copies: int, seed: int) -> dict[str, ImageSet]:
    """Splits of single pictures with corrected ones at the end of train and gate.

    Args:
        splits: of the source.
        folders: of the corrections, whose pictures have one label each, or several digits, which are cut out.
        copies: of each picture in train: itself, and others that are turned, scaled and moved a little.
        seed: of the copies.

    Returns:
        The splits. A picture that the source has already is left out: it may be one of test.

    Raises:
        DataError: a table or a picture is damaged, or a label is none of the source's.
    """
    train = splits["train"]
    known = {pixel_digest(image) for split in splits.values() for image in split.images}
    parts: dict[str, list[tuple[np.ndarray, int]]] = {"train": [], "gate": []}
    uncut = repeated = 0
    for folder in folders:
        for each in read(folder):
            singles = _singles(each, train, folder)
            uncut += not singles
            for pixels, label in singles:
                if (digest := pixel_digest(pixels)) in known:
                    repeated += 1
                    continue
                known.add(digest)
                parts["gate" if each.for_gate else "train"].append((pixels, label))
    rng = np.random.default_rng(seed)
    made = dict(splits)
    first = CORRECTED
    for split, pairs in parts.items():
        ids = range(first, first + len(pairs))
        first += len(pairs)
        if not pairs:
            continue
        varied = [
            (pixels if copy == 0 else _varied(pixels, rng), label, number)
            for (pixels, label), number in zip(pairs, ids, strict=True)
            for copy in range(copies if split == "train" else 1)
        ]
        made[split] = _extended(splits[split], varied)
    _say(len(parts["train"]), len(parts["gate"]), uncut, repeated)
    return made


def with_lines(pictures: Sequence[Picture], folder: Path, *, boxed: bool) -> dict[str, list[Picture]]:
    """Corrected lines by split, train and gate.

    Args:
        pictures: of the source; what is among them is left out.
        folder: of the corrections.
        boxed: pictures of the source have boxes, so that those to train on need boxes as well: where the ink does not
            fall into as many pieces as there are digits, a picture is left out of train.

    Raises:
        DataError: a table or a picture is damaged.
    """
    known = {pixel_digest(picture.pixels) for picture in pictures}
    made: dict[str, list[Picture]] = {"train": [], "gate": []}
    uncut = repeated = 0
    for each in read(folder):
        pixels = _grey(each, folder)
        digits = np.array([int(digit) for digit in _digits(each, folder)], np.uint8)
        boxes = boxes_of(pixels, len(digits)) if boxed else None
        if pixel_digest(pixels) in known:
            repeated += 1
        elif boxed and boxes is None and not each.for_gate:
            uncut += 1
        else:
            made["gate" if each.for_gate else "train"].append(Picture(each.name, pixels, digits, boxes))
    _say(len(made["train"]), len(made["gate"]), uncut, repeated)
    return made


def boxes_of(pixels: np.ndarray, digits: int) -> np.ndarray | None:
    """Boxes of separate digits in a row.

    Args:
        pixels: uint8 (H, W), ink of either polarity.
        digits: how many there are.

    Returns:
        float32 (digits, 4), x0, y0, x1, y1 from left to right; None where the ink falls into another number of pieces.
    """
    dark = 255 - pixels if is_light_on_dark(pixels) else pixels
    _, mask = cv2.threshold(remove_paper(dark), 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    # Pieces above each other are one digit: the top of a five.
    columns = np.concatenate([[0], mask.any(0).astype(np.int8), [0]])
    starts, ends = np.flatnonzero(np.diff(columns) > 0), np.flatnonzero(np.diff(columns) < 0)
    ink = [int(mask[:, start:end].sum()) for start, end in zip(starts, ends, strict=True)]
    boxes = []
    for start, end, amount in zip(starts, ends, ink, strict=True):
        if amount > _SPECK * max(ink):
            rows = np.flatnonzero(mask[:, start:end].any(1))
            boxes.append((start, rows[0], end, rows[-1] + 1))
    return np.array(boxes, np.float32) if len(boxes) == digits else None


def _singles(each: Corrected, like: ImageSet, folder: Path) -> list[tuple[np.ndarray, int]]:
    """Pictures as those of `like`, with their labels; none where digits cannot be told apart."""
    if each.label in like.class_names:
        label = like.class_names.index(each.label)
        if like.shape[2] == 1:
            return [(_fitted(_grey(each, folder), like), label)]
        picture = _decoded(lambda: decode_any(each.content, like.shape[2], FORMATS), each, folder)
        known = picture.pixels.shape == like.shape
        return [(picture.pixels if known else fit_colour(picture, like.shape).picture.pixels, label)]
    text = _digits(each, folder)
    pixels = _grey(each, folder)
    boxes = boxes_of(pixels, len(text))
    if boxes is None:
        return []
    cuts = [pixels[max(0, y0 - 4) : y1 + 4, max(0, x0 - 2) : x1 + 2] for x0, y0, x1, y1 in boxes.astype(int)]
    return [(_fitted(cut, like), like.class_names.index(digit)) for cut, digit in zip(cuts, text, strict=True)]


def _fitted(pixels: np.ndarray, like: ImageSet) -> np.ndarray:
    if pixels.shape == like.shape[:2]:
        return pixels[..., None]
    return fit_grey(Decoded(pixels), "mnist", like.shape).picture.pixels


def _grey(each: Corrected, folder: Path) -> np.ndarray:
    return _decoded(lambda: decode_grey(each.content), each, folder).pixels


def _decoded(decode: Callable[[], Decoded], each: Corrected, folder: Path) -> Decoded:
    try:
        return decode()
    except PictureError as error:
        raise DataError(f"{printable(folder)}: {each.name[:12]}…: {error}") from None


def _digits(each: Corrected, folder: Path) -> str:
    if not re.fullmatch(r"[0-9]+", each.label):
        raise DataError(
            f"{printable(folder / LABELS)}: {each.name[:12]}…: label {each.label[:40]!r} found, expected digits or the "
            "name of a class"
        )
    return each.label


def _varied(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy of uint8 (H, W, C) that is turned, sheared, scaled and moved a little, over a ground of its border."""
    height, width = pixels.shape[:2]
    angle = np.radians(rng.uniform(-_DEGREES, _DEGREES))
    shear, zoom = rng.uniform(-_SHEAR, _SHEAR), 1 + rng.uniform(-_ZOOM, _ZOOM, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, shear], [0, 1]]) @ np.diag(zoom)
    middle = np.array([width - 1, height - 1]) / 2
    shift = rng.uniform(-_SHIFT, _SHIFT, 2) * width / 28
    affine = np.hstack([matrix, (middle - matrix @ middle + shift)[:, None]])
    drawn = cv2.warpAffine(pixels, affine, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return drawn.reshape(pixels.shape)


def _extended(pictures: ImageSet, more: Sequence[tuple[np.ndarray, int, int]]) -> ImageSet:
    """A set with pictures, their labels and ids at its end."""
    assert pictures.sources is not None, "a source's pictures have ids"
    images, labels, ids = zip(*more, strict=True)
    return replace(
        pictures,
        images=np.concatenate([pictures.images, np.stack(images)]),
        labels=np.concatenate([pictures.labels, np.array(labels, np.uint8)[:, None]]),
        sources=np.concatenate([pictures.sources, np.array(ids, np.int32)[:, None]]),
    )


def _say(train: int, gate: int, uncut: int, repeated: int) -> None:
    if train + gate + uncut + repeated:
        out = [f"{uncut} whose digits could not be told apart", f"{repeated} that the source has already"]
        left = [text for text in out if not text.startswith("0 ")]
        said = f"corrections: {train} to train on, {gate} for the gate"
        print(said + (f"; left out: {', '.join(left)}" if left else ""), file=sys.stderr)

"""Pictures from a folder of the user's own: `FOLDER/CLASS/*.png`, or pictures and a `labels.csv` beside them."""

import csv
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from pipeline.core.decoding import convert
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.images import DIGIT, DIGIT_NAMES, ImageSet

FORMATS = ("PNG", "JPEG", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
LABELS = "labels.csv"
MAX_PIXELS = 4096 * 4096
"""Most pixels of a picture."""


def read(folder: Path, *, digits: bool) -> dict[str, ImageSet]:
    """Read a folder as `pool`, in the order of its file names.

    Args:
        folder: holds one folder per class, or pictures and `labels.csv` with the columns `file` and `label`.
        digits: expect 28×28 grey pictures, light on dark, of the classes 0 to 9; otherwise colour pictures of one size.

    Returns:
        `pool`, uint8 (n, H, W, 1 or 3), whose origin is `folder:` and the folder's name. Colours are converted: to grey
        by luminance (ITU-R BT.601) for digits, from grey by repeating it for the others. Transparent pixels are laid on
        black, of 16 bits the high byte is kept, and a picture is turned by its EXIF orientation.

    Raises:
        ConfigurationError: the folder does not exist.
        DataError: a picture is damaged, of another size, or dark on light; a label or a file is missing; a class is
            empty; a row leads out of the folder; a picture is outside the class folders.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder; expected FOLDER/CLASS/*.png, or pictures and {LABELS}")
    files = _from_table(folder / LABELS) if (folder / LABELS).is_file() else _from_classes(folder)
    names = tuple(sorted({label for _, label in files}))
    _expect_classes(names, folder, digits)
    images: list[np.ndarray] = []
    for path, _ in tqdm(files, desc=str(folder), unit="picture", disable=None):
        image = _decode(path, channels=1 if digits else 3)
        expected = (DIGIT, DIGIT) if digits else (images or [image])[0].shape[:2]
        if image.shape[:2] != expected:
            raise DataError(
                f"{path}: {image.shape[1]}×{image.shape[0]} pixels found, expected {expected[1]}×{expected[0]}"
                + ("" if digits else f" as {files[0][0].name} has")
                + "; bring all pictures to one size first"
            )
        images.append(image)
    stacked = np.stack(images)
    if digits and stacked.mean() > 127:
        raise DataError(f"{folder}: dark ink on a light ground found, expected light on dark as in MNIST; invert them")
    return {
        "pool": ImageSet(
            images=stacked,
            labels=np.array([[names.index(label)] for _, label in files], np.uint8),
            class_names=names,
            origin=f"folder:{folder.resolve().name}",
            sources=np.arange(len(files), dtype=np.int32)[:, None],
        )
    }


def _expect_classes(names: tuple[str, ...], folder: Path, digits: bool) -> None:
    if digits:
        if unknown := sorted(set(names) - set(DIGIT_NAMES)):
            raise DataError(f"{folder}: class {unknown[0]!r} found, expected 0 to 9 for digits")
        if missing := sorted(set(DIGIT_NAMES) - set(names)):
            raise DataError(f"{folder}: no pictures of class {missing[0]}, expected all of 0 to 9")
    elif not 2 <= len(names) <= 255:
        raise DataError(f"{folder}: {len(names)} classes found, expected 2 to 255")


def _from_classes(folder: Path) -> list[tuple[Path, str]]:
    """Every picture with its label, from one folder per class."""
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise DataError(f"{folder}: neither class folders nor {LABELS} found; expected FOLDER/CLASS/*.png")
    files = []
    for entry in classes:
        pictures = sorted(path for path in entry.iterdir() if _is_picture(path))
        if not pictures:
            raise DataError(f"{entry}: an empty class; expected pictures ({', '.join(SUFFIXES)}), or remove the folder")
        files += [(path, entry.name) for path in pictures]
    if stray := sorted(_pictures_below(folder) - {path for path, _ in files}):
        raise DataError(
            f"{stray[0]}: a picture outside {folder}/CLASS; move it into its class, or list all in {LABELS}"
        )
    return files


def _from_table(table: Path) -> list[tuple[Path, str]]:
    """Every picture with its label, from `labels.csv`."""
    folder = table.parent
    labels: dict[Path, str] = {}
    for name, label, line in _rows(table):
        # Judged by the name alone: DVC may keep the pictures themselves as links into its cache.
        path = folder / name
        if path.is_absolute() != folder.is_absolute() or not path.is_relative_to(folder) or ".." in Path(name).parts:
            raise DataError(f"{table}:{line}: {name!r} leads out of {folder}, expected a file in it; refused")
        if not name or "\0" in name or not path.is_file():
            raise DataError(f"{table}:{line}: no file {name!r} in {folder}; correct the row or remove it")
        if not label:
            raise DataError(f"{table}:{line}: {name} has no label; expected its class")
        if path in labels:
            raise DataError(f"{table}:{line}: duplicate file {name}; expected every picture once")
        labels[path] = label
    if unlisted := sorted(_pictures_below(folder) - set(labels)):
        raise DataError(f"{table}: no label for {unlisted[0].relative_to(folder)}; list it or remove it")
    return sorted(labels.items())


def _rows(table: Path) -> list[tuple[str, str, int]]:
    """File, label and line number of every row."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"file", "label"} <= set(reader.fieldnames or []):
                raise DataError(
                    f"{table}: columns {', '.join(reader.fieldnames or ['none'])} found, expected file and label"
                )
            rows = [(row["file"] or "", row["label"] or "", reader.line_num) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{table}: not a valid table ({error}); expected CSV in UTF-8") from None
    if not rows:
        raise DataError(f"{table}: no rows; expected one for every picture")
    return rows


def _pictures_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if _is_picture(path) and not _is_hidden(path.relative_to(folder))}


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _decode(path: Path, channels: int) -> np.ndarray:
    """uint8 (H, W, channels) from a picture's file."""
    try:
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(path, formats=FORMATS) as picture,
        ):
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(
                    f"{path}: {picture.width}×{picture.height} pixels found, expected at most {MAX_PIXELS:,}"
                )
            return convert(picture, channels)[0]
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever their parsing trips over.
        raise DataError(f"{path}: not a valid picture ({error}); expected {', '.join(FORMATS)}") from None

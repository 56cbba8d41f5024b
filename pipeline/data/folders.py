"""Pictures from a folder of the user's own: `FOLDER/CLASS/*.png`, or pictures and a `labels.csv` beside them."""

import csv
import hashlib
import io
import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.core.decoding import BRIGHT_BORDER, NOTHING_TO_SEE, PictureError, decode_any, printable, read_file
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.images import DIGIT, DIGIT_NAMES, ImageSet

FORMATS = ("PNG", "JPEG", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
LABELS = "labels.csv"
_EXPECTED = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"


def read(folder: Path, *, digits: bool) -> dict[str, ImageSet]:
    """Read a folder as `pool`, in the order of its file names; say on standard error which files were left out.

    Args:
        folder: holds one folder per class, or pictures and `labels.csv` with the columns `file` and `label`.
        digits: expect 28×28 grey pictures, light on dark, of the classes 0 to 9; otherwise colour pictures of one size.

    Returns:
        `pool`, uint8 (n, H, W, 1 or 3), whose origin is `folder:` and the folder's name. The pictures are decoded as
        those of the service are (`pipeline.core.decoding`), for digits in grey, for the others in colour.

    Raises:
        ConfigurationError: the folder does not exist.
        DataError: a picture is damaged, of another size, dark on light, without contrast or there twice; what has the
            name of a picture is not a regular file; a label or a file is missing; a class is empty; two classes look
            alike; a name is not UTF-8; a row leads out of the folder; a picture is outside the class folders.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"{printable(folder)}: no such folder; expected FOLDER/CLASS/*.png, or pictures and {LABELS}"
        )
    origin = f"folder:{_expect_text(folder.resolve().name, folder)}"
    table = folder / LABELS
    # A link to nothing or a FIFO of that name must not turn the folder into one of classes.
    files = _from_table(table) if os.path.lexists(table) else _from_classes(folder)
    names = _expect_classes([label for _, label in files], folder, digits)
    if left := left_out(folder):
        print(left, file=sys.stderr)
    images: list[np.ndarray] = []
    faults: dict[str, list[Path]] = {BRIGHT_BORDER: [], NOTHING_TO_SEE: []}
    for path, _ in tqdm(files, desc=printable(folder), unit="picture", disable=None):
        image, notes = _decode(path, channels=1 if digits else 3)
        expected = (DIGIT, DIGIT) if digits else (images or [image])[0].shape[:2]
        if image.shape[:2] != expected:
            raise DataError(
                f"{printable(path)}: {image.shape[1]}×{image.shape[0]} pixels found, expected "
                f"{expected[1]}×{expected[0]}"
                + ("" if digits else f" as {printable(files[0][0].name)} has")
                + "; bring all pictures to one size first"
            )
        for note in faults.keys() & set(notes):
            faults[note].append(path)
        images.append(image)
    stacked = np.stack(images)
    _expect_contrast(faults, stacked, folder, digits)
    _expect_no_copies(files, images)
    return {
        "pool": ImageSet(
            images=stacked,
            labels=np.array([[names.index(label)] for _, label in files], np.uint8),
            class_names=names,
            origin=origin,
            sources=np.arange(len(files), dtype=np.int32)[:, None],
        )
    }


def left_out(folder: Path) -> str:
    """One line that counts and names the files below a folder that `read` leaves out; "" if there are none.

    Links to folders are not followed, except for the folders of the classes. A picture that is a link to a file outside
    the folder is read, since DVC keeps pictures so; these are counted too.
    """
    found: dict[str, list[Path]] = {}
    outside: list[Path] = []
    root = folder.resolve()
    for path in _files_below(folder):
        if path == folder / LABELS:
            continue
        kind = _kind_left_out(path, folder)
        if kind:
            found.setdefault(kind, []).append(path)
        elif (path.is_symlink() or path.parent.is_symlink()) and not path.resolve().is_relative_to(root):
            outside.append(path)
    parts = []
    if found:
        counted = [
            f"{len(paths)} {kind} ({_listed(paths, folder)})"
            for kind, paths in sorted(found.items(), key=lambda each: (-len(each[1]), each[0]))
        ]
        total = sum(map(len, found.values()))
        parts.append(f"{total:,} left out, expected {_EXPECTED}: {', '.join(counted)}")
    if outside:
        parts.append(f"{_count(len(outside), 'picture')} read through links out of it ({_listed(outside, folder)})")
    return f"{printable(folder)}: {'; '.join(parts)}" if parts else ""


def _kind_left_out(path: Path, folder: Path) -> str:
    if _is_hidden(path.relative_to(folder)):
        return "hidden"
    if path.is_dir():
        return "links to folders" if path.is_symlink() else "folders behind a link"
    if not _is_picture(path):
        return printable(path.suffix.lower()) or "without a suffix"
    return ""


def _listed(paths: Sequence[Path], folder: Path) -> str:
    shown = ", ".join(printable(path.relative_to(folder)) for path in sorted(paths)[:3])
    return shown + (", …" if len(paths) > 3 else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _expect_contrast(faults: Mapping[str, Sequence[Path]], images: np.ndarray, folder: Path, digits: bool) -> None:
    """Refuse pictures in which nothing is to be seen and, of digits, those that are dark on light."""
    if flat := faults[NOTHING_TO_SEE]:
        raise DataError(
            f"{printable(flat[0])}: nothing to see in it{_and_more(flat)}, expected some contrast once it is 8 bits on "
            "black; correct or remove it"
        )
    if dark := faults[BRIGHT_BORDER]:
        raise DataError(
            f"{printable(dark[0])}: dark ink on a light ground found{_and_more(dark)}, expected light on dark as in "
            "MNIST; invert them"
        )
    if digits and images.mean() > 127:
        raise DataError(
            f"{printable(folder)}: more light than dark found in all pictures together, expected light ink on a dark "
            "ground as in MNIST; invert them"
        )


def _and_more(paths: Sequence[Path]) -> str:
    return f", and in {len(paths) - 1:,} more" if len(paths) > 1 else ""


def _expect_no_copies(files: Sequence[tuple[Path, str]], images: Sequence[np.ndarray]) -> None:
    """Refuse a picture that is there twice: its copies would get into two splits, or have two labels."""
    first: dict[bytes, int] = {}
    copies = []
    for index, image in enumerate(images):
        earlier = first.setdefault(hashlib.sha256(image.tobytes()).digest(), index)
        if earlier != index:
            copies.append((index, earlier))
    if not copies:
        return
    # Two labels for one picture are worse than a picture too many.
    index, earlier = next(((a, b) for a, b in copies if files[a][1] != files[b][1]), copies[0])
    (path, label), (other, other_label) = files[index], files[earlier]
    classes = f", of class {label!r} and {other_label!r}" if label != other_label else ""
    raise DataError(
        f"{printable(path)}: the same picture as {printable(other)}{classes}; expected every picture once, "
        f"{_count(len(copies), 'copy').replace('copys', 'copies')} found; remove them"
    )


def _expect_text(name: str, path: Path) -> str:
    """A name as NFC without white space around it; it becomes text in files and messages."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{printable(path)}: a name that is not UTF-8 found; rename it") from None
    text = unicodedata.normalize("NFC", name).strip()
    if not text.isprintable():
        raise DataError(f"{printable(path)}: {name!r} has control characters in it, expected a printable name")
    return text


def _expect_classes(labels: Sequence[str], folder: Path, digits: bool) -> tuple[str, ...]:
    """The names of the classes, in alphabetical order."""
    names = tuple(sorted(set(labels)))
    alike: dict[str, str] = {}
    for name in names:
        # What a reader takes for one class: full-width digits, capitals, ligatures, other blanks.
        key = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if (other := alike.setdefault(key, name)) != name:
            raise DataError(
                f"{printable(folder)}: two classes that look alike found, {other!a} and {name!a}; "
                "expected one name for each class"
            )
    where = printable(folder)
    if digits:
        if unknown := sorted(set(names) - set(DIGIT_NAMES)):
            raise DataError(f"{where}: class {_spelled(unknown[0])} found, expected 0 to 9 for digits")
        if missing := sorted(set(DIGIT_NAMES) - set(names)):
            raise DataError(f"{where}: no pictures of class {missing[0]}, expected all of 0 to 9")
    elif not 2 <= len(names) <= 255:
        raise DataError(f"{where}: {len(names)} classes found, expected 2 to 255")
    return names


def _spelled(name: str) -> str:
    return repr(name) if name.isascii() else f"{name!r} ({name!a})"


def _from_classes(folder: Path) -> list[tuple[Path, str]]:
    """Every picture with its label, from one folder per class."""
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise DataError(f"{printable(folder)}: neither class folders nor {LABELS} found; expected FOLDER/CLASS/*.png")
    files = []
    for entry in classes:
        pictures = sorted(path for path in entry.iterdir() if _is_picture(path) and not path.is_dir())
        if not pictures:
            raise DataError(
                f"{printable(entry)}: an empty class; expected pictures ({_EXPECTED}), or remove the folder"
            )
        label = _expect_text(entry.name, entry)
        files += [(path, label) for path in pictures]
    if stray := sorted(_pictures_below(folder) - {path for path, _ in files}):
        raise DataError(
            f"{printable(stray[0])}: a picture outside {printable(folder)}/CLASS{_and_others(stray)}; "
            f"move it into its class, or list all in {LABELS}"
        )
    return files


def _and_others(paths: Sequence[Path]) -> str:
    return f", as {len(paths) - 1:,} more are" if len(paths) > 1 else ""


def _from_table(table: Path) -> list[tuple[Path, str]]:
    """Every picture with its label, from `labels.csv`."""
    folder = table.parent
    where = printable(table)
    labels: dict[Path, str] = {}
    for name, given, line in _rows(table):
        # Judged by the name alone: DVC may keep the pictures themselves as links into its cache.
        path = folder / name
        if path.is_absolute() != folder.is_absolute() or not path.is_relative_to(folder) or ".." in Path(name).parts:
            raise DataError(
                f"{where}:{line}: {name!r} leads out of {printable(folder)}, expected a file in it; refused"
            )
        if not name or "\0" in name or not os.path.lexists(path) or path.is_dir():
            raise DataError(f"{where}:{line}: no file {name!r} in {printable(folder)}; correct the row or remove it")
        label = _expect_text(given, Path(f"{table}:{line}"))
        if not label:
            raise DataError(f"{where}:{line}: {printable(name)} has no label; expected its class")
        if path in labels:
            raise DataError(f"{where}:{line}: duplicate file {printable(name)}; expected every picture once")
        labels[path] = label
    if unlisted := sorted(_pictures_below(folder) - set(labels)):
        raise DataError(
            f"{where}: no label for {printable(unlisted[0].relative_to(folder))}{_and_others(unlisted)}; "
            "list it or remove it"
        )
    return sorted(labels.items())


def _rows(table: Path) -> list[tuple[str, str, int]]:
    """File, label and line number of every row."""
    where = printable(table)
    try:
        text = read_file(table).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        if not {"file", "label"} <= set(reader.fieldnames or []):
            raise DataError(
                f"{where}: columns {', '.join(reader.fieldnames or ['none'])} found, expected file and label"
            )
        rows = [(row["file"] or "", row["label"] or "", reader.line_num) for row in reader]
    except FileNotFoundError:
        raise DataError(f"{where}: a link to nothing found, expected a file in UTF-8") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{where}: not a valid table ({error}); expected CSV in UTF-8") from None
    if not rows:
        raise DataError(f"{where}: no rows; expected one for every picture")
    return rows


def _pictures_below(folder: Path) -> set[Path]:
    return {path for path in _files_below(folder) if not _kind_left_out(path, folder)}


def _files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder. Folders that are hidden or links come as such, but for classes that are links."""

    def refuse(error: OSError) -> None:
        raise error

    by_class = not os.path.lexists(folder / LABELS)
    for parent, folders, files in os.walk(folder, onerror=refuse):
        for name in tuple(folders):
            path = Path(parent) / name
            if not name.startswith(".") and not path.is_symlink():
                continue
            folders.remove(name)
            if by_class and Path(parent) == folder and not name.startswith("."):
                yield from path.iterdir()
            else:
                yield path
        yield from (Path(parent) / name for name in files)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _decode(path: Path, channels: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """uint8 (H, W, channels) from a picture's file, and the notes on it."""
    try:
        picture = decode_any(read_file(path), channels, FORMATS)
    except FileNotFoundError:
        raise DataError(f"{printable(path)}: a link to nothing found, expected a picture") from None
    except PictureError as error:
        raise DataError(f"{printable(path)}: {error}") from None
    return picture.pixels, picture.notes

"""Pictures from a folder of the user's own.

Pictures of one class each are in `FOLDER/CLASS/*.png`, or beside a `labels.csv`. Pictures of lines are beside a
`labels.csv` with their digits, or in a folder in COCO's format.
"""

import csv
import hashlib
import io
import os
import re
import sys
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.core.decoding import BRIGHT_BORDER, NOTHING_TO_SEE, PictureError, decode_any, decode_grey
from pipeline.core.files import printable, read_file
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.images import DIGIT, DIGIT_NAMES, INK, ImageSet
from pipeline.core.lines import LINE_SLOTS, Picture, PictureSet
from pipeline.data import coco

FORMATS = ("PNG", "JPEG", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
LINE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""Of pictures of lines, which are decoded as those that are uploaded."""
LABELS = "labels.csv"
ANNOTATIONS = "annotations"
"""The folder of the documents in COCO's format."""
MAX_PIXELS = 1 << 30
"""Most pixels of all pictures of lines together, which are held in memory."""
_TEXT = re.compile(rf"[0-9]{{1,{LINE_SLOTS}}}")


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


def read_lines(folder: Path) -> PictureSet:
    """Read a folder of labelled lines, sorted by name; say on standard error which files were left out.

    Args:
        folder: holds pictures and `labels.csv` with the columns `file` and `text`, or is in COCO's format: documents
            in `annotations/*.json` or `*.json`, and pictures where these say.

    Returns:
        The pictures, uint8 grey of any size, with 1 to 10 digits; in COCO's format with their boxes. Each is named by
        its path in the folder. The origin is `folder:` and the folder's name.

    Raises:
        ConfigurationError: the folder does not exist.
        DataError: the folder has no labels, or two kinds of them; rows or pictures are to be corrected. The message
            names up to `coco.MAX_FAULTS` of them, each with its line and with what was expected.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"{printable(folder)}: no such folder; expected pictures and {LABELS}, or a folder in COCO's format"
        )
    origin = f"folder:{_expect_text(folder.resolve().name, folder)}"
    rows = _rows_of_lines(folder)
    if left := left_out(folder, lines=True):
        print(left, file=sys.stderr)
    pictures = _decoded(rows, folder)
    texts = ["".join(map(str, row.digits.tolist())) for row in rows]
    paths = [row.path for row in rows]
    _expect_no_copies(list(zip(paths, texts, strict=True)), [picture.pixels for picture in pictures])
    return PictureSet(tuple(pictures), origin)


def left_out(folder: Path, *, lines: bool = False) -> str:
    """One line that counts and names the files below a folder that are left out; "" if there are none.

    Links to folders are not followed, except for the folders of the classes. A picture that is a link to a file outside
    the folder is read, since DVC keeps pictures so; these are counted too.

    Args:
        folder: of pictures.
        lines: it is read by `read_lines`, otherwise by `read`.
    """
    found: dict[str, list[Path]] = {}
    outside: list[Path] = []
    root = folder.resolve()
    labels = {folder / LABELS, *(_documents(folder) if lines else ())}
    for path in _files_below(folder, lines):
        if path in labels:
            continue
        kind = _kind_left_out(path, folder, lines)
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
        parts.append(f"{total:,} left out, expected {_expected(lines)}: {', '.join(counted)}")
    if outside:
        parts.append(f"{_count(len(outside), 'picture')} read through links out of it ({_listed(outside, folder)})")
    return f"{printable(folder)}: {'; '.join(parts)}" if parts else ""


@dataclass(frozen=True)
class _Row:
    """A labelled picture that is still to be decoded.

    Attributes:
        path: of its file.
        where: the row that names it, for messages.
        digits, boxes: as in `Picture`.
        size: height and width that its labels are made for; None for any.
    """

    path: Path
    where: str
    digits: np.ndarray
    boxes: np.ndarray | None = None
    size: tuple[int, int] | None = None


def _rows_of_lines(folder: Path) -> list[_Row]:
    """The labelled pictures of a folder, by name: every picture in it, each once."""
    documents = _documents(folder)
    has_table = os.path.lexists(folder / LABELS)
    if has_table and documents:
        raise DataError(
            f"{printable(folder)}: both {LABELS} and {printable(documents[0].relative_to(folder))} found, "
            "expected labels of one kind"
        )
    if not has_table and not documents:
        raise DataError(
            f"{printable(folder)}: neither {LABELS} nor {ANNOTATIONS}/*.json found; expected pictures and {LABELS} "
            "with the columns file and text, or a folder in COCO's format"
        )
    faults: list[str] = []
    found = _from_lines_table(folder / LABELS, faults) if has_table else _from_documents(documents, folder, faults)
    rows: dict[Path, _Row] = {}
    for row in found:
        if row.path in rows:
            faults.append(
                f"{row.where}: duplicate file {printable(row.path.relative_to(folder))}, expected every picture once"
            )
        rows.setdefault(row.path, row)
    # With a row that names no picture, a picture without a row is most likely its.
    unlisted = [] if faults else sorted(_pictures_below(folder, lines=True) - set(rows))
    faults += [f"{printable(path.relative_to(folder))}: no label, expected one; list or remove it" for path in unlisted]
    coco.expect_none(faults, printable(folder))
    return [rows[path] for path in sorted(rows)]


def _from_lines_table(table: Path, faults: list[str]) -> Iterator[_Row]:
    """The rows of a `labels.csv` of lines. Those that are wrong are added to `faults`."""
    for name, given, line in _rows(table, "text"):
        where = f"{LABELS}:{line}"
        text = given.strip()
        if fault := _fault_of_name(name, table.parent):
            faults.append(f"{where}: {fault}")
        elif not os.path.lexists(table.parent / name) or (table.parent / name).is_dir():
            faults.append(f"{where}: no file {name!r}, expected one in the folder")
        elif not _TEXT.fullmatch(text):
            found = f"text {_spelled(text)} found" if text else "no text found"
            faults.append(f"{where}: {printable(name)}: {found}, expected 1 to {LINE_SLOTS} digits 0 to 9")
        else:
            yield _Row(table.parent / name, where, np.array([int(digit) for digit in text], np.uint8))


def _from_documents(documents: Sequence[Path], folder: Path, faults: list[str]) -> Iterator[_Row]:
    """The pictures of documents in COCO's format. Those that are not found are added to `faults`."""
    for document in documents:
        where = printable(document.relative_to(folder))
        try:
            data = read_file(document, coco.MAX_BYTES)
        except FileNotFoundError:
            raise DataError(f"{printable(document)}: a link to nothing found, expected COCO's JSON") from None
        split = document.stem.removeprefix("instances_")
        for each in coco.parse(data, printable(document)):
            if fault := _fault_of_name(each.file, folder):
                faults.append(f"{where}: {fault}")
                continue
            places = dict.fromkeys(folder / place / each.file for place in ("", split, "images", f"images/{split}"))
            paths = [path for path in places if os.path.lexists(path) and not path.is_dir()]
            if len(paths) == 1:
                yield _Row(paths[0], where, each.digits, each.boxes, each.size)
            else:
                found = f"{len(paths)} files" if paths else "no file"
                faults.append(
                    f"{where}: {found} {each.file!r} found, expected one in the folder, {split}/, images/ or "
                    f"images/{split}/"
                )


def _leads_out(name: str, folder: Path) -> bool:
    """Judged by the name alone: DVC may keep the pictures themselves as links into its cache."""
    path = folder / name
    return path.is_absolute() != folder.is_absolute() or not path.is_relative_to(folder) or ".." in Path(name).parts


def _fault_of_name(name: str, folder: Path) -> str:
    """What is wrong with the name that labels give a file; "" if nothing is."""
    if _leads_out(name, folder):
        return f"{name!r} leads out of the folder, expected a file in it; refused"
    return f"no file {name!r}, expected one in the folder" if not name or "\0" in name else ""


def _decoded(rows: Sequence[_Row], folder: Path) -> list[Picture]:
    """Decode labelled pictures. All that cannot be used are named in one error."""
    faults: list[str] = []
    pictures: list[Picture] = []
    pixels = 0
    for row in tqdm(rows, desc=printable(folder), unit="picture", disable=None):
        name = row.path.relative_to(folder).as_posix()
        try:
            picture = decode_grey(read_file(row.path)).pixels
        except FileNotFoundError:
            faults.append(f"{row.where}: {printable(name)}: a link to nothing found, expected a picture")
            continue
        except PictureError as error:
            faults.append(f"{row.where}: {printable(name)}: {error}")
            continue
        except DataError as error:  # It names the file: not a regular one, or too large.
            faults.append(f"{row.where}: {error}")
            continue
        pixels += picture.size
        if pixels > MAX_PIXELS:
            raise DataError(
                f"{printable(folder)}: more than {MAX_PIXELS:,} pixels found in {len(pictures) + 1:,} of {len(rows):,} "
                "pictures, expected at most that in all; cut out the lines or scale the pictures down"
            )
        if fault := _fault_of_line(picture, row):
            faults.append(f"{row.where}: {printable(name)}: {fault}")
        pictures.append(Picture(name, picture, row.digits, row.boxes))
    coco.expect_none(faults, printable(folder))
    return pictures


def _fault_of_line(picture: np.ndarray, row: _Row) -> str:
    height, width = picture.shape
    if row.size is not None and row.size != picture.shape:
        return f"{width}×{height} pixels found, expected {row.size[1]}×{row.size[0]} as its labels say"
    if int(picture.max()) - int(picture.min()) < INK:
        return f"nothing to see in it, expected a contrast of {INK} grey levels"
    return ""


def _documents(folder: Path) -> list[Path]:
    """The documents in COCO's format: those in the folder `annotations`, or else beside pictures without a table."""
    for place in (folder / ANNOTATIONS, *(() if os.path.lexists(folder / LABELS) else (folder,))):
        if found := sorted(path for path in place.glob("*.json") if not path.name.startswith(".")):
            return found
    return []


def _kind_left_out(path: Path, folder: Path, lines: bool = False) -> str:
    if _is_hidden(path.relative_to(folder)):
        return "hidden"
    if path.is_dir():
        return "links to folders" if path.is_symlink() else "folders behind a link"
    if not _is_picture(path, LINE_SUFFIXES if lines else SUFFIXES):
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
                f"{printable(entry)}: an empty class; expected pictures ({_expected()}), or remove the folder"
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
        path = folder / name
        if _leads_out(name, folder):
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


def _rows(table: Path, column: str = "label") -> list[tuple[str, str, int]]:
    """File, what a column says of it, and line number of every row."""
    where = printable(table)
    try:
        text = read_file(table).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        if not {"file", column} <= set(reader.fieldnames or []):
            raise DataError(
                f"{where}: columns {', '.join(reader.fieldnames or ['none'])} found, expected file and {column}"
            )
        rows = [(row["file"] or "", row[column] or "", reader.line_num) for row in reader]
    except FileNotFoundError:
        raise DataError(f"{where}: a link to nothing found, expected a file in UTF-8") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{where}: not a valid table ({error}); expected CSV in UTF-8") from None
    if not rows:
        raise DataError(f"{where}: no rows; expected one for every picture")
    return rows


def _pictures_below(folder: Path, lines: bool = False) -> set[Path]:
    return {path for path in _files_below(folder, lines) if not _kind_left_out(path, folder, lines)}


def _files_below(folder: Path, lines: bool = False) -> Iterator[Path]:
    """Every file below a folder. Folders that are hidden or links come as such, but for classes that are links."""

    def refuse(error: OSError) -> None:
        raise error

    by_class = not lines and not os.path.lexists(folder / LABELS)
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


def _is_picture(path: Path, suffixes: Collection[str] = SUFFIXES) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _expected(lines: bool = False) -> str:
    *first, last = LINE_SUFFIXES if lines else SUFFIXES
    return f"{', '.join(first)} or {last}"


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

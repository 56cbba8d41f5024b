"""`make read IMAGES=folder`: every picture of a folder becomes a row of a table. A killed run is resumed."""

import collections
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.core.decoding import Picture, PictureError, decode_grey
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import printable, read_file
from pipeline.project.progress import format_left, format_seconds
from pipeline.reading import marking, table
from pipeline.reading.packaged import PackagedModels
from pipeline.reading.table import Journal, Row, Status
from pipeline.runtime.pages import Page
from pipeline.runtime.session import ModelError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""Of the files of a folder that are read, in any case of letters."""
WORKERS = max(1, min(os.cpu_count() or 1, 8))
"""Threads that read pictures side by side. Each holds one decoded picture."""
AHEAD = 2 * WORKERS
"""Pictures that are being read or wait for their turn to be written."""
BATCH, SECONDS = 64, 2.0
"""Rows that are written together: so many, or those of so many seconds."""
EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""
MISSING, UNREADABLE, NOT_A_FILE, FAILED = "missing", "unreadable", "not_a_file", "internal"
"""Codes of errors, beside those of `PictureError`: there is no such file any more, the operating system cannot read it,
it is not a regular file or too large, or the model failed."""
RETRIED = {MISSING, UNREADABLE, FAILED}
"""Errors that may be gone at the next run, so that the picture is read again."""


def read_folder(
    folder: Path,
    out: Path,
    models: PackagedModels,
    *,
    invert: bool = False,
    drawings: Path | None = None,
    again: bool = False,
) -> str:
    """Read every picture of a folder and write a table with a row for each, in the order of their names.

    Rows of an earlier run are kept where the picture has the same size in bytes and the same time of modification, and
    the models and settings are the same.

    Args:
        folder: of the pictures; the folders in it are searched too.
        out: the table, a CSV or Parquet file.
        models: that read.
        invert: as `PackagedModels.answer` takes it.
        drawings: a folder for the pictures with boxes and readings drawn in, or None.
        again: read every picture again, whatever an earlier run has read.

    Returns:
        One line that counts what was read.

    Raises:
        ConfigurationError: a folder or file that cannot be used, another run that writes the same table, or rows of
            other models or settings.
        DataError: the folder has no pictures, a file is not a table of this command, or the disk is full.
    """
    _expect_folders(folder, out, drawings)
    names = find(folder)
    for task in models.manifests:
        models.reader(task)
    work = _Work(folder, models, models.setup(invert=invert), invert, drawings)
    with Journal(out) as journal:
        kept = 0 if again else _keep(journal, out, work, names)
        if again:
            _expect_table(out)
            journal.clear()
        started = time.monotonic()
        try:
            _read_all(work, journal, names)
        except BaseException:
            where = printable(journal.path)
            print(f"{where}: {len(journal):,} of {len(names):,} pictures kept for the next run", file=sys.stderr)
            raise
        seconds = time.monotonic() - started
        counts: collections.Counter[str] = collections.Counter()
        table.write(out, _counted((journal[key] for key in names), counts))
        journal.remove()
    return _summary(out, counts, kept, seconds)


def find(folder: Path) -> dict[str, str]:
    """The pictures below a folder: by name in the table, the path below the folder, sorted by path.

    Pictures are the files that end in one of `SUFFIXES`. Hidden files and folders, whose names begin with a dot, and
    links to folders are left out; links to files are followed. What else is left out is counted on standard error.

    Raises:
        DataError: there are no pictures, or two names differ in what is not printable alone.
        OSError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: list[str] = []
    others: collections.Counter[str] = collections.Counter()
    for parent, folders, files in os.walk(folder, onerror=refuse):
        linked = [name for name in folders if not name.startswith(".") and Path(parent, name).is_symlink()]
        others["links to folders"] += len(linked)
        folders[:] = [name for name in folders if not name.startswith(".") and name not in linked]
        for name in files:
            if name.startswith("."):
                others["hidden"] += 1
            elif (suffix := Path(name).suffix.lower()) in SUFFIXES:
                found.append(Path(parent, name).relative_to(folder).as_posix())
            else:
                others[printable(suffix) or "without a suffix"] += 1
    expected = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
    if not found:
        raise DataError(f"{printable(folder)}: no pictures found, expected files that end in {expected}")
    if left := +others:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in left.most_common(5))
        print(f"{printable(folder)}: {left.total():,} left out, expected {expected}: {kinds}", file=sys.stderr)
    names: dict[str, str] = {}
    for name in sorted(found, key=os.fsencode):
        key = name if name.isprintable() else printable(name)
        if names.setdefault(key, name) is not name:
            raise DataError(f"{printable(folder)}: two pictures with the printable name {key} found; rename one")
    return names


@dataclass(frozen=True)
class _Work:
    """What is done with each picture.

    Attributes:
        folder, models, invert, drawings: as `read_folder` takes them.
        setup: `Row.setup`.
    """

    folder: Path
    models: PackagedModels
    setup: str
    invert: bool
    drawings: Path | None

    def read(self, key: str, name: str) -> Row:
        """The row of a picture; draw it too, where that is wanted."""
        path = self.folder / name
        status: Status = (0, 0)
        try:
            found = path.stat()
            status = found.st_size, found.st_mtime_ns
            data = read_file(path)
            answered = self.models.answer(data, invert=self.invert)
        except PictureError as error:
            return self._error(key, status, error.code, str(error))
        except ModelError as error:
            return self._error(key, status, FAILED, str(error))
        except DataError as error:
            return self._error(key, status, NOT_A_FILE, str(error))
        except (FileNotFoundError, NotADirectoryError):
            return self._error(key, status, MISSING, "no such file, or a link to nothing")
        except OSError as error:
            return self._error(key, status, UNREADABLE, error.strerror or type(error).__name__)
        row = Row.of_answer(key, answered.answer, status, self.setup)
        if self.drawings is not None:
            self._draw(row, name, data, answered.opened)
        return row

    def draw(self, row: Row, name: str) -> None:
        """Draw a picture that an earlier run has read, unless it is drawn."""
        if row.error or self._drawing(name).exists():
            return
        data = read_file(self.folder / name)
        self._draw(row, name, data, self.models.open(data))

    def is_current(self, row: Row, name: str) -> bool:
        """Whether the row is still that of the picture."""
        if row.error in RETRIED:
            return False
        try:
            found = (self.folder / name).stat()
        except OSError:
            return False
        return (row.bytes, row.modified) == (found.st_size, found.st_mtime_ns)

    def _drawing(self, name: str) -> Path:
        assert self.drawings is not None, "asked for only where pictures are drawn"
        return self.drawings / f"{name}.png"

    def _draw(self, row: Row, name: str, data: bytes, opened: tuple[str, Picture] | Page) -> None:
        pixels = decode_grey(data).pixels if isinstance(opened, Page) else opened[1].pixels
        lines: Sequence[Any] = row.readings
        marking.draw(pixels, lines, f"{Path(row.picture).name}: {row.text or 'nothing'}", self._drawing(name))

    def _error(self, key: str, status: Status, code: str, message: str) -> Row:
        return Row.of_error(key, code, message, status, self.setup)


def _expect_folders(folder: Path, out: Path, drawings: Path | None) -> None:
    if not folder.is_dir():
        raise ConfigurationError(f"IMAGES: {printable(folder)}: no such folder, expected one with pictures")
    table.expect_format(out)
    if drawings is None:
        return
    if drawings.exists() and not drawings.is_dir():
        raise ConfigurationError(f"DRAW: {printable(drawings)} is a file, expected a folder")
    if drawings.resolve().is_relative_to(folder.resolve()):
        raise ConfigurationError(
            f"DRAW: {printable(drawings)} is in {printable(folder)}, so that the next run would read what this one "
            "draws; expected another folder"
        )


def _expect_table(out: Path) -> None:
    """Raise an error where a file that is no table of this command would be replaced."""
    if out.exists():
        next(table.read(out), None)


def _keep(journal: Journal, out: Path, work: _Work, names: Mapping[str, str]) -> int:
    """Bring the rows of the finished table into the journal, and leave out those that are not current; count the rest.

    Raises:
        ConfigurationError: a row is one of other models or settings.
    """
    rows: list[Row] = []
    if out.exists():
        for row in table.read(out):
            _expect_setup(row, out, work)
            # What the journal has is newer.
            if row.picture in names and row.picture not in journal:
                rows.append(row)
            if len(rows) >= BATCH:
                journal.append(rows)
                rows.clear()
        journal.append(rows)
    stale = []
    for row in journal:
        _expect_setup(row, journal.path, work)
        if row.picture not in names or not work.is_current(row, names[row.picture]):
            stale.append(row.picture)
    journal.forget(stale)
    if len(journal):
        print(f"{printable(out)}: {len(journal):,} of {len(names):,} pictures were read before", file=sys.stderr)
    return len(journal)


def _expect_setup(row: Row, path: Path, work: _Work) -> None:
    if row.setup == work.setup:
        return
    packaged = {manifest.model.sha256 for manifest in work.models.manifests.values()}
    found = "other settings (TASK, INVERT) or thresholds, or before another model was packaged"
    if row.model and row.model not in packaged:
        found = f"the model {row.model[:12]} for {row.task}, which is not the packaged one"
    raise ConfigurationError(
        f"{printable(path)}: read with {found}; AGAIN=1 reads every picture again, or name another OUT"
    )


def _read_all(work: _Work, journal: Journal, names: Mapping[str, str]) -> None:
    """Read the pictures that the journal lacks, and draw those that it has."""
    rows: list[Row] = []
    written = time.monotonic()
    left = [key for key in names if work.drawings is not None or key not in journal]
    with _Progress(work.folder, len(names), len(names) - len(left)) as progress:
        for row in _in_order(_tasks(work, journal, names, left)):
            progress.advance()
            if row is not None:
                rows.append(row)
            if len(rows) >= BATCH or time.monotonic() - written > SECONDS:
                journal.append(rows)
                rows.clear()
                written = time.monotonic()
        journal.append(rows)


def _tasks(
    work: _Work, journal: Journal, names: Mapping[str, str], left: Sequence[str]
) -> Iterator[Callable[[], Row | None]]:
    for key in left:
        if key in journal:
            yield _bound(work.draw, journal[key], names[key])
        else:
            yield _bound(work.read, key, names[key])


def _bound(function: Callable[..., Row | None], *arguments: Any) -> Callable[[], Row | None]:
    return lambda: function(*arguments)


def _in_order(tasks: Iterator[Callable[[], Row | None]]) -> Iterator[Row | None]:
    """What the tasks return, in their order; they run side by side, `AHEAD` at most."""
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="read")
    waiting: collections.deque[Future[Row | None]] = collections.deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) >= AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class _Progress:
    """A bar on a terminal; elsewhere a line every `EVERY` seconds."""

    def __init__(self, folder: Path, total: int, done: int) -> None:
        self._bar = tqdm(total=total, initial=done, desc=printable(folder), unit="picture", disable=None)
        self._total, self._done, self._first = total, done, done
        self._began = self._said = time.monotonic()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self) -> None:
        """Count a picture."""
        self._done += 1
        self._bar.update()
        now = time.monotonic()
        if not self._bar.disable or now - self._said < EVERY:
            return
        self._said = now
        pace = (self._done - self._first) / (now - self._began)
        left = format_left((self._total - self._done) / pace)
        print(f"{self._done:,} of {self._total:,} pictures, {pace:.0f} a second, {left}", file=sys.stderr, flush=True)


def _counted(rows: Iterator[Row], counts: collections.Counter[str]) -> Iterator[Row]:
    for row in rows:
        counts["pictures"] += 1
        counts["lines"] += row.lines
        counts["accepted"] += row.accepted is True
        counts["errors"] += row.error != ""
        counts["empty"] += row.lines == 0 and not row.error
        yield row


def _summary(out: Path, counts: Mapping[str, int], kept: int, seconds: float) -> str:
    pictures = counts["pictures"]
    parts = [f"{_count(pictures, 'picture')}, {_count(counts['lines'], 'line')}", f"{counts['accepted']:,} accepted"]
    parts += [f"{counts['empty']:,} without writing"] if counts["empty"] else []
    parts += [_count(counts["errors"], "error")] if counts["errors"] else []
    parts += [f"{kept:,} read before"] if kept else []
    pace = f"; {(pictures - kept) / seconds:.0f} pictures a second" if pictures > kept else ""
    return f"{printable(out)}: {', '.join(parts)}; {format_seconds(seconds)}{pace}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

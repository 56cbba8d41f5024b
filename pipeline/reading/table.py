"""The table that `make read` makes of a folder: its rows, the journal of an unfinished run, and the finished file.

While a run goes on, each batch of rows is appended to a journal, `OUT.part`, and synchronised with the disk. At the end
the rows are written to OUT in the order of the pictures' names, whole or not at all. So what a killed run has read is
never lost, and a file with the name OUT is always complete.
"""

import csv
import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import orjson
from pydantic import JsonValue

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import printable, replacing

FORMATS = (".csv", ".parquet")
"""Suffixes of OUT."""
_GROUP = 1000
"""Rows of one write to a Parquet file."""
_LONGEST = 1 << 24
"""Most characters in one cell of a CSV file: the lines of a page of thousands of numbers."""


Status = tuple[int, int | None]
"""Of a picture's file: its size in bytes, and when it was last modified, as `Row` has them."""


@dataclass(frozen=True)
class Row:
    """What was read in one picture.

    Attributes:
        picture: path of its file below the folder, with `/`; what is not printable is escaped.
        text: the readings of its lines from top to bottom, with a space between two; the class where that is read.
        lines: how many lines were found; 1 for a picture that its size gave to another model.
        confidence: the least confidence of its lines, 0 to 1; None without lines.
        accepted: whether every line is accepted; False without lines; None where the model has no threshold.
        notes: of the picture and of its lines, with a space between two.
        error: the code of the error of a picture that was not read, else "".
        message: what was found and what was expected, else "".
        task: of the model that read it, else "".
        model: SHA-256 of that model, else "".
        readings: the lines as JSON, each with what the service answers for it, boxes in pixels of the picture.
        bytes: of the file.
        modified: when the file was last modified, in nanoseconds since 1970; None for a picture of a Parquet file.
        setup: which models and settings the run had, as a hash; a row of another setup is not kept.
    """

    picture: str
    text: str
    lines: int
    confidence: float | None
    accepted: bool | None
    notes: str
    error: str
    message: str
    task: str
    model: str
    readings: tuple[JsonValue, ...]
    bytes: int
    modified: int | None
    setup: str

    @classmethod
    def of_answer(cls, picture: str, answer: Mapping[str, Any], status: Status, setup: str) -> Self:
        """The row of an answer in the form of `PictureAnswer`."""
        lines: list[dict[str, Any]] = answer["lines"]
        notes = [*answer["notes"], *(note for line in lines for note in line["notes"])]
        return cls(
            picture=picture,
            text=answer["class"] if "class" in answer else " ".join(answer["digits"].split()),
            lines=len(lines),
            confidence=answer["confidence"],
            accepted=answer["accepted"],
            notes=" ".join(dict.fromkeys(notes)),
            error="",
            message="",
            task=answer["task"],
            model=answer["model"]["sha256"],
            readings=tuple(lines),
            bytes=status[0],
            modified=status[1],
            setup=setup,
        )

    @classmethod
    def of_error(cls, picture: str, code: str, message: str, status: Status, setup: str) -> Self:
        """The row of a picture that was not read."""
        return cls(
            picture=picture,
            text="",
            lines=0,
            confidence=None,
            accepted=False,
            notes="",
            error=code,
            message=printable(message),
            task="",
            model="",
            readings=(),
            bytes=status[0],
            modified=status[1],
            setup=setup,
        )

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """From the values of a JSON object.

        Raises:
            ValueError: a key is missing, unknown or of another type.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"{type(values).__name__} found, expected an object")
        if values.keys() != {field.name for field in fields(cls)}:
            raise ValueError(f"keys {', '.join(values)} found, expected {', '.join(COLUMNS)}")
        for name, kinds in _TYPES.items():
            if type(values[name]) not in kinds:
                raise ValueError(f"{name}: {values[name]!r} found")
        return cls(**{**values, "readings": tuple(values["readings"])})


COLUMNS = tuple(field.name for field in fields(Row))
"""Of the table, in order."""
_TEXTS = ("picture", "text", "notes", "error", "message", "task", "model", "setup")
_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(_TEXTS, (str,)),
    **dict.fromkeys(("lines", "bytes"), (int,)),
    "modified": (int, type(None)),
    "confidence": (float, type(None)),
    "accepted": (bool, type(None)),
    "readings": (list, tuple),
}


_BEGINNING = b'{"picture": '
"""Of every line of a journal."""


class Journal:
    """The rows of a run that is not finished, one JSON object a line. One process at a time holds it.

    Attributes:
        path: of the file, `OUT.part`.
        dropped: bytes at the end of the file that were no whole row, as a kill leaves them, and were removed.
    """

    def __init__(self, out: Path) -> None:
        """Open or make the journal of `out`, and remove what is no whole row at its end.

        Raises:
            ConfigurationError: another process holds it, or the file is something else.
        """
        self.path = out.with_name(f"{out.name}.part")
        self.dropped = 0
        self._places: dict[str, int] = {}
        out.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ConfigurationError(
                f"{printable(self.path)}: in use by another `make read`; wait for its end, or name another OUT"
            ) from None
        self._index()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, picture: object) -> bool:
        return picture in self._places

    def __getitem__(self, picture: str) -> Row:
        self._file.seek(self._places[picture])
        return Row.parse(json.loads(self._file.readline()))

    def __iter__(self) -> Iterator[Row]:
        for picture in self._places:
            yield self[picture]

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows, and return once the disk has them. A later row of a picture replaces the earlier one.

        Raises:
            DataError: the disk is full.
        """
        place = self._file.seek(0, os.SEEK_END)
        places: dict[str, int] = {}
        lines = b""
        for row in rows:
            places[row.picture] = place + len(lines)
            lines += json.dumps(vars(row), allow_nan=False).encode() + b"\n"
        try:
            self._file.write(lines)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise DataError(
                f"{printable(self.path)}: {error.strerror}; free some space and run again, what was read is kept"
            ) from None
        self._places |= places

    def forget(self, pictures: Iterable[str]) -> None:
        """Leave rows out from now on. They stay in the file until it is removed."""
        for picture in pictures:
            self._places.pop(picture, None)

    def clear(self) -> None:
        """Remove every row."""
        self._file.truncate(0)
        self._places.clear()

    def remove(self) -> None:
        """Remove the file, once the table is written."""
        self.path.unlink(missing_ok=True)

    def _index(self) -> None:
        beginning = self._file.read(len(_BEGINNING))
        if not _BEGINNING.startswith(beginning):
            self._file.close()
            raise ConfigurationError(
                f"{printable(self.path)}: not what an unfinished `make read` left; name another OUT, or remove it"
            )
        place = self._file.seek(0)
        for line in self._file:
            try:
                row = Row.parse(json.loads(line)) if line.endswith(b"\n") else None
            except ValueError:
                row = None
            if row is None:
                # Rows are appended: what follows a damaged one was written after it, and is read again.
                break
            self._places[row.picture] = place
            place += len(line)
        self.dropped = self._file.seek(0, os.SEEK_END) - place
        self._file.truncate(place)


def expect_format(out: Path) -> None:
    """Raise an error unless a table can be written to `out`.

    Raises:
        ConfigurationError: another suffix, a folder, or Parquet without the package pyarrow.
    """
    if out.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"OUT: {printable(out)} found, expected a name that ends in .csv or .parquet, or in /")
    if out.is_dir():
        raise ConfigurationError(f"OUT: {printable(out)} is a folder, expected a file such as readings.csv")
    if out.suffix.lower() == ".parquet":
        pyarrow()


def write(out: Path, rows: Iterable[Row]) -> None:
    """Write the table as CSV or Parquet by the suffix of `out`, whole or not at all. Equal rows give equal bytes."""
    with replacing(out) as temporary:
        if out.suffix.lower() == ".parquet":
            _write_parquet(temporary, rows)
        else:
            _write_csv(temporary, rows)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())


def read(path: Path) -> Iterator[Row]:
    """The rows of a table that `write` wrote.

    Raises:
        DataError: it is damaged, or another table.
    """
    try:
        yield from _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except (ValueError, csv.Error) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{printable(path)}: not a table of `make read` ({printable(reason)}); name another OUT, or remove it"
        ) from None


def _write_csv(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([_as_cell(value) for value in vars(row).values()] for row in rows)


def _as_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, separators=(",", ":")) if isinstance(value, tuple) else str(value)


def _read_csv(path: Path) -> Iterator[Row]:
    # The limit is the process's, so it is put back for others.
    limit = csv.field_size_limit(_LONGEST)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise ValueError(f"columns {', '.join(header) or 'none'} found, expected {', '.join(COLUMNS)}")
            for cells in reader:
                named = zip(COLUMNS, cells, strict=True)
                yield Row.parse({name: _FROM_CELL.get(name, str)(cell) for name, cell in named})
    finally:
        csv.field_size_limit(limit)


_FROM_CELL: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("lines", "bytes"), int),
    "modified": lambda cell: int(cell) if cell else None,
    "confidence": lambda cell: float(cell) if cell else None,
    "accepted": lambda cell: {"": None, "true": True, "false": False}.get(cell, cell),
    "readings": json.loads,
}


def _write_parquet(path: Path, rows: Iterable[Row]) -> None:
    arrow = pyarrow()
    schema = schema_of(arrow)
    with arrow.parquet.ParquetWriter(path, schema) as writer:
        for group in _in_groups(rows):
            writer.write_table(arrow.table(columns_of(group), schema=schema))


def schema_of(arrow: ModuleType) -> Any:
    """The schema of a Parquet file with these columns."""
    kinds = {"lines": arrow.int32(), "confidence": arrow.float64(), "accepted": arrow.bool_()}
    kinds |= dict.fromkeys(("bytes", "modified"), arrow.int64())
    return arrow.schema([(name, kinds.get(name, arrow.string())) for name in COLUMNS])


def columns_of(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The values of the rows by column, the readings as JSON."""
    values = zip(*map(attrgetter(*COLUMNS), rows), strict=True)
    columns: dict[str, list[Any]] = {name: list(column) for name, column in zip(COLUMNS, values, strict=True)}
    columns["readings"] = [orjson.dumps(value).decode() for value in columns["readings"]]
    return columns


def _in_groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == _GROUP:
            yield group
            group = []
    if group:
        yield group


def _read_parquet(path: Path) -> Iterator[Row]:
    arrow = pyarrow()
    # ArrowInvalid, of a file that is not Parquet, is a ValueError.
    with arrow.parquet.ParquetFile(path) as file:
        found = file.schema_arrow
        if not found.equals(schema_of(arrow)):
            columns = ", ".join(f"{field.name} ({field.type})" for field in found)
            raise ValueError(f"columns {columns or 'none'} found, expected {', '.join(COLUMNS)}")
        for batch in file.iter_batches(_GROUP):
            for values in batch.to_pylist():
                yield Row.parse({**values, "readings": json.loads(values["readings"] or "")})


def pyarrow(option: str = "OUT") -> ModuleType:
    """The package pyarrow with its Parquet module.

    Args:
        option: that needs it, for the error.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        arrow = import_module("pyarrow")
        import_module("pyarrow.parquet")
    except ImportError:
        instead = ", or name a .csv file" if option == "OUT" else ""
        raise ConfigurationError(
            f"{option}: a Parquet file needs the package pyarrow, which is not installed; "
            f"`.venv/bin/uv pip install pyarrow`{instead}"
        ) from None
    return arrow

"""Which pictures a dataset of readings has, by the SHA-256 of their bytes: an index in SQLite beside its parts.

It is derived: what the parts do not say again, it does not know. Where it is lost or damaged, it is made from them.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Self

HASH = 16
"""Bytes of a SHA-256 that are kept: two of 10^8 pictures agree in them with a probability of 10^-23."""
_ASKED = 500
"""Hashes in one query; SQLite takes some thousand parameters."""
_FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS parts (
    number INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, pictures INTEGER, lines INTEGER, accepted INTEGER,
    empty INTEGER, errors INTEGER, again INTEGER);
CREATE TABLE IF NOT EXISTS known (
    hash BLOB PRIMARY KEY, part INTEGER NOT NULL, row INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Part:
    """What one part of a dataset has.

    Attributes:
        key: of its shard.
        pictures, lines, accepted: how many rows, lines of writing, and rows that are accepted.
        empty: rows without writing.
        errors: rows with an error.
        again: rows with an error that may be gone at the next run.
    """

    key: str
    pictures: int
    lines: int
    accepted: int
    empty: int
    errors: int
    again: int


class Known:
    """The index. One process writes, others may read at the same time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the index for writing; a new one where there is none, or it is damaged."""
        try:
            return cls(cls._made(path))
        except sqlite3.DatabaseError:
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()
            return cls(cls._made(path))

    @classmethod
    def readable(cls, path: Path) -> Self:
        """Open the index for lookups alone, while another process may write."""
        return cls(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=60))

    @staticmethod
    def _made(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=60)
        try:
            # Readers do not wait for the writer. Nothing is synchronised: after a crash of the machine, a damaged index
            # is made again.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA cache_size = -65536")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, _FORMAT):
                raise sqlite3.DatabaseError(f"format {found}")
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
        except BaseException:
            connection.close()
            raise
        return connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def __len__(self) -> int:
        """How many different pictures it knows."""
        return int(self._connection.execute("SELECT count(*) FROM known").fetchone()[0])

    def parts(self) -> dict[str, Part]:
        """The parts, by key."""
        columns = ", ".join(field.name for field in fields(Part))
        return {row[0]: Part(*row) for row in self._connection.execute(f"SELECT {columns} FROM parts")}

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, tuple[str, int]]:
        """Where the pictures with these hashes were read: the key of the part, and the row in it."""
        found: dict[bytes, tuple[str, int]] = {}
        for start in range(0, len(hashes), _ASKED):
            asked = hashes[start : start + _ASKED]
            marks = ",".join("?" * len(asked))
            query = f"SELECT hash, key, row FROM known JOIN parts ON part = number WHERE hash IN ({marks})"
            found |= {hashed: (key, row) for hashed, key, row in self._connection.execute(query, asked)}
        return found

    def add(self, part: Part, rows: Iterable[tuple[bytes, int]]) -> None:
        """Add a part, or put it in the place of the one with its key.

        Args:
            part: what it has.
            rows: the hashes of its pictures and their rows, without those whose reading is not to be used again. Of
                equal pictures the last one counts: what it replaces may be about to be removed.
        """
        with self._writing():
            self._remove(part.key)
            marks = ", ".join("?" * len(fields(Part)))
            columns = ", ".join(field.name for field in fields(Part))
            added = self._connection.execute(f"INSERT INTO parts ({columns}) VALUES ({marks})", astuple(part))
            number = added.lastrowid
            values = ((hashed, number, row) for hashed, row in rows)
            self._connection.executemany("INSERT OR REPLACE INTO known VALUES (?, ?, ?)", values)

    def remove(self, key: str) -> None:
        """Forget a part and its pictures."""
        with self._writing():
            self._remove(key)

    def _remove(self, key: str) -> None:
        found = self._connection.execute("SELECT number FROM parts WHERE key = ?", (key,)).fetchone()
        if found is not None:
            # A scan of the table: parts are replaced or removed only where the source has changed.
            self._connection.execute("DELETE FROM known WHERE part = ?", found)
            self._connection.execute("DELETE FROM parts WHERE number = ?", found)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._connection:
            yield

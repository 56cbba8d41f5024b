"""Tables in CSV files in which each row has a key, written whole after every change."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.files import write_text
from pipeline.reports.formats import csv_text

Row = Mapping[str, str]
Key = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A CSV file.

    Attributes:
        path: of the file; one that is missing has no rows.
        columns: of every row.
        key: the columns that tell rows apart.
        ordered: whether rows are sorted by their keys; else a new one is the last.
    """

    path: Path
    columns: Sequence[str]
    key: Sequence[str]
    ordered: bool = True

    def rows(self) -> dict[Key, Row]:
        """Every row by its key, in the order of the file.

        Raises:
            DataError: the file is not such a table, or has a key twice.
        """
        if not self.path.exists():
            return {}
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                header, *rows = csv.reader(file, strict=True)
        except (csv.Error, UnicodeDecodeError, ValueError) as error:
            raise DataError(f"{self.path}: not a valid table ({error})") from None
        if tuple(header) != tuple(self.columns):
            raise DataError(f"{self.path}: expected the columns {', '.join(self.columns)}, found {', '.join(header)}")
        found: dict[Key, Row] = {}
        for number, values in enumerate(rows, 2):
            if len(values) != len(self.columns):
                raise DataError(f"{self.path}: row {number}: {len(values)} values, expected {len(self.columns)}")
            row = dict(zip(self.columns, values, strict=True))
            key = self.key_of(row)
            if key in found:
                raise DataError(f"{self.path}: row {number}: duplicate {', '.join(key)}; expected every one once")
            found[key] = row
        return found

    def key_of(self, row: Row) -> Key:
        """The values that tell a row apart."""
        return tuple(row[column] for column in self.key)

    def get(self, key: Key) -> Row | None:
        """The row of a key; None where there is none.

        Raises:
            DataError: as `rows`.
        """
        return self.rows().get(key)

    def put(self, row: Row) -> None:
        """Write a row in the place of the one with its key, if there is one.

        Raises:
            DataError: as `rows`.
            OSError: the file cannot be written, and is as it was.
        """
        rows = self.rows()
        rows[self.key_of(row)] = row
        self._write(rows)

    def remove(self, key: Key) -> bool:
        """Remove a row; whether there was one.

        Raises:
            DataError: as `rows`.
            OSError: the file cannot be written, and is as it was.
        """
        rows = self.rows()
        if rows.pop(key, None) is None:
            return False
        self._write(rows)
        return True

    def _write(self, rows: Mapping[Key, Row]) -> None:
        keys = sorted(rows) if self.ordered else rows
        write_text(self.path, csv_text(self.columns, [[rows[key][column] for column in self.columns] for key in keys]))

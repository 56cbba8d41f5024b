"""A dataset of readings: a folder of Parquet files, one for each shard of the pictures.

A part is written beside its name and renamed, so a file with the name of a part is always whole. `_manifest.json` is
there once every picture has a row: it lists the parts. Arrow and Spark take names that begin with `_` for no data.
"""

import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import printable, replacing
from pipeline.reading import storage
from pipeline.reading.folder import RETRIED
from pipeline.reading.known import HASH, Known, Part
from pipeline.reading.sources import is_of_arrow
from pipeline.reading.table import COLUMNS, Row, columns_of, pyarrow, schema_of

SHA256 = "sha256"
"""The column with the hash of a picture's bytes, hexadecimal; "" where there were none."""
SETUP, MANIFEST, LOCK, INDEX = "_setup.json", "_manifest.json", "_lock", "_known.sqlite"
GROUP = 1000
"""Rows of a row group: a reading that is used again is found by reading one."""
_PREFIX, _SUFFIX = "part-", ".parquet"
_FORMAT = 1


class Dataset:
    """A dataset, as one process sees it. Workers write parts, the process that started them everything else.

    Attributes:
        place: a path or an address.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._fs, self._root = storage.opened(place, "OUT")
        self._local = storage.is_local(self._fs)

    @contextmanager
    def held(self, setup: str, *, again: bool = False) -> Iterator[Path]:
        """Make the folder, hold it against other runs, and say in it which models and settings its rows are of.

        Args:
            setup: the models and settings, as `PackagedModels.setup` has them.
            again: remove what an earlier run has read, once no other run can hold the folder.

        Yields:
            A folder of this machine for the index.

        Raises:
            ConfigurationError: another run holds it, it is something else, or its rows are of another setup. An address
                is not held.
        """
        with storage.answering("OUT", self.place):
            self._expect_ours()
        if not self._local:
            with tempfile.TemporaryDirectory(prefix="readings-") as temporary:
                self._begin(setup, again=again)
                yield Path(temporary)
            return
        folder = Path(self._root)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    f"{printable(self.place)}: in use by another `make read`; wait for its end, or name another OUT"
                ) from None
            for left in folder.glob(f".{_PREFIX}*"):
                # A killed run's.
                left.unlink()
            self._begin(setup, again=again)
            yield folder

    def parts(self) -> set[str]:
        """The keys of the parts that are there."""
        with storage.answering("OUT", self.place), suppress(FileNotFoundError):
            names = (path.rpartition("/")[2] for path in self._fs.ls(self._root, detail=False))
            return {
                name[len(_PREFIX) : -len(_SUFFIX)]
                for name in names
                if name.startswith(_PREFIX) and name.endswith(_SUFFIX)
            }
        return set()

    def write(self, key: str, rows: Iterable[tuple[Row, str]]) -> tuple[Part, list[tuple[bytes, int]]]:
        """Write the part with this key, whole or not at all, a row group at a time.

        Args:
            key: of its shard.
            rows: each with the SHA-256 of the picture, hexadecimal, or "".

        Returns:
            What it has, and the hashes and rows of the pictures whose readings may be used again.

        Raises:
            DataError: the disk is full.
        """
        counted = _Counted(key)
        try:
            with self._writing(key) as path:
                arrow = pyarrow()
                schema = _schema(arrow)
                with arrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
                    for group in counted.groups(rows):
                        columns = columns_of([row for row, _ in group])
                        columns[SHA256] = [sha256 for _, sha256 in group]
                        writer.write_table(arrow.table(columns, schema=schema))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise DataError(
                f"{printable(self.place)}: {error.strerror}; free some space and run again, what was read is kept"
            ) from None
        return counted.part(), counted.hashes

    def rows(self, key: str, wanted: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Rows of a part by their number, as `Row.parse` takes them."""
        arrow = pyarrow()
        found: dict[int, dict[str, Any]] = {}
        with (
            storage.answering("OUT", self.place),
            self._fs.open(self._path(key), "rb") as file,
            arrow.parquet.ParquetFile(file) as part,
        ):
            for group in sorted({number // GROUP for number in wanted}):
                table = part.read_row_group(group, columns=list(COLUMNS), use_threads=False)
                inside = [number for number in wanted if number // GROUP == group]
                taken = table.take([number - group * GROUP for number in inside]).to_pylist()
                for number, values in zip(inside, taken, strict=True):
                    found[number] = {**values, "readings": json.loads(values["readings"])}
        return found

    def examine(self, key: str) -> tuple[Part, list[tuple[bytes, int]]]:
        """What `write` returned of a part that an earlier run has written.

        Raises:
            DataError: it is damaged, or another file.
        """
        arrow = pyarrow()
        counted = _Counted(key)
        columns = ["lines", "accepted", "error", SHA256]
        try:
            with self._fs.open(self._path(key), "rb") as file, arrow.parquet.ParquetFile(file) as part:
                for batch in part.iter_batches(GROUP, columns=columns, use_threads=False):
                    for values in batch.to_pylist():
                        counted.count(**values)
        except Exception as error:
            # TypeError: of a file without one of the columns, where Arrow leaves it out.
            if not is_of_arrow(error) and not isinstance(error, TypeError):
                raise
            reason = printable(" ".join(str(error).split()))[:200]
            raise DataError(
                f"{printable(self._path(key))}: not a part of a dataset of `make read` ({reason}); remove it and run "
                "again"
            ) from None
        return counted.part(), counted.hashes

    def synchronize(self, known: Known) -> None:
        """Bring an index to what the parts say."""
        there, indexed = self.parts(), known.parts()
        for key in indexed.keys() - there:
            known.remove(key)
        for key in sorted(there - indexed.keys()):
            with storage.answering("OUT", self.place):
                examined = self.examine(key)
            known.add(*examined)

    def remove(self, key: str) -> None:
        """Remove a part."""
        with storage.answering("OUT", self.place):
            self._fs.rm_file(self._path(key))

    def unfinish(self) -> None:
        """Say that pictures are missing."""
        with storage.answering("OUT", self.place), suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{MANIFEST}")

    def clear(self) -> None:
        """Remove every part and what is said of them.

        Raises:
            ConfigurationError: it is something else.
        """
        with storage.answering("OUT", self.place):
            self._expect_ours()
            self.unfinish()
            for key in self.parts():
                self.remove(key)
            for name in (SETUP, INDEX, f"{INDEX}-wal", f"{INDEX}-shm"):
                with suppress(FileNotFoundError):
                    self._fs.rm_file(f"{self._root}/{name}")

    def finish(self, parts: Sequence[Part]) -> None:
        """Say that every picture has a row, and which parts have them."""
        content = {
            "format": _FORMAT,
            "pictures": sum(part.pictures for part in parts),
            "parts": [{"file": f"{_PREFIX}{part.key}{_SUFFIX}", "pictures": part.pictures} for part in parts],
        }
        self._put(MANIFEST, content)

    def _path(self, key: str) -> str:
        return f"{self._root}/{_PREFIX}{key}{_SUFFIX}"

    @contextmanager
    def _writing(self, key: str) -> Iterator[Path]:
        if self._local:
            with replacing(Path(self._path(key))) as temporary:
                yield temporary
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            return
        with tempfile.TemporaryDirectory(prefix="readings-") as folder:
            temporary = Path(folder) / "part.parquet"
            yield temporary
            # A store shows an object once all of it is there.
            with storage.answering("OUT", self.place):
                self._fs.put_file(str(temporary), self._path(key))

    def _expect_ours(self) -> None:
        if self._fs.isfile(self._root):
            raise ConfigurationError(f"OUT: {printable(self.place)} is a file, expected a folder for a dataset")
        if not self._fs.isdir(self._root):
            return
        found = [path.rpartition("/")[2] for path in self._fs.ls(self._root, detail=False)]
        if SETUP not in found and any(name and name != LOCK for name in found):
            raise ConfigurationError(
                f"OUT: {printable(self.place)}: not a dataset of `make read`, which would have {SETUP}; "
                "name another OUT, or remove it"
            )

    def _begin(self, setup: str, *, again: bool) -> None:
        if again:
            self.clear()
        path = f"{self._root}/{SETUP}"
        with storage.answering("OUT", self.place):
            written = self._fs.cat_file(path) if self._fs.exists(path) else None
        if written is None:
            self._put(SETUP, {"format": _FORMAT, "setup": setup})
            return
        try:
            found = json.loads(written)
        except ValueError:
            found = None
        if found != {"format": _FORMAT, "setup": setup}:
            raise ConfigurationError(
                f"{printable(self.place)}: read with other models, thresholds or settings (TASK, INVERT); "
                "AGAIN=1 reads every picture again, or name another OUT"
            )

    def _put(self, name: str, content: Mapping[str, Any]) -> None:
        data = json.dumps(content, indent=1).encode() + b"\n"
        if self._local:
            with replacing(Path(self._root, name)) as temporary:
                temporary.write_bytes(data)
        else:
            with storage.answering("OUT", self.place):
                self._fs.pipe_file(f"{self._root}/{name}", data)


class _Counted:
    """Counts rows, and gathers the hashes of those that may be used again."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._counts = dict.fromkeys(("pictures", "lines", "accepted", "empty", "errors", "again"), 0)
        self.hashes: list[tuple[bytes, int]] = []

    def groups(self, rows: Iterable[tuple[Row, str]]) -> Iterator[list[tuple[Row, str]]]:
        """The rows in groups of `GROUP`, counted."""
        group: list[tuple[Row, str]] = []
        for row, sha256 in rows:
            self.count(row.lines, row.accepted, row.error, sha256)
            group.append((row, sha256))
            if len(group) == GROUP:
                yield group
                group = []
        if group:
            yield group

    def count(self, lines: int, accepted: bool | None, error: str, sha256: str) -> None:
        """Count one row."""
        counts, number = self._counts, self._counts["pictures"]
        counts["pictures"] += 1
        counts["lines"] += lines
        counts["accepted"] += accepted is True
        counts["empty"] += lines == 0 and not error
        counts["errors"] += error != ""
        counts["again"] += error in RETRIED
        if sha256 and error not in RETRIED:
            self.hashes.append((bytes.fromhex(sha256)[:HASH], number))

    def part(self) -> Part:
        """What was counted."""
        return Part(key=self._key, **self._counts)


def shortened(data: bytes) -> tuple[str, bytes]:
    """The SHA-256 of a picture's bytes, hexadecimal, and as much of it as the index has."""
    digest = hashlib.sha256(data)
    return digest.hexdigest(), digest.digest()[:HASH]


def _schema(arrow: Any) -> Any:
    return schema_of(arrow).append(arrow.field(SHA256, arrow.string()))

"""Where pictures come from, in shards: the files of a folder, or the row groups of Parquet files.

A shard is what one worker reads at a time, and becomes one part of a dataset of readings. Its key says which pictures
it has, as far as that can be told without reading them: where the key is the same, the part is. Pictures are read in
blocks, so that a shard is never in memory as a whole.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.core.decoding import MAX_BYTES
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import printable, read_file
from pipeline.reading import storage
from pipeline.reading.folder import MISSING, NOT_A_FILE, SUFFIXES, UNREADABLE, find
from pipeline.reading.table import Status, pyarrow

BLOCK = 256
"""Pictures that are in memory together; of a folder, or of large ones, fewer."""
BLOCK_BYTES = 32 << 20
"""Bytes of files that are in memory together, beyond the last of them."""
FILES = (1024, 4096)
"""Files of a shard of a folder: on average, and at most."""
ROWS = 8192
"""Rows of a shard of Parquet files, unless one row group has more: row groups are read as a whole."""
NAMES, BYTES, IMAGE = ("name", "path", "picture"), "bytes", "image"
"""Columns of a Parquet file: a picture's name and its file; or a column with both, as Hugging Face's datasets have."""
PARQUET = ".parquet"
_OBJECTS = BLOCK // 8
"""Objects of a store that are fetched side by side, fewer of large ones."""

_Known = tuple[str, str, int | None]
"""Of a file below a folder its name, what changes with its content, and the bytes of an object of a store."""


@dataclass(frozen=True)
class Item:
    """One picture, or why it cannot be had.

    Attributes:
        name: of the picture in the table, printable.
        data: the bytes of its file; b"" with an error.
        status: size, and time of modification.
        error: code and message, ("", "") without one.
    """

    name: str
    data: bytes
    status: Status
    error: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Shard:
    """Pictures that are read together.

    Attributes:
        key: which ones, as a hash of 20 hexadecimal digits.
        pictures: how many.
        place: the folder or file they are in, a path or an address.
        names: of files below the folder; empty for a Parquet file.
        sizes: of these in bytes, where they are objects of a store; -1 for one whose size it does not say.
        groups: the first row group and the one behind the last; (0, 0) for a folder.
        first: the number of the first row in the Parquet file.
    """

    key: str
    pictures: int
    place: str
    names: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    groups: tuple[int, int] = (0, 0)
    first: int = 0

    def blocks(self) -> Iterator[list[Item]]:
        """The pictures, in order, a block at a time.

        Raises:
            DataError: a Parquet file is damaged, or changed since.
        """
        return _blocks_of_files(self) if self.names else _blocks_of_rows(self)


def is_parquet(path: Path) -> bool:
    """Whether a path is a Parquet file or a folder that begins with one, not a folder of pictures."""
    return path.suffix == PARQUET or any(entry.suffix == PARQUET for entry in path.glob("*"))


def shards_of(place: str) -> Iterator[Shard]:
    """The pictures of a folder, of a Parquet file, or of the Parquet files below a folder.

    Args:
        place: a path, or an address that fsspec knows.

    Raises:
        ConfigurationError: there is no such place, pictures and Parquet files are mixed, or columns are missing.
        DataError: there are no pictures, or a Parquet file is damaged.
    """
    fs, root = storage.opened(place, "IMAGES")
    with storage.answering("IMAGES", place):
        if not fs.exists(root):
            raise ConfigurationError(
                f"IMAGES: {printable(place)}: no such folder or file, expected pictures or Parquet files"
            )
        if not fs.isdir(root):
            if not root.endswith(PARQUET):
                raise ConfigurationError(
                    f"IMAGES: {printable(place)} is a file, expected a folder or a {PARQUET} file; "
                    "IMAGE reads one picture"
                )
            files = {"": fs.info(root)}
        else:
            files = _parquet_below(fs, root, place)
        if files:
            for below, info in files.items():
                yield from _shards_of_rows(f"{place.rstrip('/')}/{below}" if below else place, below, info)
        else:
            yield from _shards_of_files(fs, root, place)


def _parquet_below(fs: Any, root: str, place: str) -> dict[str, dict[str, Any]]:
    """The Parquet files below a folder, by path, in order, with what the file system says of each.

    Raises:
        ConfigurationError: there are pictures beside them.
    """
    found: dict[str, dict[str, Any]] = {}
    pictures = False
    for path, info in sorted(fs.find(root, detail=True).items()):
        below = PurePosixPath(path).relative_to(PurePosixPath(root))
        # Spark, Arrow and this command keep files of their own under such names.
        if below.suffix == PARQUET and not any(part.startswith((".", "_")) for part in below.parts):
            found[str(below)] = info
        elif below.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in below.parts):
            pictures = True
    if found and pictures:
        raise ConfigurationError(f"IMAGES: {printable(place)}: pictures and Parquet files found, expected either")
    return found


def _shards_of_rows(file: str, below: str, info: dict[str, Any]) -> Iterator[Shard]:
    arrow = pyarrow("IMAGES")
    fs, path = storage.opened(file, "IMAGES")
    identity = _identity(info)
    with fs.open(path, "rb") as opened, _readable(file), arrow.parquet.ParquetFile(opened) as table:
        _columns(table.schema_arrow, file)
        counts = [table.metadata.row_group(index).num_rows for index in range(table.metadata.num_row_groups)]
    first = start = 0
    for stop in range(1, len(counts) + 1):
        rows = sum(counts[start:stop])
        if stop < len(counts) and rows + counts[stop] <= ROWS:
            continue
        if rows:
            key = _key([below or file.rpartition("/")[2], identity, start, stop])
            yield Shard(key, rows, file, groups=(start, stop), first=first)
        start, first = stop, first + rows


def _shards_of_files(fs: Any, root: str, place: str) -> Iterator[Shard]:
    if storage.is_local(fs):
        names = find(Path(place)).values()
        known: Iterable[_Known] = ((name, _local_identity(Path(place, name)), None) for name in names)
    else:
        known = _remote_files(fs, root, place)
    mean, most = FILES
    gathered: list[_Known] = []
    for file in known:
        gathered.append(file)
        # A boundary depends on a name alone, so that a new file changes one shard and not all that follow.
        if len(gathered) == most or zlib.crc32(file[0].encode("utf-8", "surrogateescape")) % mean == 0:
            yield _shard_of_files(place, gathered)
            gathered.clear()
    if gathered:
        yield _shard_of_files(place, gathered)


def _shard_of_files(place: str, files: Sequence[_Known]) -> Shard:
    key = _key([(name, identity) for name, identity, _ in files])
    sizes = tuple(size for _, _, size in files if size is not None)
    return Shard(key, len(files), place, tuple(name for name, _, _ in files), sizes)


def _remote_files(fs: Any, root: str, place: str) -> Iterator[_Known]:
    found = False
    for path, info in sorted(fs.find(root, detail=True).items()):
        below = PurePosixPath(path).relative_to(PurePosixPath(root))
        if below.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in below.parts):
            found = True
            size = info.get("size")
            yield str(below), _identity(info), size if isinstance(size, int) else -1
    if not found:
        raise DataError(f"{printable(place)}: no pictures found, expected files that end in {', '.join(SUFFIXES)}")


def _local_identity(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "unreadable"
    return f"{status.st_size} {status.st_mtime_ns}"


def _identity(info: dict[str, Any]) -> str:
    """Size, and the store's own digest or the time of modification, of what fsspec says of a file."""
    changed = next((info[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(key)), "")
    return f"{info.get('size')} {changed}"


def _key(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


def _blocks_of_files(shard: Shard) -> Iterator[list[Item]]:
    fs, root = storage.opened(shard.place, "IMAGES")
    if not storage.is_local(fs):
        yield from _blocks_of_objects(shard, fs, root)
        return
    items: list[Item] = []
    size = 0
    for name in shard.names:
        items.append(_item_of_file(Path(shard.place), name))
        size += len(items[-1].data)
        if len(items) == BLOCK or size >= BLOCK_BYTES:
            yield items
            items, size = [], 0
    if items:
        yield items


def _item_of_file(folder: Path, name: str) -> Item:
    key = name if name.isprintable() else printable(name)
    path = folder / name
    status: Status = (0, 0)
    try:
        found = path.stat()
        status = found.st_size, found.st_mtime_ns
        return Item(key, read_file(path), status)
    except DataError as error:
        return Item(key, b"", status, (NOT_A_FILE, str(error)))
    except (FileNotFoundError, NotADirectoryError):
        return Item(key, b"", status, (MISSING, "no such file, or a link to nothing"))
    except OSError as error:
        return Item(key, b"", status, (UNREADABLE, error.strerror or type(error).__name__))


def _blocks_of_objects(shard: Shard, fs: Any, root: str) -> Iterator[list[Item]]:
    """Objects of a store are fetched side by side: one after the other, each would wait for the network.

    What is too large by the store's own list is not fetched, and of what has grown since only as much as shows it.
    """
    names: list[str] = []
    items: dict[str, Item] = {}
    size = 0
    for name, bytes_ in zip(shard.names, shard.sizes, strict=True):
        names.append(name)
        if bytes_ > MAX_BYTES:
            items[name] = _too_large(printable(name), bytes_)
        elif bytes_ == 0:
            # Nothing to fetch, and a range of no bytes is an error of the store.
            items[name] = _item_of_bytes(printable(name), b"")
        else:
            size += max(bytes_, 0)
        if len(names) == _OBJECTS or size >= BLOCK_BYTES:
            yield _block_of_objects(fs, root, names, items)
            names, items, size = [], {}, 0
    if names:
        yield _block_of_objects(fs, root, names, items)


def _block_of_objects(fs: Any, root: str, names: Sequence[str], items: dict[str, Item]) -> list[Item]:
    """The items of some objects; those that are known are not fetched."""
    wanted = [name for name in names if name not in items]
    found = fs.cat_ranges([f"{root}/{name}" for name in wanted], 0, MAX_BYTES + 1, on_error="return") if wanted else []
    for name, data in zip(wanted, found, strict=True):
        if isinstance(data, FileNotFoundError):
            items[name] = Item(printable(name), b"", (0, None), (MISSING, "no such object"))
        elif isinstance(data, Exception):
            reason = f"{type(data).__name__}: {data}"[:200]
            items[name] = Item(printable(name), b"", (0, None), (UNREADABLE, reason))
        else:
            items[name] = _item_of_bytes(printable(name), data)
    return [items[name] for name in names]


def _blocks_of_rows(shard: Shard) -> Iterator[list[Item]]:
    arrow = pyarrow("IMAGES")
    fs, path = storage.opened(shard.place, "IMAGES")
    file = shard.place.rpartition("/")[2]
    number, seen = shard.first, 0
    with fs.open(path, "rb") as opened, _readable(shard.place), arrow.parquet.ParquetFile(opened) as table:
        name, data = _columns(table.schema_arrow, shard.place)
        columns = [column.partition(".")[0] for column in (name, data) if column]
        groups = list(range(*shard.groups))
        for batch in table.iter_batches(BLOCK, row_groups=groups, columns=sorted(set(columns)), use_threads=False):
            names = _values(batch, name) if name else [None] * len(batch)
            block: list[Item] = []
            size = 0
            for label, content in zip(names, _values(batch, data), strict=True):
                block.append(_item_of_row(f"{file}#{number}" if label is None else str(label), content))
                number, seen, size = number + 1, seen + 1, size + len(block[-1].data)
                if size >= BLOCK_BYTES:
                    yield block
                    block, size = [], 0
            if block:
                yield block
    if seen != shard.pictures:
        raise DataError(f"{printable(shard.place)}: {seen} rows found, expected {shard.pictures}: the file has changed")


def _item_of_row(name: str, content: bytes | None) -> Item:
    key = name if name.isprintable() else printable(name)
    if content is None:
        return Item(key, b"", (0, None), (MISSING, "no bytes in this row"))
    return _item_of_bytes(key, content)


def _item_of_bytes(name: str, content: bytes) -> Item:
    if len(content) > MAX_BYTES:
        return _too_large(name, len(content))
    return Item(name, content, (len(content), None))


def _too_large(name: str, size: int) -> Item:
    message = f"{size:,} bytes found, expected at most {MAX_BYTES:,}"
    return Item(name, b"", (size, None), (NOT_A_FILE, message))


def _columns(schema: Any, file: str) -> tuple[str, str]:
    """The columns with the names, "" without one, and with the bytes; of a struct, with its field behind a dot.

    Raises:
        ConfigurationError: there are no bytes, or they are of another type.
    """
    arrow = pyarrow("IMAGES")
    types = {field.name: field.type for field in schema}
    name = next((column for column in NAMES if column in types), "")
    data = BYTES
    if IMAGE in types and arrow.types.is_struct(types[IMAGE]):
        fields = {field.name: field.type for field in types[IMAGE]}
        data = f"{IMAGE}.{BYTES}"
        types[data] = fields.get(BYTES)
        name = name or (f"{IMAGE}.path" if "path" in fields else "")
    kind = types.get(data)
    if kind is None or not (arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)):
        found = ", ".join(f"{field.name} ({field.type})" for field in schema)[:200]
        raise ConfigurationError(
            f"IMAGES: {printable(file)}: columns {printable(found)} found, expected {BYTES} (binary) and "
            f"{' or '.join(NAMES[:2])} (string), or {IMAGE} (struct with {BYTES} and path)"
        )
    return name, data


def _values(batch: Any, column: str) -> list[Any]:
    column, _, field = column.partition(".")
    values = batch.column(column)
    return (values.field(field) if field else values).to_pylist()


@contextmanager
def _readable(file: str) -> Iterator[None]:
    """Turn what Arrow says of a damaged file into one line."""
    try:
        yield
    except Exception as error:
        if not is_of_arrow(error):
            raise
        reason = printable(" ".join(str(error).split()))[:200]
        raise DataError(f"{printable(file)}: not a whole Parquet file ({reason})") from None


def is_of_arrow(error: Exception) -> bool:
    """Whether an error says that a Parquet file is damaged.

    Arrow has classes of its own, and raises the operating system's without a number.
    """
    return type(error).__module__.startswith("pyarrow") or (isinstance(error, OSError) and error.errno is None)

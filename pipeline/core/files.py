"""Atomic writes: a killed process leaves no file that looks complete."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import DataError

MOST_BYTES = 1 << 28
"""That `read_file` reads unless it is told another limit."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename what was written there into place when the block succeeds.

    Works for a file and for a folder (create it at the name yielded). When the block raises, the temporary is removed
    and what `path` held before is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last, since several writers (Keras, NumPy, Matplotlib) choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as canonical JSON: sorted keys, two spaces, no NaN, a newline at the end."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """Open a regular file to read bytes. A FIFO, which would wait for a writer, and a device are not opened.

    Raises:
        DataError: it is not a regular file.
        OSError: it cannot be read.
    """
    _expect_regular(path, Path(path).stat().st_mode)
    # The file may have become another one since: without waiting, and checked again.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        _expect_regular(path, os.fstat(file.fileno()).st_mode)
        yield file


def read_file(path: Path, limit: int = MOST_BYTES) -> bytes:
    """The bytes of a regular file.

    Raises:
        DataError: it is not a regular file, or has more than `limit` bytes.
        OSError: it cannot be read.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit or len(data := file.read(limit + 1)) > limit:
            raise DataError(f"{printable(path)}: {size:,} bytes found, expected at most {limit:,}")
    return data


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote."""
    with opened(path) as file:
        return json.loads(file.read().decode("utf-8"))


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a regular file's bytes, in lower-case hexadecimal digits."""
    with opened(path) as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an uncompressed `.npz`; equal arrays give equal bytes on every machine."""
    with replacing(path) as temporary:
        np.savez(temporary, **dict(arrays))  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an `.npz` of plain arrays.

    Raises:
        DataError: the file is missing or damaged, or holds Python objects, which only unpickling could read.
    """
    try:
        with opened(path) as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run `make repro` to make it") from None
    except (ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        found = "an array of Python objects" if "Object arrays" in str(error) else "a damaged file"
        raise DataError(
            f"{path}: expected an npz archive of plain arrays, found {found}; remove it and run again"
        ) from None


def printable(name: object) -> str:
    """A name as text for one line of any terminal: control characters and bytes that are not UTF-8 are escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in str(name))


def _expect_regular(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    raise DataError(f"{printable(path)}: {kinds.get(stat.S_IFMT(mode), 'a device')} found, expected a regular file")

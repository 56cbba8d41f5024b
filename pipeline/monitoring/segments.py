"""The files of the log: JSON lines in segments, which several processes write within one bound.

A process appends to a segment of its own, whose lock it holds, so that lines of two processes never mix. A full segment
is compressed, and the oldest are removed. Every change of the folder but appending happens under the folder's lock.
"""

import contextlib
import errno
import fcntl
import gzip
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

OPEN, CLOSED = ".jsonl", ".jsonl.gz"
_DAY = 86_400.0
_LOCK = ".lock"
_COMPRESSION = 6


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; another process waits for it.

    Raises:
        OSError: the folder cannot be written.
    """
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_open(path: Path) -> bool:
    """Whether a process still appends to a segment; what a killed one left behind is not open."""
    if path.suffix != OPEN:
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def stem(path: Path) -> str:
    """The name of a segment, the same before and after it was compressed."""
    return path.name.partition(".")[0]


def segments(folder: Path) -> list[Path]:
    """The segments of a log, the oldest first. One that was just compressed is there once."""
    found = {stem(path): path for path in sorted(folder.glob(f"*{OPEN}"))}
    # A killed process may leave both; the compressed one was renamed into place, so it is whole.
    found |= {stem(path): path for path in sorted(folder.glob(f"*{CLOSED}"))}
    return [found[name] for name in sorted(found)]


def content(path: Path) -> bytes:
    """The lines of a segment, without one that is cut off at its end; b"" of a segment that was removed meanwhile.

    Raises:
        OSError: it cannot be read.
    """
    for candidate in dict.fromkeys((path, path.with_name(stem(path) + CLOSED))):
        with contextlib.suppress(FileNotFoundError):
            data = candidate.read_bytes()
            data = gzip.decompress(data) if candidate.suffix == ".gz" else data
            return data[: data.rfind(b"\n") + 1]
    return b""


def size(folder: Path) -> int:
    """Bytes of all files of a log."""
    total = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


@dataclass
class _Current:
    path: Path
    descriptor: int
    started: float
    size: int = 0


class SegmentWriter:
    """Appends lines for one process. One thread uses it."""

    _number = itertools.count()

    def __init__(self, folder: Path, *, most_bytes: int, segment_bytes: int, days: float) -> None:
        """Define, and write nothing yet.

        Args:
            folder: of the segments of all processes.
            most_bytes: of all of them together.
            segment_bytes: of one segment.
            days: after which a segment is removed.
        """
        self._folder = folder
        self._most = most_bytes
        self._segment = segment_bytes
        self._days = days
        self._current: _Current | None = None

    def write(self, lines: Sequence[bytes]) -> Iterator[int]:
        """Append lines, each with its newline, and yield how many have just been written.

        Raises:
            OSError: they cannot be written; none of the rest is.
        """
        for first, last in self._parts(lines):
            data = b"".join(lines[first:last])
            if self._current is not None and self._current.size + len(data) > self._segment:
                self.close()
            self._append(self._opened(), data)
            yield last - first

    def tick(self) -> None:
        """What is to be done from time to time: end a segment that is a day old, and remove what is too old.

        Raises:
            OSError: the folder cannot be written.
        """
        if self._current is not None and time.time() - self._current.started > min(1.0, self._days / 2) * _DAY:
            self.close()
        if self._folder.is_dir():
            with locked(self._folder):
                self._remove_old()

    def close(self) -> None:
        """End the segment and compress it.

        Raises:
            OSError: there is no room for that; the lines stay as they are.
        """
        current, self._current = self._current, None
        if current is None:
            return
        try:
            with locked(self._folder):
                _compress(current.path)
        finally:
            os.close(current.descriptor)

    def _parts(self, lines: Sequence[bytes]) -> Iterator[tuple[int, int]]:
        """Ranges of lines that fit into a segment; a longer line is a part of its own."""
        first, total = 0, 0
        for index, line in enumerate(lines):
            if total and total + len(line) > self._segment:
                yield first, index
                first, total = index, 0
            total += len(line)
        if total:
            yield first, len(lines)

    def _append(self, current: _Current, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(current.descriptor, view) :]
        except OSError:
            # What is left of a line would spoil the next one.
            with contextlib.suppress(OSError):
                os.ftruncate(current.descriptor, current.size)
            raise
        current.size += len(data)

    def _opened(self) -> _Current:
        if self._current is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self._folder):
                self._make_room()
                now = time.time()
                name = f"{int(now * 1000):014d}-{os.getpid()}-{next(self._number)}{OPEN}"
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                descriptor = os.open(self._folder / name, flags, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._current = _Current(self._folder / name, descriptor, now)
        return self._current

    def _make_room(self) -> None:
        """Remove the oldest segments until one more fits.

        An open segment counts twice as large as it may become: while it is compressed, both files are there.
        """
        self._remove_old()
        closed, opened = [], 1
        for path in segments(self._folder):
            with contextlib.suppress(FileNotFoundError):
                if is_open(path):
                    opened += 1
                else:
                    closed.append((path, path.stat().st_size))
        room = self._most - 2 * self._segment * opened
        if room < 0:
            raise OSError(errno.EDQUOT, f"the log's bound of {self._most:,} bytes is too small for {opened} processes")
        total = sum(size for _, size in closed)
        for path, size in closed:
            if total <= room:
                break
            path.unlink()
            total -= size

    def _remove_old(self) -> None:
        for leftover in self._folder.glob(".*.partial"):
            # Under the folder's lock nobody else writes one.
            leftover.unlink()
        horizon = time.time() - self._days * _DAY
        for path in segments(self._folder):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < horizon and not is_open(path):
                    path.unlink()


def replace(path: Path, data: bytes, closed: Path) -> None:
    """Write the lines of a segment, compressed and whole or not at all, as `closed`; its time stays that of `path`.

    Raises:
        OSError: there is no room.
    """
    status = path.stat()
    temporary = closed.with_name(f".{closed.name}.partial")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(gzip.compress(data, _COMPRESSION, mtime=0))
        os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
        temporary.replace(closed)
    finally:
        temporary.unlink(missing_ok=True)


def _compress(path: Path) -> None:
    replace(path, path.read_bytes(), path.with_name(stem(path) + CLOSED))
    path.unlink()

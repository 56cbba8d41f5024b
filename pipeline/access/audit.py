"""The audit log: which token did what and when, as lines of JSON. It never has a secret, a picture or a reading.

A thread writes it, so that no request waits for the disk or for another worker.
"""

import contextlib
import datetime
import fcntl
import json
import logging
import os
import queue
import threading
import time
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigurationError

AUDIT_VARIABLE = "READER_AUDIT"
"""Names the file of the audit log; without it there is none."""
_log = logging.getLogger("bentoml.reader")
_REFUSED_PER_SECOND = 10
"""Lines of requests without a valid token in a second and a process; more are counted in the next line."""
_SAY_SECONDS = 10.0
_WAITING = 4096
"""Lines that wait to be written in one process; more are counted in the next line."""
_CLOSE_SECONDS = 5.0


class Audit:
    """Appends lines to a file that all workers share, of at most twice so many bytes with its former part."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """Open the file.

        Args:
            path: of the file; the former part is beside it, with `.1` at its end.
            most_bytes: from which on a new file is begun.

        Raises:
            ConfigurationError: it cannot be written.
        """
        self._path = path
        self._most_bytes = most_bytes
        self._second, self._refused, self._left_out = 0, 0, 0
        self._said = 0.0
        self._counting = threading.Lock()
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._closed = False
        try:
            self._file = self._opened()
        except OSError as error:
            raise ConfigurationError(f"{AUDIT_VARIABLE}: {path}: {error.strerror}, expected a file to write") from None

    def note(self, who: str | None, method: str, path: str, status: int, address: str) -> None:
        """Have a line written. The event loop calls this, and waits for nothing.

        Args:
            who: the name of the token; None without a valid one.
            method: of the request.
            path: one of the service's, or `other`: never what a client made up.
            status: of the answer.
            address: of the client.
        """
        if self._closed or (who is None and not self._has_room()):
            return
        line: dict[str, Any] = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "token": who,
            "method": method,
            "path": path,
            "status": status,
            "address": address,
        }
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._leave_out(1)
        if self._thread is None:
            # Not before: a process may be forked after it has read its settings.
            self._thread = threading.Thread(target=self._work, name="audit-log", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what waits, for a few seconds at most, and close the file."""
        self._closed = True
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=_CLOSE_SECONDS)
            self._thread.join(_CLOSE_SECONDS)
            if self._thread.is_alive():
                # It writes to the file yet, whose number must not become that of another one.
                _log.error("%s: %d requests are not in the audit log", self._path, self._queue.qsize())
                return
            self._thread = None
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _work(self) -> None:
        while (line := self._queue.get()) is not None:
            with self._counting:
                left_out, self._left_out = self._left_out, 0
            if left_out:
                line["left_out"] = left_out
            try:
                self._write(json.dumps(line).encode() + b"\n")
            except OSError as error:
                # A full disk does not end the service; the gap is counted, and the log of the service says why.
                self._leave_out(left_out + 1)
                if time.monotonic() - self._said > _SAY_SECONDS:
                    self._said = time.monotonic()
                    _log.error("%s: %s: requests are not in the audit log", self._path, error.strerror)

    def _leave_out(self, lines: int) -> None:
        with self._counting:
            self._left_out += lines

    def _has_room(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._refused = second, 0
        self._refused += 1
        if self._refused > _REFUSED_PER_SECOND:
            self._leave_out(1)
            return False
        return True

    def _write(self, line: bytes) -> None:
        """Append a line to the file as it is now, which one worker at a time does."""
        while True:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                found = os.fstat(self._file)
                if self._is_current(found) and found.st_size and found.st_size + len(line) > self._most_bytes:
                    self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                # It was moved away, by this worker, by another one or by logrotate.
                if self._is_current(found):
                    self._append(line, found.st_size)
                    return
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            self._reopen()

    def _is_current(self, found: os.stat_result) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return (named.st_dev, named.st_ino) == (found.st_dev, found.st_ino)

    def _append(self, line: bytes, size: int) -> None:
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            # What is left of a line would spoil the next one; nobody else writes meanwhile.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, size)
            raise

    def _reopen(self) -> None:
        opened = self._opened()
        os.close(self._file)
        self._file = opened

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

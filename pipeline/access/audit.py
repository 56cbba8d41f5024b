"""The audit log: which token did what and when, as lines of JSON. It never has a secret, a picture or a reading."""

import contextlib
import datetime
import fcntl
import json
import logging
import os
import time
from pathlib import Path

from pipeline.core.errors import ConfigurationError

AUDIT_VARIABLE = "READER_AUDIT"
"""Names the file of the audit log; without it there is none."""
_log = logging.getLogger("bentoml.reader")
_REFUSED_PER_SECOND = 10
"""Lines of requests without a valid token in a second and a process; more are counted in the next line."""
_SAY_SECONDS = 10.0


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
        try:
            self._file = self._opened()
        except OSError as error:
            raise ConfigurationError(f"{AUDIT_VARIABLE}: {path}: {error.strerror}, expected a file to write") from None

    def note(self, who: str | None, method: str, path: str, status: int, address: str) -> None:
        """Write a line.

        Args:
            who: the name of the token; None without a valid one.
            method: of the request.
            path: one of the service's, or `other`: never what a client made up.
            status: of the answer.
            address: of the client.
        """
        if who is None and not self._has_room():
            return
        line = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "token": who,
            "method": method,
            "path": path,
            "status": status,
            "address": address,
        }
        if self._left_out:
            line["left_out"] = self._left_out
        try:
            self._write(json.dumps(line).encode() + b"\n")
            self._left_out = 0
        except OSError as error:
            # A full disk does not end the service; the gap is counted, and the log of the service says why.
            self._left_out += 1
            if time.monotonic() - self._said > _SAY_SECONDS:
                self._said = time.monotonic()
                _log.error("%s: %s: requests are not in the audit log", self._path, error.strerror)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _has_room(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._refused = second, 0
        self._refused += 1
        if self._refused > _REFUSED_PER_SECOND:
            self._left_out += 1
            return False
        return True

    def _write(self, line: bytes) -> None:
        found = os.fstat(self._file)
        # It was moved away, by another worker or by logrotate.
        try:
            moved = self._path.stat().st_ino != found.st_ino
        except FileNotFoundError:
            moved = True
        if moved:
            self._reopen()
        elif found.st_size + len(line) > self._most_bytes:
            self._rotate()
        os.write(self._file, line)

    def _rotate(self) -> None:
        with self._path.with_name(f"{self._path.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another worker may have been first.
            if self._path.exists() and self._path.stat().st_ino == os.fstat(self._file).st_ino:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._reopen()

    def _reopen(self) -> None:
        opened = self._opened()
        os.close(self._file)
        self._file = opened

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

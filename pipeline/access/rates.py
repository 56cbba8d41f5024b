"""Limits of rates that all workers of a service keep together.

The generic cell rate algorithm (ATM Forum 1996): of each token one number is kept, the time at which its allowance is
whole again. A request moves it on by its share of a minute, and is refused where that is more than a minute ahead.
"""

import contextlib
import fcntl
import mmap
import os
import struct
import time
from pathlib import Path

MINUTE = 60.0
_NUMBER = struct.Struct("<d")


class Rates:
    """When the allowance of each token is whole again, in a folder that the workers share, or in this process."""

    def __init__(self, folder: Path | None) -> None:
        """Define.

        Args:
            folder: of small files, one for each token, which the workers share; None keeps it in this process.
        """
        self._folder = folder
        self._alone: dict[str, float] = {}
        self._shared: dict[str, tuple[int, mmap.mmap]] = {}

    def take(self, key: str, per_minute: int) -> float:
        """Take one request off the allowance of a token.

        Args:
            key: of the token, letters and digits.
            per_minute: requests, which may all come at once.

        Returns:
            0 where there was one left; else the seconds until there is one, and nothing was taken.
        """
        # Monotonic, and the same in every process of a machine.
        now = time.monotonic()
        if self._folder is None:
            whole, wait = _taken(self._alone.get(key, 0.0), now, per_minute)
            self._alone[key] = whole
            return wait
        descriptor, memory = self._shared.get(key) or self._open(self._folder, key)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            whole, wait = _taken(_NUMBER.unpack_from(memory)[0], now, per_minute)
            _NUMBER.pack_into(memory, 0, whole)
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        return wait

    def close(self) -> None:
        """Close the files."""
        for descriptor, memory in self._shared.values():
            memory.close()
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._shared.clear()

    def _open(self, folder: Path, key: str) -> tuple[int, mmap.mmap]:
        descriptor = os.open(folder / key, os.O_RDWR | os.O_CREAT, 0o600)
        # Its block is allocated: a hole in a mapped file kills the process once the disk is full.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, _NUMBER.size)
        elif os.fstat(descriptor).st_size < _NUMBER.size:
            os.write(descriptor, bytes(_NUMBER.size))
        opened = descriptor, mmap.mmap(descriptor, _NUMBER.size)
        self._shared[key] = opened
        return opened


def _taken(whole: float, now: float, per_minute: int) -> tuple[float, float]:
    """When the allowance is whole again after a request, and the seconds to wait where that is refused."""
    # After a restart of the machine, the clock starts at 0 again.
    whole = now if whole < now or whole > now + 2 * MINUTE else whole
    after = whole + MINUTE / per_minute
    return (after, 0.0) if after - now <= MINUTE + 1e-9 else (whole, after - now - MINUTE)

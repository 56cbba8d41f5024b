"""Disks of a few megabytes, filled to some kilobytes free, and folders that are read-only even for root. Linux."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

FILLER = ".filler"
"""The file that takes the room."""


def _mounts() -> bool:
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not _mounts(), reason="only root on Linux mounts a file system")


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own in memory, mounted at a new folder until the block ends."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, kilobytes: int) -> None:
    """Leave only so much room on a disk; files that were removed since give theirs to the filler first."""
    make_room(disk)
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with (disk / FILLER).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - 1024 * kilobytes))


def make_room(disk: Path) -> None:
    """Remove what fills the disk."""
    (disk / FILLER).unlink(missing_ok=True)


def read_only(command: Sequence[str], *folders: Path) -> list[str]:
    """The command in a mount namespace of its own, in which these folders and all below them are read-only."""
    steps = []
    for folder in folders:
        steps += [f"mount --bind '{folder}' '{folder}'", f"mount -o remount,bind,ro '{folder}'"]
    # The shell stood in the folder before it was mounted over, so it enters it again.
    steps += ['cd "$PWD"', 'exec "$@"']
    return ["unshare", "--mount", "sh", "-c", " && ".join(steps), "sh", *command]

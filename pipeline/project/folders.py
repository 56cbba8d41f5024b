"""A folder that is replaced as a whole, in one step: whatever kills the process, it is the old one or the new one."""

import contextlib
import ctypes
import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.errors import ConfigurationError

FOLDER_MODE, FILE_MODE = 0o755, 0o644
"""What is published is read by other users, such as that of a service, whatever the umask of the writer."""
_CURRENT_FOLDER = -100
_EXCHANGE = 2
"""RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS."""


@contextlib.contextmanager
def publishing(target: Path) -> Iterator[Path]:
    """Yield a new folder; put it in the place of `target`, readable for every user, when the block succeeds.

    Linux (`renameat2`) and macOS (`renamex_np`) exchange two folders in one step. The old folder is removed after that.
    Missing folders above `target` are made. When the block raises, `target` is untouched, and they are removed again.

    Raises:
        ConfigurationError: `target` exists, and its file system cannot exchange folders in one step, or it is a mount
            point.
    """
    made = _make_parents(target.parent)
    new = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        _remove_leftovers(target)
        new.mkdir()
        yield new
        make_readable(new)
        _put(new, target)
    finally:
        # The new folder, or the old one.
        shutil.rmtree(new, ignore_errors=True)
        for folder in reversed(made):
            # Only an empty one goes.
            with contextlib.suppress(OSError):
                folder.rmdir()


def make_readable(folder: Path) -> None:
    """Let every user read a folder and what it holds."""
    for place, _, files in os.walk(folder):
        Path(place).chmod(FOLDER_MODE)
        for name in files:
            (Path(place) / name).chmod(FILE_MODE)


def exchange(first: Path, second: Path) -> None:
    """Exchange two folders of one file system in one step.

    Raises:
        OSError: the system or the file system cannot (ENOSYS, EINVAL or ENOTSUP), or one is missing or a mount point.
    """
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(first), os.fsencode(second)
    if hasattr(library, "renameat2"):
        failed = library.renameat2(_CURRENT_FOLDER, names[0], _CURRENT_FOLDER, names[1], ctypes.c_uint(_EXCHANGE))
    elif sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(*names, ctypes.c_uint(_EXCHANGE))
    else:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(second))
    if failed:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(second))


def _put(new: Path, target: Path) -> None:
    try:
        _rename_or_exchange(new, target)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise ConfigurationError(
                f"{target}: its file system cannot exchange two folders in one step ({error.strerror}); name a new "
                "folder, or stop what reads this one, remove it and run again"
            ) from None
        if error.errno in (errno.EBUSY, errno.EXDEV):
            raise ConfigurationError(
                f"{target}: cannot be replaced ({error.strerror}), as a mount point cannot; name a folder below it"
            ) from None
        raise


def _rename_or_exchange(new: Path, target: Path) -> None:
    try:
        # Not after a look whether it exists: another process may publish it in between.
        new.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        exchange(new, target)


def _make_parents(folder: Path) -> list[Path]:
    """Make the missing folders; returns them, the outermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()][::-1]
    for each in missing:
        each.mkdir(exist_ok=True)
        each.chmod(FOLDER_MODE)
    return missing


def _remove_leftovers(target: Path) -> None:
    """Remove what processes that were killed left beside a target."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.(partial|removed)")
    for path in target.parent.iterdir():
        match = pattern.fullmatch(path.name)
        if match is None or path.is_symlink() or not path.is_dir() or _is_running(int(match[1])):
            continue
        # First under another name: were its process alive after all, it would fail, and not publish half of a folder.
        mine = path.with_name(f".{target.name}.{os.getpid()}.removed")
        with contextlib.suppress(FileNotFoundError):
            path.rename(mine)
            shutil.rmtree(mine, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return process != os.getpid()

"""What people say of answers, with the pictures, kept in a bounded folder until someone labels them."""

import contextlib
import errno
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.monitoring.quarantine import pictures_of, write_private
from pipeline.monitoring.segments import locked
from pipeline.records.monitoring import Correction

FEEDBACK = "feedback"
"""The folder below that of the log; in it one for each task."""
_RECORD = ".json"
_TOTAL = ".bytes"
"""The file with the bytes of all others, so that nobody counts them for each answer. Without it they are counted."""
_RECOUNT_SECONDS = 10.0
"""Between two counts of a full folder, from which a person may have removed something by hand."""


class FeedbackStore:
    """A folder that several processes write within one bound. What does not fit is refused, and nothing is removed."""

    def __init__(self, log: Path, *, most_bytes: int) -> None:
        """Define, and write nothing yet.

        Args:
            log: the folder of the log.
            most_bytes: of all files together.
        """
        self._log = log
        self._most = most_bytes
        self._counted = 0.0

    def keep(self, correction: Correction, picture: tuple[str, bytes] | None) -> Correction | None:
        """Keep a person's feedback on an answer; it replaces earlier feedback on the same picture.

        Args:
            correction: without the name of a picture.
            picture: suffix and content of its file; None keeps the file that is there already.

        Returns:
            The earlier feedback; None if there was none.

        Raises:
            OSError: the folder cannot be written, the disk is full, or the bound is reached (`errno.EDQUOT`).
        """
        root = self._log / FEEDBACK
        folder = root / correction.task
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(root):
            path = folder / f"{correction.digest}{_RECORD}"
            former = Correction.read(path) if path.exists() else None
            known = next(pictures_of(folder, correction.digest), None)
            name = None if known is None else known.name
            content = b""
            if known is None and picture is not None:
                suffix, content = picture
                name = f"{correction.digest}{suffix}"
            document = correction.model_copy(update={"picture": name}).model_dump_json(indent=2).encode() + b"\n"
            more = len(content) + len(document) - (path.stat().st_size if former is not None else 0)
            total = self._total_with(root, more)
            # Not there while it may be wrong: a process that is killed leaves no wrong number.
            (root / _TOTAL).unlink(missing_ok=True)
            if content and name is not None:
                write_private(folder / name, content)
            write_private(path, document)
            with contextlib.suppress(OSError):
                (root / _TOTAL).write_text(str(total), encoding="ascii")
        return former

    def _total_with(self, root: Path, more: int) -> int:
        """Bytes of all files with so many more; under the lock.

        Raises:
            OSError: that is beyond the bound (`errno.EDQUOT`).
        """
        try:
            total = int((root / _TOTAL).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            total = sum(_sizes(root))
        if total + more > self._most and time.monotonic() - self._counted > _RECOUNT_SECONDS:
            self._counted = time.monotonic()
            total = sum(_sizes(root))
        if total + more > self._most:
            raise OSError(errno.EDQUOT, f"the bound of {self._most:,} bytes is reached", str(root))
        return total + more


def corrections(log: Path, task: str | None = None) -> list[Correction]:
    """Feedback on answers, the oldest first.

    Args:
        log: the folder of the log.
        task: whose answers; None for all.

    Raises:
        DataError: a file is damaged.
    """
    found = [Correction.read(path) for path in sorted((log / FEEDBACK).glob(f"{task or '*'}/*{_RECORD}"))]
    return sorted(found, key=lambda each: (each.time, each.digest))


def picture_of(log: Path, correction: Correction) -> Path | None:
    """The picture that came with a correction, or that was in quarantine then; None where there is none.

    Raises:
        DataError: the correction names a file that is not one of a picture.
    """
    if correction.picture is None:
        return None
    folder = log / FEEDBACK / correction.task
    path = folder / correction.picture
    if path not in pictures_of(folder, correction.digest):
        raise DataError(f"{path}: no such picture, expected the one of {correction.digest[:12]}…; `make forget` it")
    return path


def remove(log: Path, correction: Correction) -> int:
    """Remove the feedback on a picture, and the picture, unless there is newer feedback on it.

    Args:
        log: the folder of the log.
        correction: as it was read.

    Returns:
        How many files that were.

    Raises:
        DataError: the present feedback on the picture is damaged.
        OSError: the folder cannot be written.
    """
    root = log / FEEDBACK
    path = root / correction.task / f"{correction.digest}{_RECORD}"
    if not path.exists():
        return 0
    with locked(root):
        if not path.exists() or Correction.read(path) != correction:
            return 0
        return _remove(root, correction.task, correction.digest)


def forget(log: Path, digest: str) -> int:
    """Remove all feedback on a picture, in every task, and the picture. Returns the number of files.

    Raises:
        OSError: the folder cannot be written.
    """
    root = log / FEEDBACK
    if not root.is_dir():
        return 0
    with locked(root):
        return sum(_remove(root, folder.name, digest) for folder in sorted(root.iterdir()) if folder.is_dir())


def _remove(root: Path, task: str, digest: str) -> int:
    found = [path for path in (root / task).iterdir() if path.name.lstrip(".").startswith(digest)]
    if found:
        (root / _TOTAL).unlink(missing_ok=True)
    for path in found:
        path.unlink()
    return len(found)


def _sizes(root: Path) -> Iterator[int]:
    for path in root.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            yield path.stat().st_size

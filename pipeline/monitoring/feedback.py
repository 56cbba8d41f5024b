"""What people say of answers, with the pictures, kept in a bounded folder until someone labels them."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.monitoring.quarantine import pictures_of, write_private
from pipeline.monitoring.segments import locked
from pipeline.records.monitoring import Correction

FEEDBACK = "feedback"
"""The folder below that of the log; in it one for each task."""
_RECORD = ".json"


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

    def keep(self, correction: Correction, picture: tuple[str, bytes] | None) -> Correction | None:
        """Keep what a person says of an answer; it replaces what was said of the same picture before.

        Args:
            correction: without the name of a picture.
            picture: suffix and content of its file; None keeps the file that is there already.

        Returns:
            What was said before; None where nothing was.

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
            if sum(_sizes(root)) + len(content) + len(document) > self._most:
                raise OSError(errno.EDQUOT, f"the bound of {self._most:,} bytes is reached", str(root))
            if content and name is not None:
                write_private(folder / name, content)
            write_private(path, document)
        return former


def corrections(log: Path, task: str | None = None) -> list[Correction]:
    """What people said of answers, the oldest first.

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


def remove(log: Path, task: str, digest: str) -> int:
    """Remove what was said of a picture, and the picture; how many files that were.

    Raises:
        OSError: the folder cannot be written.
    """
    root = log / FEEDBACK
    if not (root / task).is_dir():
        return 0
    with locked(root):
        found = [path for path in (root / task).iterdir() if path.name.lstrip(".").startswith(digest)]
        for path in found:
            path.unlink()
    return len(found)


def forget(log: Path, digest: str) -> int:
    """The same for every task."""
    root = log / FEEDBACK
    return sum(remove(log, folder.name, digest) for folder in sorted(root.iterdir())) if root.is_dir() else 0


def _sizes(root: Path) -> Iterator[int]:
    for path in root.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            yield path.stat().st_size

"""Removes every trace of one picture: from the log, the quarantine, the feedback and reports.

A line is overwritten with blanks of the same length, so that a process can go on appending to the segment, and what
counts bytes (`pipeline.monitoring.reading`) stays correct.
"""

import contextlib
import re
import time
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path

from pipeline.core.errors import ConfigurationError
from pipeline.monitoring import feedback, quarantine, watching
from pipeline.monitoring.log import POLL_SECONDS, QUARANTINE
from pipeline.monitoring.monitor import PREDICTIONS
from pipeline.monitoring.segments import CLOSED, content, is_open, locked, replace, segments

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LINE = rb'^\{"digest":"%s".*$'


@dataclass(frozen=True)
class Forgotten:
    """What was removed.

    Attributes:
        lines: of the log.
        pictures: of the quarantine.
        reports: that showed it.
        feedback: files of feedback on it.
    """

    lines: int
    pictures: int
    reports: int
    feedback: int


def forget(folder: Path, digest: str) -> Forgotten:
    """Remove a picture from a log, while the service writes to it or not.

    Args:
        folder: of the log, as `READER_LOG` names it.
        digest: SHA-256 of the picture's bytes, 64 lower-case hexadecimal digits.

    Raises:
        ConfigurationError: that is no digest.
        OSError: a file cannot be read or written; the search can be repeated.
    """
    expect_digest(digest)
    log = folder / PREDICTIONS
    running = any(_is_open(path) for path in segments(log))
    found = _pass(log, folder / QUARANTINE, digest)
    if running:
        # An answer of the last moment may not be written yet.
        time.sleep(4 * POLL_SECONDS)
        again = _pass(log, folder / QUARANTINE, digest)
        found = replace_fields(found, lines=found.lines + again.lines, pictures=found.pictures + again.pictures)
    reports = _forget_reports(folder / watching.FOLDER, digest)
    return replace_fields(found, reports=reports, feedback=feedback.forget(folder, digest))


def expect_digest(digest: str) -> None:
    """Check that it is one.

    Raises:
        ConfigurationError: it is none.
    """
    if not _DIGEST.fullmatch(digest):
        raise ConfigurationError(
            f"DIGEST: {digest[:80]!r} found, expected the SHA-256 of the picture, 64 digits of 0-9 and a-f, as "
            "`sha256sum` prints it"
        )


def _pass(log: Path, pictures: Path, digest: str) -> Forgotten:
    lines = 0
    seen: set[str] = set()
    # A segment that is compressed meanwhile appears under another name.
    while waiting := [path for path in segments(log) if path.name not in seen]:
        for path in waiting:
            seen.add(path.name)
            # Of one segment at a time: nobody waits for long.
            with locked(log), contextlib.suppress(FileNotFoundError):
                lines += _blank_lines(path, digest)
    return Forgotten(lines, quarantine.forget(pictures, digest), 0, 0)


def _forget_reports(folder: Path, digest: str) -> int:
    """A report names the pictures that it shows. `make drift` writes it again."""
    found = [path for path in folder.glob("*.html") if digest in path.read_text(encoding="utf-8")]
    for path in found:
        path.unlink()
    return len(found)


def _blank_lines(path: Path, digest: str) -> int:
    if not path.exists():
        return 0
    data = content(path)
    pattern = re.compile(_LINE % digest.encode(), re.MULTILINE)
    spans = [match.span() for match in pattern.finditer(data)]
    if not spans:
        return 0
    if path.name.endswith(CLOSED):
        kept = bytearray(data)
        for start, end in spans:
            kept[start:end] = b" " * (end - start)
        replace(path, bytes(kept), path)
        return len(spans)
    with path.open("r+b", buffering=0) as file:
        for start, end in spans:
            file.seek(start)
            file.write(b" " * (end - start))
    return len(spans)


def _is_open(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return is_open(path)
    return False

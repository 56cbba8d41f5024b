"""Reads the prediction log: what a test has not seen yet, and the latest lines."""

import contextlib
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pipeline.core.errors import DataError
from pipeline.monitoring import statistics
from pipeline.monitoring.segments import content, segments, stem


@dataclass
class Traffic:
    """The pictures of one model that a test has not seen, in the order of their answers.

    Attributes:
        times: float64 (n,), in seconds since 1970.
        bins: int64 (n, statistics).
        repeated: pictures that are left out: the same bytes were there before.
        offsets: by segment, the bytes that are read by now.
    """

    times: np.ndarray
    bins: np.ndarray
    repeated: int
    offsets: dict[str, int] = field(default_factory=dict)


def unseen(log: Path, task: str, model: str, names: Sequence[str], offsets: Mapping[str, int]) -> Traffic:
    """What was logged of a model since.

    Args:
        log: the folder of the segments.
        task: of the lines.
        model: of the lines, the SHA-256 of its file.
        names: of the statistics.
        offsets: by segment, the bytes that were read before; those of removed segments are ignored.

    Raises:
        DataError: a line is not one of the log's.
    """
    known: set[str] = set()
    times, found, repeated, ends = [], [], 0, {}
    for path in segments(log):
        name = stem(path)
        start = offsets.get(name, 0)
        for prediction, first, end in _predictions(path):
            ends[name] = end
            if prediction["task"] != task or prediction["model"] != model:
                continue
            is_new, digest = first >= start, prediction["digest"]
            if is_new and digest in known:
                repeated += 1
            elif is_new:
                times.append(prediction["time"])
                found.append(statistics.bins_of(prediction, names))
            known.add(digest)
        ends.setdefault(name, start)
    # Of several processes, each of which wrote its own segment.
    order = np.argsort(np.array(times), kind="stable")
    bins = np.array(found, np.int64).reshape(len(found), len(names))
    return Traffic(np.array(times, np.float64)[order], bins[order], repeated, ends)


def latest(log: Path, task: str, model: str, most: int) -> list[dict[str, Any]]:
    """The latest lines of a model, at most so many, the latest one last."""
    found: list[dict[str, Any]] = []
    for path in reversed(segments(log)):
        part = [line for line, _, _ in _predictions(path) if line["task"] == task and line["model"] == model]
        found = [*part[-most:], *found]
        # Those of another process may be in an earlier segment; it is not worth reading them all.
        if len(found) >= 2 * most:
            break
    return sorted(found, key=lambda line: line["time"])[-most:]


def of_pictures(log: Path, digests: Collection[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """The latest line of each picture and task that read it, by digest and task.

    Args:
        log: the folder of the segments.
        digests: of the pictures.

    Raises:
        DataError: a line is not one of the log's.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in segments(log) if digests else ():
        for line, _, _ in _predictions(path):
            key = line["digest"], line["task"]
            if key[0] in digests and (key not in found or line["time"] >= found[key]["time"]):
                found[key] = line
    return found


def has_answer(log: Path, digest: str, task: str, model: str, reading: str, since: float) -> bool:
    """Whether the log has an answer: this model read this in this picture.

    Segments that end before are not opened, and lines that are damaged are none.

    Args:
        log: the folder of the segments.
        digest: of the picture.
        task: of the model.
        model: the SHA-256 of its file.
        reading: what it answered.
        since: the earliest time of the answer, in seconds since 1970.
    """
    mark = digest.encode()
    for path in reversed(segments(log)):
        # One that is compressed meanwhile is removed under this name; `content` finds the other.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < since:
                continue
        data = b""
        with contextlib.suppress(OSError, EOFError, zlib.error):
            data = content(path)
        for line in data.split(b"\n") if mark in data else ():
            if mark in line:
                with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
                    found = orjson.loads(line)
                    answer = tuple(found[key] for key in ("digest", "task", "model", "reading"))
                    if answer == (digest, task, model, reading) and found["time"] >= since:
                        return True
    return False


def _predictions(path: Path) -> Iterator[tuple[dict[str, Any], int, int]]:
    """The lines of a segment, and where each begins and ends; those that were forgotten are blank."""
    end = 0
    for line in content(path).split(b"\n")[:-1]:
        start, end = end, end + len(line) + 1
        if line and not line.isspace():
            try:
                yield orjson.loads(line), start, end
            except orjson.JSONDecodeError:
                raise DataError(f"{path}: byte {start}: not a line of the log, expected JSON") from None

"""Lines of a prediction log that were made up."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pipeline.monitoring.segments import SegmentWriter

MODEL = "ab" * 32
WEEK = 7 * 86_400.0


def prediction(number: int, rng: np.random.Generator, *, time: float, **changes: Any) -> dict[str, Any]:
    """The line of a strip with five random digits."""
    confidence = round(float(rng.beta(20, 1)), 6)
    values = {
        "digest": hashlib.sha256(b"%d" % number).hexdigest(),
        "time": time,
        "task": "strips",
        "strategy": "bands",
        "model": MODEL,
        "version": None,
        "reading": "".join(map(str, rng.integers(0, 10, 5))),
        "lines": 1,
        "confidence": confidence,
        "accepted": confidence > 0.9,
        "shift": round(1 - confidence, 6),
        "notes": [],
        "ink": round(float(rng.beta(20, 80)), 6),
        "brightness": round(float(rng.normal(30, 4)), 6),
        "height": 28,
        "width": 140,
        "seconds": 0.001,
    }
    return values | changes


def traffic(count: int, seed: int, *, first: int = 0, start: float = 1e9, **changes: Any) -> list[dict[str, Any]]:
    """Lines of a thousand pictures a week."""
    rng = np.random.default_rng(seed)
    times = start + np.cumsum(rng.exponential(WEEK / 1000, count))
    return [prediction(first + index, rng, time=float(at), **changes) for index, at in enumerate(times)]


def write(folder: Path, lines: list[dict[str, Any]]) -> None:
    """Append lines to the log in a folder, as a process that then ends."""
    writer = SegmentWriter(folder / "predictions", most_bytes=2**26, segment_bytes=2**16, days=1e6)
    sum(writer.write([orjson.dumps(line) + b"\n" for line in lines]))
    writer.close()

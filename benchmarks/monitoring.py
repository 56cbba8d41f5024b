"""The prediction log over a million requests, and drift over a thousand weeks: the figures of docs/monitoring.md.

python -m benchmarks.monitoring log                       # a few minutes
python -m benchmarks.monitoring drift --data=data         # after `dvc repro compose@plain`; about ten minutes
"""

import argparse
import collections
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.monitoring import quarantine, segments
from pipeline.monitoring.forgetting import forget
from pipeline.monitoring.log import QUARANTINE, Answered, PredictionLog
from pipeline.monitoring.monitor import PREDICTIONS
from pipeline.monitoring.settings import LogSettings

_MIB = 2**20
REQUESTS = 1_000_000
PROCESSES = 4
DECLINED = 50
"""One of so many readings is declined."""
_LOOK_SECONDS = 1.0
FORGOTTEN = 12_345
"""A picture that comes again and again."""
_NOISE = (
    np.random.default_rng(0).integers(0, 256, (1, 28, 140, 1), np.uint8)
    * np.repeat([1, 0], 14).astype(np.uint8)[:, None, None]
)
MODEL = {"task": "strips", "strategy": "sliding", "sha256": "ab" * 32, "version": "v0.1.0", "origin": "mnist"}


def main() -> None:
    """Run one of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["log", "process"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--number", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.part == "process":
        log_requests(_settings(arguments.folder), arguments.requests, arguments.number)
    else:
        measure_log(arguments.requests)


def measure_log(requests: int) -> None:
    """Log pictures from several processes at once, and print how large log and quarantine become."""
    with tempfile.TemporaryDirectory() as name:
        settings = _settings(Path(name))
        command = [sys.executable, "-m", "benchmarks.monitoring", "process", "--folder", name]
        share = requests // PROCESSES
        started = time.perf_counter()
        processes = [
            subprocess.Popen([*command, "--requests", str(share), "--number", str(number)])
            for number in range(PROCESSES)
        ]
        largest = collections.Counter()
        while any(process.poll() is None for process in processes):
            for part, size in _sizes(settings).items():
                largest[part] = max(largest[part], size)
            time.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - started
        if any(process.returncode for process in processes):
            raise SystemExit("a process failed")
        print(f"{share * PROCESSES:,} requests from {PROCESSES} processes in {seconds:.0f} s")
        bounds = {PREDICTIONS: settings.log_bytes, QUARANTINE: settings.quarantine_bytes}
        for part, bound in bounds.items():
            now = _sizes(settings)[part]
            held = "within" if largest[part] <= bound else "BEYOND"
            print(
                f"{part}: at most {largest[part] / _MIB:.2f} MiB, {now / _MIB:.2f} MiB at the end, "
                f"{held} the bound of {bound / _MIB:.0f} MiB"
            )
        _forget(settings)


def log_requests(settings: LogSettings, requests: int, number: int) -> None:
    """Log pictures as fast as the log takes them."""
    counts: collections.Counter[str] = collections.Counter()
    log = PredictionLog(settings, count=lambda outcome, pictures: counts.update({outcome: pictures}))
    log.start()
    rng = np.random.default_rng(number)
    for index in range(requests):
        while index - counts["written"] > settings.log_queue // 2:
            time.sleep(0.02)
        log.add(_answered(FORGOTTEN if index % 1000 == 0 else index + number * requests, rng))
    log.close()
    print(f"process {number}: {dict(counts)}")
    if counts["written"] != requests or counts["queue"] or counts["disk"]:
        raise SystemExit("lines were lost")


def _settings(folder: Path) -> LogSettings:
    return LogSettings(folder, log_bytes=64 * _MIB, quarantine_bytes=16 * _MIB)


def _answered(number: int, rng: np.random.Generator) -> Answered:
    # Half of it is noise, so that the pictures of the quarantine are as large as real ones.
    pixels = _NOISE.copy()
    pixels.reshape(-1)[:8] = np.frombuffer(np.int64(number).tobytes(), np.uint8)
    declined = number % DECLINED == 0 or number == FORGOTTEN
    digits = f"{number:08d}"[-5:]
    confidence = float(rng.beta(2, 2) if declined else rng.beta(50, 1))
    answer = {"digits": digits, "confidence": round(confidence, 6), "accepted": not declined, "notes": [], "lines": []}
    return Answered(pixels.tobytes(), (28, 140), pixels, (28, 140), answer, MODEL, 0.001)


def _sizes(settings: LogSettings) -> dict[str, int]:
    kept = 0
    for path in quarantine.pictures(settings.folder / QUARANTINE):
        with contextlib.suppress(FileNotFoundError):
            kept += path.stat().st_size
    return {PREDICTIONS: segments.size(settings.folder / PREDICTIONS), QUARANTINE: kept}


def _forget(settings: LogSettings) -> None:
    digest = hashlib.sha256(_answered(FORGOTTEN, np.random.default_rng(0)).content).hexdigest()
    started = time.perf_counter()
    found = forget(settings.folder, digest)
    seconds = time.perf_counter() - started
    left = sum(
        digest.encode() in segments.content(path) for path in segments.segments(settings.folder / PREDICTIONS)
    ) + sum(digest in name for _, _, names in os.walk(settings.folder) for name in names)
    print(
        f"forgotten in {seconds:.1f} s: {found.lines} lines, {found.pictures} pictures; files with a trace left: {left}"
    )


if __name__ == "__main__":
    main()

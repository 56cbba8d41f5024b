"""Valid and invalid traffic against a service of its own: every answer correct, no 5xx but 503, no growth of memory.

`python -m benchmarks.soak` takes ten minutes; `--minutes 1` is a short run. Exit 3 if one of the three fails.
"""

import json
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.fuzz import mutated
from benchmarks.service import png, serving
from pipeline.core.errors import DataError
from pipeline.project import command
from pipeline.runtime.answers import readings_as_json
from pipeline.runtime.reader import Reader

CALLERS = 6
GROWTH = 1024 * 1024
"""Bytes per minute by which the service may grow after its warm-up."""
_TOLERANCE = 1e-4
_PICTURES = 32


class Soak:
    """What the clients send, what they expect, and what they got."""

    def __init__(self, folder: Path, url: str) -> None:
        reader = Reader.load(folder)
        self.url = url
        self.pictures = np.random.default_rng(0).integers(0, 256, (_PICTURES, *reader.manifest.shape), np.uint8)
        notes = [()] * _PICTURES
        self.expected = readings_as_json(reader.manifest, reader.read(self.pictures), notes, every_class=False)
        self.files = [png(picture) for picture in self.pictures]
        self.statuses: Counter[int] = Counter()
        self.cut_off = 0
        self.wrong: list[str] = []

    def call(self, seed: int, end: float) -> None:
        """Send one request after the other until the time is up."""
        random = np.random.default_rng(seed)
        kinds: list[Callable] = [self._good, self._good, self._many, self._bad, self._broken, self._gone]
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while time.monotonic() < end:
                kind = kinds[int(random.integers(len(kinds)))]
                try:
                    kind(client, random)
                except (httpx.TransportError, OSError) as error:
                    # A body that is rejected by its headers is cut off while the client still writes; no other may be.
                    rejected = kind == self._bad and isinstance(error, httpx.WriteError | httpx.ReadError)
                    self.cut_off += rejected
                    self._expect(rejected, f"{kind.__name__.lstrip('_')}: {error!r}")

    def _good(self, client: httpx.Client, random: np.random.Generator) -> None:
        index = int(random.integers(_PICTURES))
        response = client.post("/read", content=self.files[index])
        if self._counted(response, {200, 503}) and response.status_code == 200:
            self._same(response.json(), index)

    def _many(self, client: httpx.Client, random: np.random.Generator) -> None:
        files = [("p", ("p", file)) for file in self.files]
        bad = int(random.integers(_PICTURES))
        files[bad] = ("p", ("p", b"no picture"))
        response = client.post("/read_many", files=files)
        if self._counted(response, {200, 503}) and response.status_code == 200:
            for index, answer in enumerate(response.json()["answers"]):
                if index == bad:
                    self._expect(answer["error"]["code"] == "not_a_picture", f"{answer} for a bad picture")
                else:
                    self._same(answer, index)

    def _bad(self, client: httpx.Client, random: np.random.Generator) -> None:
        path = ("/read", "/read_many", "/nothing", "/classify")[int(random.integers(4))]
        kind = ("application/json", "application/x-npy", "text/plain", "application/x-pickle")[int(random.integers(4))]
        body = (b"[[[1]]]", b"[" * 10_000, b"", bytes(5 * 1024 * 1024))[int(random.integers(4))]
        response = client.post(path, content=body, headers={"Content-Type": kind})
        self._counted(response, {400, 404, 413, 415, 422, 503})

    def _broken(self, client: httpx.Client, random: np.random.Generator) -> None:
        response = client.post("/read", content=mutated(self.files[int(random.integers(_PICTURES))], random))
        self._counted(response, {200, 400, 413, 415, 422, 503})

    def _gone(self, client: httpx.Client, random: np.random.Generator) -> None:
        host, port = self.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")

    def _counted(self, response: httpx.Response, allowed: set[int]) -> bool:
        self.statuses[response.status_code] += 1
        return self._expect(response.status_code in allowed, f"{response.status_code}: {response.text[:200]}")

    def _same(self, answer: dict, index: int) -> None:
        expected = self.expected[index]
        close = abs(answer["confidence"] - expected["confidence"]) < _TOLERANCE
        equal = all(answer.get(key) == expected.get(key) for key in ("digits", "class"))
        self._expect(close and equal, f"{answer} found, expected {expected}")

    def _expect(self, correct: bool, message: str) -> bool:
        if not correct:
            self.wrong.append(message)
        return correct


def main(artifacts: Path = Path("artifacts"), task: str = "strips", minutes: float = 10.0, warm: float = 2.0) -> None:
    """Print what came back, and how the memory of the service changed.

    Args:
        artifacts: the packaged models.
        task: whose pictures are sent.
        minutes: of traffic that is measured.
        warm: minutes of traffic before that.
    """
    with serving(artifacts) as (port, process):
        soak = Soak(artifacts / task, f"http://127.0.0.1:{port}")
        sizes = _traffic(soak, process, 60 * warm, 60 * minutes)
    ended = process.returncode
    slope = float(np.polyfit(np.arange(len(sizes)) / 60, sizes, 1)[0])
    report = {
        "statuses": dict(sorted(soak.statuses.items())),
        "cut off while they sent too much": soak.cut_off,
        "wrong": len(soak.wrong),
        "megabytes": [round(sizes[0] / 2**20, 1), round(sizes[-1] / 2**20, 1)],
        "megabytes_a_minute": round(slope / 2**20, 3),
        "exit": ended,
    }
    print(json.dumps(report))
    if soak.wrong:
        raise DataError(f"{len(soak.wrong)} answers are wrong, the first: {soak.wrong[0]}")
    if slope > GROWTH or ended:
        raise DataError(
            f"memory grew by {slope / 2**20:.2f} MiB per minute, expected at most 1; exit {ended}, expected 0"
        )


def _traffic(soak: Soak, process: subprocess.Popen, warm: float, seconds: float) -> list[int]:
    """The resident bytes of the service's processes, second by second, after the warm-up."""
    end = time.monotonic() + warm + seconds
    callers = [threading.Thread(target=soak.call, args=(seed, end)) for seed in range(CALLERS)]
    for caller in callers:
        caller.start()
    time.sleep(warm)
    sizes = []
    while time.monotonic() < end:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        sizes.append(sum(member.memory_info().rss for member in family))
        time.sleep(1)
    for caller in callers:
        caller.join()
    return sizes


if __name__ == "__main__":
    command.run(main)

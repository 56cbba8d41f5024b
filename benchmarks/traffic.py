"""Mixed hostile traffic against a service of its own: every answer correct, no worker restarted, no growth of memory.

`python -m benchmarks.traffic --minutes 30` takes that long; every kind of client is a process of its own, with a seed.
Exit 3 if an answer is wrong, a worker ended, or memory grew. An answer is wrong if its reading is another than the
model's in this process, its status is not one that the request may get, or an error has another form.
"""

import contextlib
import json
import os
import socket
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks import pages
from benchmarks.fuzz import mutated
from benchmarks.service import png, serving
from pipeline.core.decoding import decode_grey, judge
from pipeline.core.errors import DataError
from pipeline.project import command
from pipeline.reports import markdown
from pipeline.runtime.answers import readings_as_json, reads_digits
from pipeline.runtime.pages import LINES, answer_page, page_of
from pipeline.runtime.reader import load_readers

GROWTH = 64 * 2**20
"""Bytes by which all workers together may have grown after the warm-up."""
_PICTURES = 24
_TOLERANCE = 1e-4
_BUSY = {503}
_MIB = 2**20


@dataclass
class Report:
    """What one client came to.

    Attributes:
        outcomes: by status, or what happened to the connection.
        times: of answers, in seconds.
        wrong: what was wrong.
    """

    outcomes: Counter = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


Known = tuple[str, bytes, dict]
"""A path, a picture's file, and the answer."""


class Client:
    """Sends one kind of traffic until the time is up."""

    def __init__(self, port: int, known: list[Known], seed: int, end: float) -> None:
        self.port = port
        self.end = end
        self.report = Report()
        self.random = np.random.default_rng(seed)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self.known = known

    def run(self, kinds: list[Callable[[], None]], pause: float = 0.0) -> Report:
        while time.monotonic() < self.end:
            kind = kinds[int(self.random.integers(len(kinds)))]
            try:
                kind()
            except (httpx.TransportError, OSError) as error:
                # A body that is rejected by its head is cut off while the client still writes.
                self.report.outcomes[type(error).__name__] += 1
            time.sleep(pause)
        return self.report

    def post(self, path: str, allowed: set[int], content: Any, **headers: str) -> httpx.Response:
        started = time.monotonic()
        response = self.http.post(
            path, content=content, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        self.note(response, allowed | _BUSY, started)
        return response

    def note(self, response: httpx.Response, allowed: set[int], started: float) -> None:
        self.report.times.append(time.monotonic() - started)
        self.report.outcomes[response.status_code] += 1
        if response.status_code not in allowed:
            self.wrong(f"{response.request.url.path}: {response.status_code} {response.text[:200]}")
        elif response.status_code != 200 and set(response.json()["error"]) != {"code", "message"}:
            self.wrong(f"{response.request.url.path}: {response.text[:200]}")

    def same(self, answer: dict, expected: dict) -> None:
        close = abs(answer["confidence"] - expected["confidence"]) < _TOLERANCE
        if not close or any(answer.get(key) != expected.get(key) for key in ("digits", "class")):
            self.wrong(f"{answer} found, expected {expected}"[:400])

    def wrong(self, message: str) -> None:
        self.report.wrong.append(message)

    # Right pictures, whose answers are known.

    def one(self) -> None:
        path, content, expected = self.known[int(self.random.integers(len(self.known)))]
        response = self.post(path, {200}, content)
        if response.status_code == 200:
            self.same(response.json(), expected)

    def many(self) -> None:
        path = ("/read", "/classify")[int(self.random.integers(2))]
        known = [each for each in self.known if each[0] == path]
        chosen = [known[int(index)] for index in self.random.integers(0, len(known), 16)]
        files = [("p", ("p", content)) for _, content, _ in chosen]
        files[3] = ("p", ("p", b"no picture"))
        started = time.monotonic()
        response = self.http.post(path + "_many", files=files)
        self.note(response, {200} | _BUSY, started)
        if response.status_code != 200:
            return
        for index, (answer, (_, _, expected)) in enumerate(zip(response.json()["answers"], chosen, strict=True)):
            if index != 3:
                self.same(answer, expected)
            elif answer.get("error", {}).get("code") != "not_a_picture":
                self.wrong(f"{answer} for what is not a picture")

    # What is wrong.

    def broken(self) -> None:
        path, content, _ = self.known[int(self.random.integers(len(self.known)))]
        self.post(path, {200, 400, 413, 415, 422}, mutated(content, self.random))

    def wrong_type(self) -> None:
        path = ("/read", "/read_many", "/nothing", "/classify")[int(self.random.integers(4))]
        kind = ("application/json", "application/x-npy", "text/plain", "image/png")[int(self.random.integers(4))]
        body = (b"[[[1]]]", b"[" * 10_000, b"", b"{}", self.random.bytes(1000))[int(self.random.integers(5))]
        self.post(path, {400, 404, 413, 415, 422}, body, Content_Type=kind)

    # Bombs.

    def pixels(self) -> None:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
        self.post("/read", {400, 413, 422}, b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(_MIB))))

    def texts(self) -> None:
        content = self.known[0][1]
        bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(32 * _MIB)))
        self.post("/read", {200, 400, 422}, content[:33] + bomb * 8 + content[33:])

    def markers(self) -> None:
        size = int(self.random.integers(1000, _MIB - 10))
        self.post("/read", {400, 413}, b"\xff\xd8" + b"\xff" * size, Content_Type="image/jpeg")

    def gzip_bomb(self) -> None:
        bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
        content = bomb.compress(bytes(64 * _MIB)) + bomb.flush()
        self.post("/read", {400, 413, 415}, content, Content_Encoding="gzip")

    # Floods of large bodies.

    def arrays(self) -> None:
        body = b"[" + b"[0]," * int(self.random.integers(1000, 1_000_000)) + b"[0]]"
        self.post("/read_many", {413, 422}, body, Content_Type="application/json")

    def deep(self) -> None:
        depth = int(self.random.integers(1000, 1_000_000))
        self.post("/read_many", {400, 413, 422}, b"[" * depth + b"]" * depth, Content_Type="application/json")

    def large(self) -> None:
        content = bytes(int(self.random.integers(1, 20 * _MIB)))
        self.post("/read_many", {400, 413, 422}, content, Content_Type="application/octet-stream", X_Shape="9,9,9")

    def form(self) -> None:
        files = [("p", ("p", self.random.bytes(3 * _MIB)))] * 4
        started = time.monotonic()
        response = self.http.post("/read_many", files=files)
        self.note(response, {200} | _BUSY, started)

    # Connections that do nothing, or not all.

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def silent(self) -> None:
        with contextlib.ExitStack() as opened:
            for _ in range(20):
                opened.enter_context(self.connected())
            time.sleep(0.5)
        self.report.outcomes["closed"] += 20

    def slow(self) -> None:
        with self.connected() as connection:
            connection.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(20):
                connection.sendall(b"x")
                time.sleep(0.05)
        self.report.outcomes["closed"] += 1

    def half_closed(self) -> None:
        path, content, expected = self.known[int(self.random.integers(len(self.known)))]
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        started = time.monotonic()
        with self.connected() as connection:
            connection.sendall(head + content)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while part := connection.recv(65536):
                found += part
        self.report.times.append(time.monotonic() - started)
        status = found[9:12].decode() or "no answer"
        self.report.outcomes[int(status) if status.isdigit() else status] += 1
        if status == "200":
            self.same(json.loads(found.partition(b"\r\n\r\n")[2]), expected)
        elif status != "503":
            self.wrong(f"{path}, half closed: {found[:200]!r}")

    def reset(self) -> None:
        with self.connected() as connection:
            connection.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.report.outcomes["reset"] += 1

    def malformed(self) -> None:
        with self.connected() as connection:
            connection.sendall(self.random.bytes(int(self.random.integers(1, 4000))) + b"\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while part := connection.recv(65536):
                found += part
        self.report.outcomes[found[9:12].decode("latin-1") or "closed"] += 1
        if found and found[9:12] not in (b"400", b"431", b"413"):
            self.wrong(f"malformed: {found[:200]!r}")


KINDS: dict[str, tuple[tuple[str, ...], float]] = {
    "control": (("one",), 0.1),
    "right pictures": (("one", "one", "many"), 0.0),
    "flood": (("one",), 0.0),
    "wrong and broken": (("broken", "wrong_type"), 0.0),
    "bombs": (("pixels", "texts", "markers", "gzip_bomb"), 0.05),
    "large bodies": (("arrays", "deep", "large", "form"), 0.05),
    "connections": (("silent", "slow", "half_closed", "reset", "malformed"), 0.0),
}
"""By the name in the table: what the clients of this kind send, and the seconds between two requests."""
THREADS = {"flood": 16, "connections": 4}


def known_answers(artifacts: Path, seed: int) -> list[Known]:
    """Pictures for every packaged model, with what it reads in this process."""
    random = np.random.default_rng(seed)
    known: list[Known] = []
    for task, reader in load_readers(artifacts).items():
        if task == LINES:
            for file in (pages.photo(), pages.page()):
                found = page_of(decode_grey(file))
                readings = reader.read(found.images()) if found.lines else None
                known.append((f"/read?task={LINES}", file, answer_page(reader.manifest, found, readings, {})))
            continue
        images = random.integers(0, 256, (_PICTURES, *reader.manifest.shape), np.uint8)
        expected = readings_as_json(reader.manifest, reader.read(images), judge(images), every_class=False)
        path = "/read" if reads_digits(reader.manifest) else "/classify"
        known += [(path, png(image), answer) for image, answer in zip(images, expected, strict=True)]
    return known


def client(kind: str, port: int, known: list[Known], seed: int, seconds: float) -> Report:
    """Send one kind of traffic, in this process."""
    names, pause = KINDS[kind]
    end = time.monotonic() + seconds
    whole = Report()

    def run(number: int) -> None:
        one = Client(port, known, seed + 100 * number, end)
        report = one.run([getattr(one, name) for name in names], pause)
        whole.outcomes.update(report.outcomes)
        whole.times += report.times
        whole.wrong += report.wrong

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS.get(kind, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return whole


def main(
    source: Path = Path(__file__).parents[1],
    artifacts: Path = Path("artifacts"),
    minutes: float = 30.0,
    warm: float = 5.0,
    seed: int = 0,
) -> None:
    """Print the table.

    Args:
        source: the checkout whose code is served.
        artifacts: the packaged models.
        minutes: of traffic, with the warm-up.
        warm: minutes before memory is measured for the first time; half of all at most.
        seed: of all clients.
    """
    cores = sorted(os.sched_getaffinity(0))
    known = known_answers(artifacts, seed)
    with (
        serving(artifacts, source=source, cores=cores) as (port, _),
        ProcessPoolExecutor(len(KINDS), get_context("spawn")) as pool,
    ):
        before = _workers()
        running = {
            kind: pool.submit(client, kind, port, known, seed + index, 60 * minutes) for index, kind in enumerate(KINDS)
        }
        time.sleep(60 * min(warm, minutes / 2))
        first = _resident()
        reports = {kind: future.result() for kind, future in running.items()}
        time.sleep(2)
        last, after = _resident(), _workers()
    print(table(reports))
    wrong = [message for report in reports.values() for message in report.wrong]
    restarts = len(set(after) - set(before))
    control = sorted(reports["control"].times)
    print(
        json.dumps(
            {
                "wrong": len(wrong),
                "restarted workers": restarts,
                "megabytes of the workers": [round(first / _MIB), round(last / _MIB)],
                "control p50 ms": round(1000 * control[len(control) // 2], 1),
                "control p99 ms": round(1000 * control[int(0.99 * len(control))], 1),
            }
        )
    )
    for message in wrong[:5]:
        print(message, file=sys.stderr)
    if wrong or restarts or last - first > GROWTH:
        raise DataError(
            f"{len(wrong)} wrong answers, {restarts} restarted workers, growth of {(last - first) / _MIB:.0f} MiB; "
            f"expected none, none, and at most {GROWTH // _MIB} MiB"
        )


def table(reports: dict[str, Report]) -> str:
    """What each kind of client got."""
    rows = []
    for kind, report in reports.items():
        times = sorted(report.times)
        p99 = f"{1000 * times[int(0.99 * len(times))]:,.0f} ms" if times else "none"
        outcomes = ", ".join(f"{name}: {count:,}" for name, count in report.outcomes.most_common())
        rows.append([kind, f"{sum(report.outcomes.values()):,}", outcomes, str(len(report.wrong)), p99])
    return markdown.table(["traffic", "requests", "outcomes", "wrong", "p99"], rows)


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _workers() -> list[int]:
    children = psutil.Process().children(recursive=True)
    return sorted(child.pid for child in children if "_bentoml_impl.worker.service" in " ".join(child.cmdline()))


def _resident() -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in _workers())


if __name__ == "__main__":
    command.run(main)

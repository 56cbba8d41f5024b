"""This service and a plain FastAPI app with one caller, request by request on the same machine at the same time.

`python -m benchmarks.paired --rivals /tmp/rivals/bin/python` takes a minute. Both servers run together, and runs of a
few requests alternate between them, so that other load on the machine meets both alike: the ratio holds on a busy
machine, too. `--write` writes the table into docs/performance.md.
"""

import contextlib
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import PAGE
from benchmarks.serving import KINDS, contenders, serving
from pipeline.core.errors import ConfigurationError
from pipeline.project import command
from pipeline.reports import markdown
from pipeline.runtime.reader import Reader

OURS, FASTAPI = "this service, as it is", "FastAPI, ONNX Runtime"
PERCENTILES = (5, 25, 50)
_RUN = 8
"""Requests that one server gets in a row; the first is not counted."""


def main(
    artifacts: Path = Path("artifacts"),
    task: str = "mnist",
    rivals: str = sys.executable,
    runs: int = 1000,
    write: bool = False,
) -> None:
    """Print, for each form of picture, the time of an answer here and of FastAPI, and the ratio of their paces.

    Args:
        artifacts: the packaged models.
        task: whose model is served.
        rivals: an interpreter with requirements/benchmarks.txt.
        runs: of eight requests, for each server and form of picture.
        write: write the table into docs/performance.md.
    """
    shape = Reader.load(artifacts / task).manifest.shape
    pictures = np.random.default_rng(0).integers(0, 256, (64, *shape), np.uint8)
    both = [one for one in contenders(artifacts, task, Path(), rivals, rivals) if one.name in (OURS, FASTAPI)]
    rows = []
    with contextlib.ExitStack() as opened:
        connections = {}
        for one in both:
            port = opened.enter_context(serving(one))
            if port is None:
                raise ConfigurationError(f"--rivals: {one.name} does not start with {rivals}")
            connections[one.name] = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
        for kind in KINDS:
            requests = {one.name: [one.requests(picture, kind) or b"" for picture in pictures] for one in both}
            times = measure(connections, requests, runs)
            ours, theirs = (np.percentile(times[name], PERCENTILES) for name in (OURS, FASTAPI))
            cells = [f"{a:.2f} and {b:.2f} ms: {b / a:.2f}" for a, b in zip(ours, theirs, strict=True)]
            rows.append([kind, *cells])
    heads = ["median" if percentile == 50 else f"{percentile}th percentile" for percentile in PERCENTILES]
    table = markdown.table(["picture", *heads], rows)
    print(table)
    if write:
        markdown.replace_table(PAGE, f"paired {task}", table)


def measure(
    connections: dict[str, socket.socket], requests: dict[str, Sequence[bytes]], runs: int
) -> dict[str, list[float]]:
    """The milliseconds of each answer, by server.

    Args:
        connections: to each server.
        requests: that each gets, in turn.
        runs: of requests in a row, for each server.
    """
    times: dict[str, list[float]] = {name: [] for name in connections}
    names = list(connections)
    for run in range(runs):
        for name in names if run % 2 else reversed(names):
            for index in range(_RUN):
                taken = _ask(connections[name], requests[name][(run * _RUN + index) % len(requests[name])])
                if index:
                    times[name].append(taken)
    return times


def _ask(connection: socket.socket, request: bytes) -> float:
    started = time.perf_counter()
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    taken = 1000 * (time.perf_counter() - started)
    assert head.startswith(b"HTTP/1.1 200"), head
    return taken


if __name__ == "__main__":
    command.run(main)

"""`bentoml serve` in its own process, for the tests of serving, and what its callers send and get."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
CLASSES = [9, 7, 5, 4, 10]


@dataclass(frozen=True)
class Server:
    """A server that says that it is ready.

    Attributes:
        port: on 127.0.0.1.
        process: of `bentoml serve`; a child of it answers.
        client: of it.
    """

    port: int
    process: subprocess.Popen
    client: httpx.Client


def encoded(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    """A picture's file."""
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, form, **options)
    return file.getvalue()


def environment(home: Path, **variables: str) -> dict[str, str]:
    """This process's, but with a BentoML folder of its own, one worker, and none of the service's settings."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH" and not key.startswith("READER_")}
    alone = {"BENTOML_CONFIG_OPTIONS": "services.reader.workers=1"}
    return kept | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"} | alone | variables


def bentoml(*arguments: str) -> list[str]:
    """The command line of `bentoml`."""
    return [sys.executable, "-m", "bentoml", *arguments]


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def started(*arguments: str, cwd: Path, env: dict[str, str], log: Path) -> Iterator[Server]:
    """Serve on a free port, and stop in the end; a server that does not end by itself with 0 fails the test."""
    port = free_port()
    command = bentoml("serve", *arguments, "--host", "127.0.0.1", "--port", str(port))
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=output)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            end = time.monotonic() + 120
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if client.get("/readyz").status_code == 200:
                        break
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield Server(port, process, client)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0, log.read_text()


@contextlib.contextmanager
def serving(*arguments: str, cwd: Path, env: dict[str, str], log: Path) -> Iterator[httpx.Client]:
    """A client of `started`."""
    with started(*arguments, cwd=cwd, env=env, log=log) as server:
        yield server.client


def refused(response: httpx.Response, status: int, code: str) -> str:
    """The message of a refusal, whose form is the same everywhere."""
    assert response.status_code == status, response.text
    answer = response.json()
    assert list(answer) == ["error"]
    assert set(answer["error"]) == {"code", "message"}
    assert answer["error"]["code"] == code, answer
    assert "\n" not in answer["error"]["message"]
    assert ("retry-after" in response.headers) == (status == 503)
    return answer["error"]["message"]

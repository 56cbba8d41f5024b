"""`bentoml serve` in its own process, for the tests of serving, and what its clients send and get."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).parents[2]
CLASSES = [9, 7, 5, 4, 10]


@dataclass(frozen=True)
class Server:
    """A server that says that it is ready.

    Attributes:
        port: on 127.0.0.1.
        process: of `bentoml serve`; children of it answer.
        client: of it.
        log: what it printed.
    """

    port: int
    process: subprocess.Popen
    client: httpx.Client
    log: Path

    @property
    def worker(self) -> psutil.Process:
        """A child that answers."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return next(child for child in children if "_bentoml_impl.worker.service" in " ".join(child.cmdline()))

    def connect(self) -> socket.socket:
        """A connection without HTTP."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


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


def recording_lookups(folder: Path) -> dict[str, str]:
    """Variables that make every Python process write the names that it looks up and connects to into `lookups.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        f"record = os.open({str(folder / 'lookups.txt')!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "events = ('socket.getaddrinfo', 'socket.gethostbyname', 'socket.gethostbyaddr', 'socket.connect')\n"
        "def note(event, args):\n"
        "    if event in events:\n"
        "        place = args[1] if event == 'socket.connect' else args[0]\n"
        "        os.write(record, f'{event} {place[0] if isinstance(place, tuple) else place}\\n'.encode())\n"
        "sys.addaudithook(note)\n"
    )
    return {"PYTHONPATH": str(folder)}


def bentoml(*arguments: str) -> list[str]:
    """The command line of `bentoml`."""
    return [sys.executable, "-m", "bentoml", *arguments]


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(condition: Callable[[], bool], why: str, seconds: float = 120) -> None:
    """Return once a condition holds; fail with `why` where it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, why
        time.sleep(0.02)


@contextlib.contextmanager
def started(*arguments: str, cwd: Path, env: dict[str, str], log: Path, under: Sequence[str] = ()) -> Iterator[Server]:
    """Serve on a free port, and stop in the end; a server that does not end by itself with 0 fails the test.

    `under` is a command that runs the server.
    """
    port = free_port()
    command = [*under, *bentoml("serve", *arguments, "--host", "127.0.0.1", "--port", str(port))]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=output)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

            def ready() -> bool:
                assert process.poll() is None, log.read_text()
                with contextlib.suppress(httpx.TransportError):
                    return client.get("/readyz").status_code == 200
                return False

            wait_for(ready, "the server did not get ready")
            yield Server(port, process, client, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, log.read_text()


def expect_error(response: httpx.Response, status: int, code: str) -> str:
    """The message of an error, whose form is the same everywhere."""
    assert response.status_code == status, response.text
    answer = response.json()
    assert list(answer) == ["error"]
    assert set(answer["error"]) == {"code", "message"}
    assert answer["error"]["code"] == code, answer
    assert "\n" not in answer["error"]["message"]
    assert ("retry-after" in response.headers) == (status == 503)
    return answer["error"]["message"]

"""A service of one's own for a benchmark: started, ready, and ended with all of its processes."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.core.errors import DataError

START_SECONDS = 120.0
"""For a service to get ready."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def started(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], *, stop_seconds: float
) -> Iterator[subprocess.Popen]:
    """A service in a process group of its own: some leave children behind when they are stopped.

    Args:
        command: that starts it.
        cwd: where.
        environment: of its process.
        stop_seconds: for it to end after SIGTERM, before it is killed.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(stop_seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def serving(
    artifacts: Path, *, source: Path = Path(__file__).parents[1], cores: Sequence[int] = (), **variables: str
) -> Iterator[tuple[int, subprocess.Popen]]:
    """Serve packaged models on a free port; the port and the process.

    Args:
        artifacts: the packaged models.
        source: the checkout whose code serves.
        cores: that the service runs on, with a worker for each; none of them means all.
        variables: of its environment.

    Raises:
        DataError: it does not get ready.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "BENTOML_HOME": home,
            "BENTOML_DO_NOT_TRACK": "True",
            "PYTHONPATH": str(source.resolve()),
            "READER_ARTIFACTS": str(artifacts.resolve()),
            **({"BENTOML_CONFIG_OPTIONS": f"services.reader.workers={len(cores)}"} if cores else {}),
            **variables,
        }
        command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(port)]
        with started(command, source, environment, stop_seconds=45) as process:
            if cores:
                # Before there are workers: they inherit it.
                os.sched_setaffinity(process.pid, cores)
            if not is_ready(process, port):
                raise DataError(f"port {port}: the service did not get ready within {START_SECONDS:g} seconds")
            yield port, process


def is_ready(process: subprocess.Popen, port: int, path: str = "/readyz") -> bool:
    """Wait until a path is answered with 200; False if the process ended before, or it takes too long."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer,
        ):
            if answer.status == 200:
                return True
        time.sleep(0.1)
    return False


def png(pixels: np.ndarray) -> bytes:
    """The PNG of uint8 (H, W), (H, W, 1) or (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG")
    return file.getvalue()

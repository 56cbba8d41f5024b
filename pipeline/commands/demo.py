"""`make demo`: serve the released models on this machine, and print the address once they answer.

Needs the packages of requirements/serve.lock alone.
"""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.project import command, local_ports
from pipeline.project.local_ports import HOST
from pipeline.records.release import RELEASE
from pipeline.runtime.releases import expect_unchanged

START_SECONDS = 180.0
"""For the service to start; it takes five on an idle machine."""
STOP_SECONDS = 30.0
"""For the service to answer what it has begun. It needs no longer by its own limits."""
_POLL_SECONDS = 0.1


def main(port: int = 3000, release: Path = Path("release")) -> None:
    """Serve a released folder until Ctrl-C.

    Every file is compared with `release.json` first. The service does that again when it starts, and compares every
    model with its manifest.

    Args:
        port: on this machine alone.
        release: what `registry release` wrote.

    Raises:
        ConfigurationError: there is no release, or another program uses the port.
        DataError: a file of the release was changed; or the service does not start; its own message says why.
    """
    if not (release / RELEASE).is_file():
        raise ConfigurationError(f"{release / RELEASE}: no such file; `registry release` writes it (docs/registry.md)")
    expect_unchanged(release)
    # The service opens it for itself.
    local_ports.bind(port, "make demo").close()
    with _serving(port, release) as service:
        end = time.monotonic() + START_SECONDS
        while not _is_ready(port):
            if (code := service.poll()) is not None:
                raise DataError(f"{release}: the service ended with exit code {code} before it answered, see above")
            if time.monotonic() > end:
                raise DataError(f"{release}: the service did not answer within {START_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        print(f"http://{HOST}:{port}/  (Ctrl-C stops it)", flush=True)
        if code := service.wait():
            raise DataError(f"{release}: the service ended with exit code {code}, see above")


@contextlib.contextmanager
def _serving(port: int, release: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service, and stop it at the end of the block, which Ctrl-C, SIGTERM or a closed terminal ends quietly."""
    environment = {
        **os.environ,
        "READER_ARTIFACTS": str(release.resolve()),
        "BENTOML_CONFIG_OPTIONS": "services.reader.workers=1",
        "BENTOML_DO_NOT_TRACK": "True",
    }
    serve = [sys.executable, "-m", "bentoml", "serve", "--host", HOST, "--port", str(port), "--quiet"]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    # In a session of its own: Ctrl-C reaches this process, and this process stops the service once.
    service = subprocess.Popen(serve, env=environment, start_new_session=True)
    try:
        yield service
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    finally:
        service.terminate()
        try:
            service.wait(STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            # A second Ctrl-C does not wait.
            os.killpg(service.pid, signal.SIGKILL)
            service.wait()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    command.run(main)

"""The supervisor and its workers: all of them serve the same models, and none goes on without it."""

import atexit
import contextlib
import hashlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import NoReturn

from pipeline.core.errors import DataError
from pipeline.records.manifest import Manifest
from pipeline.runtime.reader import Reader

_log = logging.getLogger("bentoml.reader")
_SUPERVISOR = "READER_SUPERVISOR"
_MODELS = "READER_PINNED_MODELS"
"""What the supervisor sets for its workers; not for the person who runs it."""
_STOP = getattr(signal, "SIGUSR1", None)
"""A worker asks the supervisor to stop with this."""
EXIT_CODE = 3
"""Of a service that stopped because its models were replaced."""
ORPHAN_SECONDS = 5.0
"""For a worker without a supervisor to finish its requests."""
_POLL_SECONDS = 0.5


def pin(readers: Mapping[str, Reader], gallery: Mapping[str, Manifest] | None = None) -> None:
    """Let the workers that this process starts serve these models and no others.

    Args:
        readers: by task.
        gallery: manifests of the models that are compared, by `TASK/STRATEGY`.
    """
    os.environ[_SUPERVISOR] = str(os.getpid())
    os.environ[_MODELS] = json.dumps(_digests(readers, gallery))
    if _STOP is None or threading.current_thread() is not threading.main_thread():
        return
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(_STOP, stop)
    # `bentoml serve` itself would end with 0. What is registered after this is called before.
    atexit.register(lambda: leave(EXIT_CODE) if asked else None)


def expect_pinned(readers: Mapping[str, Reader], gallery: Mapping[str, Manifest] | None = None) -> None:
    """Compare models with those that the supervisor has seen; without a supervisor nothing is compared.

    Args:
        readers: by task.
        gallery: as `pin` takes it.

    Raises:
        DataError: they are others, or of other tasks.
    """
    if _MODELS not in os.environ:
        return
    expected: dict[str, str] = json.loads(os.environ[_MODELS])
    found = _digests(readers, gallery)
    changed = sorted(task for task in {*expected, *found} if expected.get(task) != found.get(task))
    if changed:
        raise DataError(f"the packaged models of {', '.join(changed)} were replaced since the service started")


def stop_service(reason: str) -> NoReturn:
    """Say why this worker cannot serve what the others do, stop the whole service, and leave this process."""
    parent = os.getppid()
    _log.error("%s; the service stops: start it again to serve what is packaged now", reason)
    if _STOP is not None and os.environ.get(_SUPERVISOR) == str(parent):
        os.kill(parent, _STOP)
    leave(EXIT_CODE)


def watch_supervisor(clean_up: Callable[[], object]) -> None:
    """End this process, once it has finished its requests, when its supervisor is gone.

    Args:
        clean_up: removes what the supervisor would have removed; each of the workers calls it.
    """
    expected = os.environ.get(_SUPERVISOR)
    if expected is None:
        return

    def watch() -> None:
        while str(os.getppid()) == expected:
            time.sleep(_POLL_SECONDS)
        _log.error("worker %d ends: its supervisor, process %s, is gone", os.getpid(), expected)
        clean_up()
        # What the supervisor would have sent.
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_SECONDS)
        leave(EXIT_CODE)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()


def leave(code: int) -> NoReturn:
    """End this process at once, whatever its threads do."""
    for flush in (logging.shutdown, sys.stdout.flush, sys.stderr.flush):
        # What they write to may be gone as well.
        with contextlib.suppress(OSError, ValueError):
            flush()
    os._exit(code)


def _digests(readers: Mapping[str, Reader], gallery: Mapping[str, Manifest] | None) -> dict[str, str]:
    """A hash by task or strategy of all that a manifest says; the model's own hash is a part of it."""
    manifests = {task: reader.manifest for task, reader in readers.items()}
    # A packaged model is a strategy of its gallery as well; it has one name here.
    packaged = {f"{task}/{manifest.strategy}" for task, manifest in manifests.items()}
    manifests |= {name: manifest for name, manifest in (gallery or {}).items() if name not in packaged}
    return {name: hashlib.sha256(each.model_dump_json().encode()).hexdigest() for name, each in manifests.items()}

"""The service's application in this process, without a server: a client of it, and requests in slow motion."""

import asyncio
import contextlib
import json
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from starlette.applications import Starlette

from pipeline.core.readings import Readings
from pipeline.records.manifest import Manifest
from pipeline.runtime.reader import Reader, load_readers
from pipeline.runtime.session import Run
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app

with warnings.catch_warnings():
    # It prefers httpx2, which the locks do not have.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]


@contextlib.contextmanager
def client_of(artifacts: Path, **limits: float) -> Iterator[TestClient]:
    """A client of the application that serves what is packaged below a folder."""
    with TestClient(create_app(load_readers(artifacts), Limits(**limits))) as client:
        yield client


class HeldReader:
    """A reader that waits before each run until it is let go, or fails.

    Attributes:
        manifest: of the reader behind it.
        go_on: lets runs go on, once set.
        runs: how many pictures each run had.
        error: raised instead of a reading.
    """

    def __init__(self, reader: Reader, error: Exception | None = None) -> None:
        self.manifest: Manifest = reader.manifest
        self.go_on = threading.Event()
        self.runs: list[int] = []
        self.error = error
        self._reader = reader

    def read(self, images: np.ndarray, run: Run | None = None) -> Readings:
        """Wait, then read."""
        self.runs.append(len(images))
        if self.error is not None:
            raise self.error
        assert self.go_on.wait(30), "nobody let the reader go on"
        return self._reader.read(images, run=run)


@dataclass
class Exchange:
    """One request to an ASGI application, whose body arrives and whose answer is taken as the test says.

    Attributes:
        app: what answers.
        path, query, method, headers: of the request.
        status: of the answer; 0 before it begins.
        answer: its body.
        answer_headers: by lower-case name.
    """

    app: Starlette
    path: str = "/read"
    method: str = "POST"
    headers: Sequence[tuple[str, str]] = ()
    status: int = 0
    answer: bytes = b""
    answer_headers: dict[str, str] = field(default_factory=dict)
    query: str = ""

    async def run(self, receive: Receive, send: Send | None = None) -> None:
        """Call the application; `send` sees each message after it was noted."""

        async def noted(message: dict) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.answer_headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self.answer += message.get("body", b"")
            if send is not None:
                await send(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": self.query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in self.headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await self.app(scope, receive, noted)

    @property
    def code(self) -> str:
        """The code of the error that was the answer."""
        return json.loads(self.answer)["error"]["code"]


def body(*parts: bytes, end: bool = True) -> Receive:
    """A body that arrives in parts; without an end, the rest never does."""
    waiting = list(parts)

    async def receive() -> dict:
        if not waiting:
            await asyncio.Event().wait()
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting) or not end}

    return receive


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until something has happened, for 30 seconds at most."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110, the condition is of threads and of code that knows no event
            await asyncio.sleep(0.001)

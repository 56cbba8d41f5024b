"""Graceful shutdown: after the signal a process is not ready, finishes what it has begun, and only then ends."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Shutdown:
    """Whether the process was asked to stop, and what it has to finish first.

    The server underneath stops accepting connections on the signal while a supervisor still holds the socket, so that a
    new client would hang. Therefore the signal is kept from the server until nothing is in progress; meanwhile every
    new request is rejected at once and `/readyz` answers 503.

    Attributes:
        requested: whether the signal has come, or the process ends for another reason.
        reason: why it is not ready then.
        in_progress: requests in progress.
    """

    def __init__(self, seconds: float, close_seconds: float) -> None:
        """Define, and change nothing yet.

        Args:
            seconds: to wait for requests in progress at most.
            close_seconds: for connections to close after that: a client that does not receive its answer would keep the
                server waiting.
        """
        self.requested = False
        self.reason = "the service is shutting down and finishes what it has begun"
        self.in_progress = 0
        self._seconds = seconds
        self._close_seconds = close_seconds
        self._idle = asyncio.Event()

    def begin_request(self) -> None:
        """Count a request in progress."""
        self.in_progress += 1

    def end_request(self) -> None:
        """Count it as finished."""
        self.in_progress -= 1
        if self.requested and not self.in_progress:
            self._idle.set()

    def begin(self, reason: str) -> None:
        """Take no more requests. The signal, or the caller of this, ends the process."""
        self.reason = reason
        self.requested = True

    def listen(self) -> None:
        """Take the signals that the server listens to. Outside a main thread there are none."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            self._listen(number, loop)

    def _listen(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        server = signal.getsignal(number)
        if not callable(server):
            return

        def handle(signum: int, frame: FrameType | None) -> None:
            # SIGTERM comes twice where a service manager signals all processes and the supervisor signals its own; a
            # second SIGINT comes from a keyboard, from someone who does not want to wait.
            if loop.is_closed() or (self.requested and signum == signal.SIGINT):
                server(signum, frame)
            elif not self.requested:
                self.requested = True
                loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(self._finish(server))))

        tasks: list[asyncio.Task[None]] = []
        signal.signal(number, handle)

    async def _finish(self, server: Callable[[int, FrameType | None], object]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while self.in_progress:
                    await self._idle.wait()
        server(signal.SIGTERM, None)
        # If the server ends before, this ends too. After a second signal it no longer waits for open connections.
        await asyncio.sleep(self._close_seconds)
        server(signal.SIGINT, None)

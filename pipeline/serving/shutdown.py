"""A graceful stop: told to stop, a process is not ready at once, finishes what it has begun, and only then ends."""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 0.02
_CLOSE_SECONDS = 5.0
"""For connections to close after that. Who takes no answer would keep the server waiting without end."""


class Stopping:
    """Whether the process was told to stop.

    The server underneath stops accepting connections on the signal, and a supervisor goes on holding the socket: who
    connects then would hang. So the signal is kept from the server until nothing is in progress; meanwhile every new
    request is refused at once and `/readyz` says 503.

    Attributes:
        told: that it was.
        in_progress: how many requests are; the front counts them.
    """

    def __init__(self, seconds: float) -> None:
        """Define, and change nothing yet.

        Args:
            seconds: to wait for requests in progress at most.
        """
        self.told = False
        self.in_progress = 0
        self._seconds = seconds

    def listen(self) -> None:
        """Take the signals that the server listens to. Elsewhere than in a main thread there are none."""
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
            # SIGTERM comes twice where a service manager tells all processes and the supervisor tells its own; SIGINT
            # comes again from a keyboard, where somebody does not want to wait.
            if loop.is_closed() or (self.told and signum == signal.SIGINT):
                server(signum, frame)
            elif not self.told:
                self.told = True
                loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(self._finish(server))))

        tasks: list[asyncio.Task[None]] = []
        signal.signal(number, handle)

    async def _finish(self, server: Callable[[int, FrameType | None], object]) -> None:
        end = asyncio.get_running_loop().time() + self._seconds
        while self.in_progress and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_LOOK_SECONDS)
        server(signal.SIGTERM, None)
        # Where the server ends first, it ends this, too. By a second signal it leaves open connections alone.
        await asyncio.sleep(_CLOSE_SECONDS)
        server(signal.SIGINT, None)

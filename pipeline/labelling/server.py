"""Serves the page on this machine until the person is done, presses Ctrl-C or closes the terminal."""

import contextlib
import os
import signal
import socket
import sys
import threading
import webbrowser
from types import FrameType

import uvicorn

from pipeline.labelling import app
from pipeline.labelling.app import Entrance
from pipeline.labelling.session import Session
from pipeline.project.local_ports import HOST

_SECONDS = 5
"""For requests that are being answered at the end."""
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")
"""Variables one of which Linux sets where a browser has a screen."""


def serve(session: Session, listening: socket.socket, *, browser: bool) -> None:
    """Serve until the end, and print the address.

    Args:
        session: that is gone through.
        listening: of `local_ports.bind`; it is closed at the end.
        browser: whether to open the page in one, if there is a screen.
    """
    entrance = Entrance()
    server: uvicorn.Server

    def finish() -> None:
        server.should_exit = True

    server = uvicorn.Server(
        uvicorn.Config(
            app.make(session, entrance, finish),
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_SECONDS,
        )
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    address = f"http://{HOST}:{listening.getsockname()[1]}"
    print(f"{address}/{entrance.token}/  (Ctrl-C or its button Finish ends it)", flush=True)
    if browser and (sys.platform == "darwin" or any(os.environ.get(name) for name in _SCREENS)):
        # It may wait until the browser ends.
        threading.Thread(target=_open, args=(f"{address}{entrance.once}",), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt), listening:
        server.run(sockets=[listening])


def _open(address: str) -> None:
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(address)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

"""The application behind Uvicorn and the protocol of serving, in a thread of this process, and raw connections."""

import contextlib
import functools
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn
from servers import wait_for
from starlette.types import ASGIApp

from pipeline.scheduling.admission import Gate
from pipeline.scheduling.limits import Limits
from pipeline.serving.protocol import Connections, HttpProtocol


@dataclass(frozen=True)
class Served:
    """An application that is served.

    Attributes:
        port: on 127.0.0.1.
        server: what serves it.
    """

    port: int
    server: uvicorn.Server

    def connect(self) -> socket.socket:
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, sent: bytes, *, end: bool = False) -> bytes:
        """What comes back on a connection of its own until that is closed; `end` sends no more after these bytes."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(sent)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            return received(connection)

    @property
    def protocols(self) -> list[HttpProtocol]:
        """Of the connections that are open."""
        return list(self.server.server_state.connections)


def received(connection: socket.socket) -> bytes:
    """All that comes until the connection is closed, or reset."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            data += part
    return data


@contextlib.contextmanager
def served(app: ASGIApp, *, idle_seconds: int = 5, gate: Gate | None = None, **limits: float) -> Iterator[Served]:
    """Serve an application with these limits; idle connections are closed after so many seconds."""
    of_process = Limits(**limits)
    connections = Connections(of_process.connections)
    connections.gate = gate
    protocol = functools.partial(HttpProtocol, limits=of_process, connections=connections)
    config = uvicorn.Config(app, http=protocol, log_config=None, timeout_keep_alive=idle_seconds, lifespan="on")
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            wait_for(lambda: server.started or not thread.is_alive(), "the server did not start")
            yield Served(listening.getsockname()[1], server)
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()

"""The ports on which commands serve pages to this machine."""

import errno
import socket

from pipeline.core.errors import ConfigurationError

HOST = "127.0.0.1"
_PORTS = range(1, 2**16)


def bind(port: int, command: str) -> socket.socket:
    """A socket that listens on this machine alone.

    Args:
        port: of the host `HOST`.
        command: that the message recommends, for instance `make demo`.

    Raises:
        ConfigurationError: that is no port, or another program uses it.
    """
    if port not in _PORTS:
        raise ConfigurationError(f"PORT: {port} found, expected a number from {_PORTS[0]} to {_PORTS[-1]}")
    listening = socket.socket()
    # As servers do: connections that ended a moment ago do not keep a port.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        reason = "another program uses it" if error.errno == errno.EADDRINUSE else error.strerror
        other = port + 1 if port + 1 in _PORTS else port - 1
        raise ConfigurationError(f"PORT: {port}: {reason}; `{command} PORT={other}` takes another one") from None
    return listening

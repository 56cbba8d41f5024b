"""The address of a Ray cluster, and whether one answers there. Ray itself is not imported."""

import socket

from pipeline.core.errors import ConfigurationError, PipelineError

ADDRESS_VARIABLE = "RAY_ADDRESS"
"""Names the cluster, `HOST:PORT`; without it, one of this machine is started."""
PATIENCE = 10.0
"""Seconds in which a cluster accepts a connection."""


class ClusterError(PipelineError):
    """The cluster does not answer, or lost a task too often: the same command goes on where it stopped."""

    exit_code = 4
    kind = "cluster"


def expect_answer(address: str) -> None:
    """Check that a cluster accepts connections.

    Ray itself waits a minute for one that is not there, and then may end the process.

    Args:
        address: `HOST:PORT`, also behind `ray://`; of any other protocol, and of `auto`, nothing is known.

    Raises:
        ConfigurationError: it is no address.
        ClusterError: nothing answers there.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto" or "://" in address.removeprefix("ray://"):
        return
    if not colon or not port.isdigit():
        raise ConfigurationError(f"{ADDRESS_VARIABLE}={address}: expected HOST:PORT, for instance 10.0.0.5:6379")
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"{ADDRESS_VARIABLE}={address}: no answer ({error}); `ray start --head` starts a cluster, and without "
            f"{ADDRESS_VARIABLE} one of this machine is used"
        ) from None

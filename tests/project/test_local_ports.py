"""Where pages are served: on this machine alone, on a port that is free."""

import socket

import pytest
import servers

from pipeline.core.errors import ConfigurationError
from pipeline.project import local_ports


def test_it_listens_on_this_machine_alone():
    port = servers.free_port()
    with local_ports.bind(port, "make label") as listening:
        assert listening.getsockname() == ("127.0.0.1", port)


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigurationError, match="another program"):
        local_ports.bind(other.getsockname()[1], "make label")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(ConfigurationError, match=str(port)):
        local_ports.bind(port, "make label")

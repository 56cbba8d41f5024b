"""Fixtures: a host to download from, and a network without hosts."""

import threading

import pytest
from download_host import Host

from pipeline.remote import downloads

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The seconds that downloads waited for, without waiting; proxies and mirrors of this machine do not count."""
    for name in (*PROXIES, "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "DATASETS_MIRROR", "DATASETS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    seconds = []
    monkeypatch.setattr(downloads, "sleep", seconds.append)
    return seconds


@pytest.fixture
def host():
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def offline(monkeypatch):
    """No host can be reached."""
    for name in PROXIES:
        monkeypatch.setenv(name, NOWHERE)

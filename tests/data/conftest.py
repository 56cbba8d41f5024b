"""Mirrors, hosts and networks for the tests of data."""

import pytest
from network_fixtures import host, offline, waits  # noqa: F401  # pytest finds fixtures by their names here
from raw_files import mnist_files, write_mnist

from pipeline.data import mnist


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror's folder with an MNIST of 20 and 10 digits, whose digests are the expected ones."""
    monkeypatch.setattr(mnist, "FILES", write_mnist(tmp_path / "mirror", mnist_files()))
    return tmp_path / "mirror"

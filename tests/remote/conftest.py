"""Hosts and networks for the tests of downloads."""

from network_fixtures import host, offline, waits  # noqa: F401  # pytest finds fixtures by their names here

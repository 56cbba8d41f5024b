"""What all tests of its events share. The fixtures are in tests/support/registry_fixtures.py."""

from collections.abc import Iterator

import pytest
import registry_project as made
from registry_fixtures import (  # noqa: F401  # pytest finds fixtures by their names here
    base,
    clones,
    evidence,
    keys,
    lifted,
    lifted_base,
    project,
    shared_base,
    signed,
    signed_base,
)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    """The registry's clock is an hour slow."""
    with made.slow_clock():
        yield

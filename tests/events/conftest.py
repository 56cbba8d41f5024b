"""What all tests of its events share. The fixtures are in tests/support/registry_fixtures.py."""

from registry_fixtures import (  # noqa: F401  # pytest finds fixtures by their names here
    base,
    clock,
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

"""Errors that a user can cause: the class, one line, and what the line must name."""

import contextlib
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def refuses(kind: type[Exception], *named: object) -> Iterator[None]:
    """Expect an error whose one line names all of these: a file, a key, what was found, what was expected."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for name in named:
        assert str(name) in message

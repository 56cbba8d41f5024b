"""How much the service takes at once, and how long it waits. Every number can be set from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from pipeline.core.errors import ConfigurationError

PREFIX = "READER_"
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Bounds of one worker process. `READER_BODY_BYTES=1000000` sets `body_bytes`, and so on.

    Attributes:
        body_bytes: of a request for one picture, and of a JSON body.
        many_body_bytes: of a request for many, but for JSON.
        pictures: in one request.
        json_pictures: in one JSON array. JSON is the slow road: it takes more time to parse than to read.
        requests: in progress, their bodies being received or waiting for an answer; more are refused.
        many_requests: in progress for many pictures; more are refused.
        buffered_bytes: of the bodies that are held at one time, all requests together.
        waiting: single pictures that wait for a model; more are refused.
        batch: pictures that a model reads in one run.
        threads: that read side by side. Connections are not spread evenly over worker processes: with two threads each,
            one that got most of them still uses a second core.
        body_seconds: for a body to arrive.
        answer_seconds: for its answer to be found, and again for it to be taken.
        stop_seconds: for requests to finish once the service is told to stop.
    """

    body_bytes: int = 4 * _MIB
    many_body_bytes: int = 16 * _MIB
    pictures: int = 1024
    json_pictures: int = 64
    requests: int = 512
    many_requests: int = 4
    buffered_bytes: int = 256 * _MIB
    waiting: int = 128
    batch: int = 32
    threads: int = 2
    body_seconds: float = 10.0
    answer_seconds: float = 30.0
    stop_seconds: float = 30.0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Limits":
        """The defaults, and what the environment says instead.

        Raises:
            ConfigurationError: a value is no number above 0.
        """
        said = {}
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            if name in environment:
                said[field.name] = _number(name, environment[name], type(field.default))
        return cls(**said)


def _number(name: str, text: str, kind: type) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        expected = "a whole number above 0" if kind is int else "a number of seconds above 0"
        raise ConfigurationError(f"{name}: {text!r} found, expected {expected}")
    return value

"""How much the service takes at once, and how long it waits. The environment can set every number."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pipeline.core.errors import ConfigurationError

PREFIX = "READER_"
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Limits of one worker process. `READER_BODY_BYTES=1000000` sets `body_bytes`, and so on.

    Attributes:
        body_bytes: of a request for one picture of a model's size. A picture of the largest model has 100 KB
            uncompressed; the rest is for what programs write beside the pixels.
        picture_bytes: of a request for one picture of any size, such as a photo or a scan.
        pages: pictures of any size that are being decoded and searched for lines, or wait for it; more are rejected.
            `threads` of them are decoded at one time, and one of those with more than 4 megapixels.
        many_body_bytes: of a request for many pictures that is not JSON.
        json_bytes: of a JSON body.
        pictures: in one request.
        json_pictures: in one JSON array. JSON takes longer to parse than its pictures take to be read.
        requests: in progress, receiving their bodies or waiting for their answers; more are rejected.
        many_requests: for many pictures that are being read; more are rejected.
        comparisons: pictures that all strategies of a task read, or whose feature maps are made, or that wait for it;
            more are rejected. One thread works on them, one after the other.
        gallery_bytes: of the files of the models that are loaded for comparisons and stay loaded.
        candidate_bytes: of the file of a model that is rolled out: it is in memory beside the one that it replaces.
        audit_bytes: of the audit log, from which on a new file is begun; the former one is kept.
        buffered_bytes: of the bodies that are held at one time, of all requests together.
        waiting: single pictures that wait for a model; more are rejected.
        waiting_seconds: that a single picture may be expected to wait, by the work that waits and the pace lately
            measured; it is rejected before its body is received where it would wait longer.
        batch: pictures that a model reads in one run.
        threads: that run models side by side. Connections are not spread evenly over worker processes: with two threads
            each, the one that got most of them still uses a second core.
        body_seconds: for a body to arrive.
        answer_seconds: for the answer to be found, and again for the client to receive it.
        stop_seconds: for requests in progress to finish after the signal to stop.
        close_seconds: for connections to close after that, whose clients do not receive their answers.
        head_bytes: of a request's target and headers.
        headers: of a request.
        head_seconds: for a request's target and headers to arrive, from the connection on.
        connections: open at one time. At the limit, which file descriptors may lower, the connection that has waited
            longest for a request is closed in favour of a new one.
        inline_seconds: a model that takes no longer for one picture reads a lone picture on the event loop.
    """

    body_bytes: int = _MIB
    picture_bytes: int = 16 * _MIB
    pages: int = 8
    many_body_bytes: int = 16 * _MIB
    json_bytes: int = 4 * _MIB
    pictures: int = 1024
    json_pictures: int = 64
    requests: int = 512
    many_requests: int = 4
    comparisons: int = 4
    gallery_bytes: int = 128 * _MIB
    candidate_bytes: int = 64 * _MIB
    audit_bytes: int = 64 * _MIB
    buffered_bytes: int = 256 * _MIB
    waiting: int = 128
    waiting_seconds: float = 0.25
    batch: int = 32
    threads: int = 2
    body_seconds: float = 10.0
    answer_seconds: float = 30.0
    stop_seconds: float = 30.0
    close_seconds: float = 5.0
    head_bytes: int = 65536
    headers: int = 100
    head_seconds: float = 10.0
    connections: int = 4096
    inline_seconds: float = 0.001

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Limits":
        """The defaults, and the values that the environment sets.

        Raises:
            ConfigurationError: a value is not a number above 0.
        """
        values: dict[str, Any] = {}
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            if name in environment:
                values[field.name] = _number(name, environment[name], type(field.default))
        return cls(**values)


def _number(name: str, text: str, kind: type) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        expected = "a whole number above 0" if kind is int else "a number of seconds above 0"
        raise ConfigurationError(f"{name}: {text!r} found, expected {expected}")
    return value

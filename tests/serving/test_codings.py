"""Compressed bodies: decoded within the limits of bodies, or rejected."""

import asyncio
import gzip
import zlib

import apps
import onnx_models
import pytest
from apps import Exchange, body
from servers import CLASSES, encoded, expect_error

from pipeline.runtime.reader import load_readers
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app

PNG = encoded(onnx_models.draw(CLASSES))
PACKED = gzip.compress(PNG, mtime=0)
"""Without the time of day, which would be in the names of tests."""
BOMB = gzip.compress(bytes(300_000_000), mtime=0)
"""As many zeros in 300 KB."""


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", PACKED),
        ("x-gzip", PACKED),
        ("GZip", PACKED),
        ("deflate", zlib.compress(PNG)),
        ("identity", PNG),
        ("", PNG),
    ],
)
def test_a_compressed_picture_is_read(client, coding, packed):
    response = client.post("/read", content=packed, headers={"Content-Encoding": coding})
    assert (response.status_code, response.json()["digits"]) == (200, "9754")


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br"])
def test_another_coding_is_named(client, coding):
    response = client.post("/read", content=PACKED, headers={"Content-Encoding": coding})
    assert repr(coding) in expect_error(response, 415, "unsupported_encoding")
    assert response.headers["accept-encoding"] == "gzip, deflate"
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(
    "packed",
    [PACKED[:-1], PACKED[:9], b"", b"x" + PACKED, PACKED + b"x", PACKED * 2, PACKED[:30] + b"\xff" * 9 + PACKED[39:]],
)
def test_a_damaged_coding_is_rejected(client, packed):
    expect_error(client.post("/read", content=packed, headers={"Content-Encoding": "gzip"}), 400, "bad_request")


def test_of_a_body_that_decodes_to_more_than_the_limit_no_more_than_that_is_decoded(artifacts):
    """The parts are counted as they are decoded; a process that decoded all of it would hold 300 MB."""
    with apps.client_of(artifacts, buffered_bytes=5_000_000) as client:
        response = client.post("/read", content=BOMB, headers={"Content-Encoding": "gzip"})
        expect_error(response, 413, "body_too_large")
        # What was held is let go.
        assert client.post("/read", content=PACKED, headers={"Content-Encoding": "gzip"}).status_code == 200


def test_a_compressed_body_has_a_limit_of_its_own(artifacts):
    """Empty blocks decode to nothing."""
    coder = zlib.compressobj(wbits=31)
    empty = (
        coder.compress(b"") + b"".join(coder.flush(zlib.Z_FULL_FLUSH) for _ in range(5)) + b"\0\0\0\xff\xff" * 30_000
    )
    with apps.client_of(artifacts, many_body_bytes=100_000) as client:
        expect_error(client.post("/read", content=empty, headers={"Content-Encoding": "gzip"}), 413, "body_too_large")


def test_a_compressed_body_arrives_in_any_parts(artifacts):
    app = create_app(load_readers(artifacts), Limits())
    exchange = Exchange(app, headers=[("Content-Encoding", "gzip"), ("Content-Length", str(len(PACKED)))])

    async def scenario():
        async with app.router.lifespan_context(app):
            await exchange.run(body(*(PACKED[i : i + 1] for i in range(len(PACKED)))))

    asyncio.run(scenario())
    assert exchange.status == 200

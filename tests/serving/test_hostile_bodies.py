"""Bodies that are cheap to send and dear to read: each is answered after little work, and others are not held up."""

import json
import subprocess
import sys

import numpy as np
import onnx_models
import pytest
from servers import CLASSES, ROOT, encoded, expect_error

from pipeline.core.decoding import PictureError, decode
from pipeline.scheduling.errors import ApiError
from pipeline.scheduling.limits import Limits
from pipeline.serving import arrays

STRIP = onnx_models.draw(CLASSES)
PNG = encoded(STRIP)
JPEG = encoded(STRIP, "JPEG")
JSON = {"Content-Type": "application/json"}
MIB = 2**20
SCAN = JPEG.index(b"\xff\xda")
BODIES = {
    "filled up": b"\xff\xd8" + b"\xff" * (MIB - 2),
    "filled up in the data": JPEG[:-2] + b"\xff" * (MIB - 10_000) + b"\xff\xd9",
    "restarts": JPEG[:-2] + b"\xff\xd0" * (MIB // 3) + b"\xff\xd9",
    "segments": JPEG[:2] + b"\xff\xe1\0\2" * (MIB // 5) + JPEG[2:],
    "scans": JPEG[:-2] + (JPEG[SCAN : SCAN + 10] + b"\0") * (MIB // 12) + b"\xff\xd9",
    "chunks": PNG[:33] + (bytes(4) + b"tEXt" + bytes(4)) * (MIB // 13) + PNG[33:],
    "empty data": PNG[:33] + (bytes(4) + b"IDAT" + b"\x35\xaf\x06\x1e") * (MIB // 13) + PNG[33:],
}
DECODE = """
import sys, time
from pipeline.core.decoding import PictureError, decode
content = sys.stdin.buffer.read()
started = time.process_time()
try:
    decode(content, (28, 140, 1))
except PictureError:
    pass
print(time.process_time() - started)
"""


@pytest.mark.parametrize("name", BODIES)
def test_a_file_made_to_be_slow_is_decoded_or_rejected_in_bounded_time(name):
    """In a process of its own, which can be ended: a regular expression lets no other thread run."""
    command = [sys.executable, "-c", DECODE]
    result = subprocess.run(command, cwd=ROOT, input=BODIES[name], capture_output=True, timeout=120, check=True)
    # Some tenths of a second; hours, or at least many seconds, where work grows faster than the file.
    assert float(result.stdout) < 10


def test_a_picture_among_them_is_the_same_picture():
    filled = JPEG[:-2] + b"\xff" * 5000 + b"\xff\xd9"
    assert (decode(filled, STRIP.shape).pixels == decode(JPEG, STRIP.shape).pixels).all()
    with pytest.raises(PictureError):
        decode(BODIES["filled up"], STRIP.shape)


def test_a_body_that_no_picture_needs_is_rejected_by_its_length(client):
    limit = Limits().body_bytes
    assert limit == MIB
    expect_error(client.post("/read", content=bytes(limit + 1)), 413, "body_too_large")


@pytest.mark.parametrize("body", [b"[" + b"[0]," * 900_000 + b"[0]]", b"[" + b"0," * 1_800_000 + b"0]"])
def test_json_with_more_than_pictures_need_is_counted_and_not_parsed(client, body, monkeypatch):
    def parsed(*_):
        raise AssertionError("it was parsed")

    monkeypatch.setattr(arrays, "_parsed", parsed)
    expect_error(client.post("/read_many", content=body, headers=JSON), 413, "too_many_pictures")


def long(strips, **options):
    body = json.dumps(strips.tolist(), **options).encode()
    assert len(body) > 256 * 1024
    return body


def test_a_long_array_is_parsed_picture_by_picture_and_is_the_same(client, monkeypatch):
    strips = np.stack([onnx_models.draw(np.roll(CLASSES, shift)) for shift in range(60)])
    sizes = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: sizes.append(len(text)) or loads(text))
    assert (arrays.from_json(long(strips[..., 0], indent=1), 64) == strips[..., 0]).all()
    assert (arrays.from_json(long(strips), 64) == strips).all()
    assert max(sizes) < 80_000


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda body: body[:-1], "bad_json"),
        (lambda body: body + b"]", "bad_json"),
        (lambda body: body[:-1] + b",]", "bad_json"),
        (lambda body: body.replace(b"[0, 0", b"[0 0", 1), "bad_json"),
        (lambda body: b"[" + body + b"," + body + b"]", "wrong_array"),
        (lambda body: body.replace(b"0", b'"0"', 1), "wrong_array"),
        (lambda body: body.replace(b"0", b"null", 1), "wrong_array"),
        (lambda body: body.replace(b"0", b"256", 1), "wrong_array"),
        (lambda body: body.replace(b"[0, ", b"[", 1), "wrong_array"),
        (lambda body: b"[[[[" + body + b"]]]]", "wrong_array"),
        (lambda body: b"{" + body + b"}", "wrong_array"),
    ],
)
def test_a_long_array_that_is_wrong_somewhere_is_rejected(change, code):
    body = long(np.stack([STRIP[..., 0]] * 40))
    with pytest.raises(ApiError) as error:
        arrays.from_json(change(body), 64)
    assert error.value.code == code

"""The short way for plain PNG files gives what the long way gives, or nothing."""

import io
import zlib

import numpy as np
import onnx_models
import pytest
from PIL import Image

from pipeline.core.decoding import PictureError, decode_for, judge
from pipeline.reading.plain import decode_plain, judge_plain

SHAPES = {"cifar10": (32, 32, 3), "mnist": (28, 28, 1), "strips": (28, 140, 1)}
RANDOM = np.random.default_rng(0)


def png(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def noise(*sides):
    # In rows of one value, so that every filter of the encoder has its picture.
    return np.add.accumulate(RANDOM.integers(0, 7, sides, np.uint8), axis=-1, dtype=np.uint8)


PLAIN = [
    png(onnx_models.draw([3], (28, 28, 1)).squeeze()),
    png(noise(28, 28)),
    png(noise(28, 140)),
    png(np.full((28, 28), 255, np.uint8)),
    png(noise(28, 28), compress_level=0),
]
OTHERS = [
    png(noise(140, 28)),
    png(noise(32, 32, 3)),
    png(noise(28, 28, 3)),
    png(noise(28, 28, 4)),
    png(noise(28, 29)),
    png(noise(28, 28), transparency=0),
    png(noise(28, 28).astype(np.uint16)),
    png(noise(28, 28) > 3),
    b"",
    b"\x89PNG\r\n\x1a\n",
]


@pytest.mark.parametrize("data", PLAIN)
def test_a_plain_picture_is_what_the_decoder_makes_of_it(data):
    task, pixels = decode_plain(data, SHAPES)
    expected_task, expected = decode_for(data, SHAPES)
    assert (task, judge_plain(pixels[None])) == (expected_task, [expected.notes])
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, expected.pixels)


def test_pictures_are_judged_together_as_one_by_one():
    images = RANDOM.integers(0, 256, (200, 28, 28, 1), np.uint8)
    # Of little contrast, light and dark, with borders that are half bright.
    images[:100] //= RANDOM.integers(1, 30, (100, 1, 1, 1), np.uint8)
    images[50:80] += 150
    images[80:90, :, :14], images[80:90, :, 14:] = 127, 128
    found = judge_plain(images)
    assert found == judge(images)
    assert len(set(found)) == 3


@pytest.mark.parametrize("data", OTHERS)
def test_anything_else_is_left_to_the_decoder(data):
    assert decode_plain(data, SHAPES) is None


def test_a_damaged_picture_is_never_read():
    whole = PLAIN[1]
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :]
        assert decode_plain(damaged, SHAPES) is None, at
        assert decode_plain(whole[:at], SHAPES) is None, at
    assert decode_plain(whole + b"\0", SHAPES) is None


def chunk(kind, content):
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


@pytest.mark.parametrize(
    "rows",
    [
        bytes(28 * 29 - 1),  # a pixel is missing
        bytes(28 * 29 + 1),
        b"\5" + bytes(28 * 29 - 1),  # there is no such filter
    ],
)
def test_data_that_are_not_those_of_the_header_are_left_to_the_decoder(rows):
    header = chunk(b"IHDR", (28).to_bytes(4) * 2 + b"\x08\0\0\0\0")
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert decode_plain(data, SHAPES) is None


def test_a_file_in_pieces_is_plain_too():
    header = chunk(b"IHDR", (28).to_bytes(4) * 2 + b"\x08\0\0\0\0")
    data = zlib.compress(b"\0" * 28 * 29)
    parts = header + chunk(b"IDAT", data[:5]) + chunk(b"IDAT", data[5:]) + chunk(b"IEND", b"")
    task, pixels = decode_plain(b"\x89PNG\r\n\x1a\n" + parts, SHAPES)
    assert (task, judge_plain(pixels[None])) == ("mnist", [("nothing_to_see",)])
    with pytest.raises(PictureError):
        decode_for(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IEND", b""), SHAPES)

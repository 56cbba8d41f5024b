"""A short way to the pixels of the plainest PNG: 8-bit grey, whole, of a model's size.

`pipeline.core.decoding` takes more than a third of the time of the model of single digits for such a picture. Here
every checksum and the length of the data are checked; then a picture has one decoding, and OpenCV's is the same as
Pillow's. Whatever is not that plain, or not whole, is left to `pipeline.core.decoding`.
"""

import zlib
from collections.abc import Mapping

import cv2
import numpy as np

from pipeline.core.decoding import BRIGHT, BRIGHT_BORDER, NOTHING_TO_SEE, Shape
from pipeline.core.images import INK

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY8 = b"\x08\x00\x00\x00\x00"
"""Depth 8, grey, and the only compression, filter method and interlacing without passes."""
_HEADER_LENGTH, _DATA = b"\0\0\0\x0d", b"IDAT"
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
"""The last chunk, with its checksum."""


def decode_plain(data: bytes, shapes: Mapping[str, Shape]) -> tuple[str, np.ndarray] | None:
    """The shape and the pixels that `decoding.decode_for` gives for a plain PNG; None for any other bytes.

    Args:
        data: of a picture's file.
        shapes: height, width and channels that are wanted, by a name.
    """
    if not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR" or data[24:29] != _GREY8:
        return None
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    task = next((name for name, shape in shapes.items() if {width, height} == {shape[0], shape[1]}), None)
    # A strip that stands upright is turned, and a grey picture may become one in colours: not plain.
    if task is None or shapes[task] != (height, width, 1):
        return None
    compressed = _compressed(data)
    if compressed is None:
        return None
    expected = height * (width + 1)
    inflated = zlib.decompressobj()
    try:
        found = inflated.decompress(compressed, expected + 1)
    except zlib.error:
        return None
    if len(found) != expected or not inflated.eof or inflated.unused_data or max(found[:: width + 1]) > 4:
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape != (height, width) or pixels.dtype != np.uint8:
        return None
    return task, pixels[..., None]


def judge_plain(images: np.ndarray) -> list[tuple[str, ...]]:
    """What `decoding.judge` says of uint8 (n, height, width, 1), for all of them at once."""
    rows = images[..., 0]
    empty = rows.max(axis=(1, 2)).astype(np.int16) - rows.min(axis=(1, 2)) < INK
    sides = (rows[:, 0], rows[:, -1], rows[:, 1:-1, 0], rows[:, 1:-1, -1])
    bright = sum(np.count_nonzero(side >= BRIGHT, axis=1) for side in sides)
    light = 2 * bright > sum(side.shape[1] for side in sides)
    return [
        (NOTHING_TO_SEE,) if nothing else (BRIGHT_BORDER,) if border else ()
        for nothing, border in zip(empty.tolist(), light.tolist(), strict=True)
    ]


def _compressed(data: bytes) -> bytes | None:
    """The content of the IDAT chunks of a file that has IHDR, IDAT and IEND alone, whole; None of another."""
    if data[8:12] != _HEADER_LENGTH or data[-12:] != _END:
        return None
    if zlib.crc32(data[12:29]) != int.from_bytes(data[29:33]):
        return None
    at, end, parts = 33, len(data) - 12, []
    while at < end:
        until = at + 12 + int.from_bytes(data[at : at + 4])
        if until > end or data[at + 4 : at + 8] != _DATA:
            return None
        if zlib.crc32(data[at + 4 : until - 4]) != int.from_bytes(data[until - 4 : until]):
            return None
        parts.append(data[at + 8 : until - 4])
        at = until
    return b"".join(parts)

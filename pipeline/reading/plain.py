"""A short way to the pixels of the plainest PNG: 8-bit grey, whole, of a model's size.

`pipeline.core.decoding` takes some 70 µs for such a picture, a fifth of what the model of single digits takes. Here
every chunk's checksum and the length of the data are checked; then a picture has one decoding, and OpenCV's is the same
as Pillow's. Whatever is not that plain, or not whole, is left to `pipeline.core.decoding`.
"""

import zlib
from collections.abc import Mapping

import cv2
import numpy as np

from pipeline.core.decoding import Picture, Shape, judge

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY8 = b"\x08\x00\x00\x00\x00"
"""Depth 8, grey, and the only compression, filter method and interlacing without passes."""
_EMPTY = b"\0\0\0\0"
_DATA, _END = b"IDAT", b"IEND"


def decode_plain(data: bytes, shapes: Mapping[str, Shape]) -> tuple[str, Picture] | None:
    """What `decoding.decode_for` gives for a plain PNG; None for any other bytes.

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
    pixels = pixels[..., None]
    return task, Picture(pixels, judge(pixels[None])[0])


def _compressed(data: bytes) -> bytes | None:
    """The content of the IDAT chunks of a file that has IHDR, IDAT and IEND alone, whole; None of another."""
    at, parts = 8, []
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data) or zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return None
        if at == 8:
            if length != 13:
                return None
        elif kind == _DATA:
            parts.append(data[at + 8 : end - 4])
        elif kind == _END:
            return b"".join(parts) if data[at : at + 4] == _EMPTY and end == len(data) and parts else None
        else:
            return None
        at = end
    return None

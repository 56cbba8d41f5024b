"""Arrays of uint8 pictures: raw bytes with their shape, `.npy`, and JSON. Nothing is reshaped, cast or clipped."""

import io
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.serving.errors import ApiError

SHAPE_HEADER = "X-Shape"
"""Gives the shape of a body of raw pixels, as in `64,28,140`."""
_SHAPE = re.compile(r"[0-9]{1,9}(?:,[0-9]{1,9}){0,3}")
_NUMBERS = re.compile(rb"[\[\]\d,\s]*")
_NPY_HEADER = 1024
"""Bytes of a `.npy` header; one of uint8 pictures has 128."""
_NONE = object()
_DEPTH = 5
"""One more than the nesting of JSON arrays may have: pictures, rows, columns, channels."""


def from_raw(body: bytes, shape: str | None) -> np.ndarray:
    """Raw pixels, row by row.

    Args:
        body: as many bytes as the shape has elements.
        shape: whole numbers separated by commas.

    Raises:
        ApiError: `bad_request`, no shape or a malformed one; `empty`; `wrong_array`, another number of bytes.
    """
    if shape is None:
        raise ApiError("bad_request", f"no {SHAPE_HEADER} found, expected the shape of the pixels, as in 64,28,140")
    expect_shape(shape)
    return _shaped(body, tuple(int(side) for side in shape.split(",")))


def expect_shape(shape: str) -> None:
    """Reject a malformed shape.

    Raises:
        ApiError: `bad_request`.
    """
    if not _SHAPE.fullmatch(shape):
        raise ApiError("bad_request", f"{SHAPE_HEADER}: {_quoted(shape)} found, expected a shape, as in 64,28,140")


def from_npy(body: bytes) -> np.ndarray:
    """A `.npy` file of uint8. The header is checked against the body's length first; nothing is ever unpickled.

    Raises:
        ApiError: `empty`; `damaged`, not a .npy file or a truncated header; `wrong_array`, another dtype or length.
    """
    if not body:
        raise ApiError("empty", "no bytes found, expected a .npy file")
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(version)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file, max_header_size=_NPY_HEADER)
    except Exception:  # NumPy evaluates the header as Python, which raises anything.
        raise ApiError("damaged", "the .npy header is malformed or too long, expected an array of uint8") from None
    if dtype != np.uint8:
        raise ApiError("wrong_array", f"an array of {_quoted(str(dtype))} found, expected uint8")
    if fortran and len(shape) > 1:
        raise ApiError("wrong_array", "an array in Fortran order found, expected C order (numpy.ascontiguousarray)")
    return _shaped(body[file.tell() :], shape)


def from_json(body: bytes) -> np.ndarray:
    """A JSON array of whole numbers from 0 to 255, nested like the pictures it holds.

    Raises:
        ApiError: `empty`; `bad_json`, not JSON; `wrong_array`, anything but whole numbers from 0 to 255 in arrays of
            equal lengths.
    """
    if not body.strip():
        raise ApiError("empty", "no bytes found, expected a JSON array of pictures")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError, too.
        raise ApiError("bad_json", "the body is not JSON, expected an array of pictures") from None
    if not isinstance(content, list):
        raise ApiError("wrong_array", f"JSON {_named(content)} found, expected an array of pictures")
    if not content:
        raise ApiError("empty", "an empty array found, expected pictures")
    # One match of the bytes instead of a check of each value. NumPy would take true for 1 and "7" for text.
    if not _NUMBERS.fullmatch(body) and (value := _first_other(content)) is not _NONE:
        raise ApiError("wrong_array", f"{_named(value)} found among the pixels, expected whole numbers from 0 to 255")
    if _depth(content) >= _DEPTH:
        raise ApiError(
            "wrong_array", "arrays nested too deeply found, expected (n, height, width) with or without channels"
        )
    try:
        values = np.array(content)
    except ValueError:
        raise ApiError("wrong_array", "arrays of different lengths found, expected pictures of one size") from None
    if values.dtype.kind not in "iuf" or not values.size:
        raise ApiError("wrong_array", "numbers too large or no numbers found, expected whole numbers from 0 to 255")
    low, high = values.min(), values.max()
    if low < 0 or high > 255:
        raise ApiError("wrong_array", f"values from {low} to {high} found, expected 0 to 255")
    return values.astype(np.uint8)


def _shaped(pixels: bytes, shape: Sequence[int]) -> np.ndarray:
    count = 1
    for side in shape:
        count *= side
    if count != len(pixels) or min(shape, default=1) < 0:
        named = ",".join(map(str, shape))
        raise ApiError(
            "wrong_array", f"{len(pixels):,} bytes found for the shape {named[:60]}, expected one for each element"
        )
    if not count:
        raise ApiError("empty", "an empty array found, expected pictures")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def _depth(content: Any) -> int:
    depth = 0
    while isinstance(content, list) and content and depth < _DEPTH:
        content, depth = content[0], depth + 1
    return depth


def _first_other(content: Any) -> object:
    """The first value, depth first, that is not a whole number from 0 to 255; to JSON, 7.0 is one."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
        elif type(value) not in (int, float) or not 0 <= value <= 255 or value != int(value):
            return value
    return _NONE


def _named(value: object) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    if type(value) in kinds:
        return kinds[type(value)]
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return repr(text[:40] + ("…" if len(text) > 40 else ""))

"""Arrays of uint8 pictures: raw bytes with their shape, `.npy`, and JSON. Nothing is reshaped, cast or clipped."""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from pipeline.core.decoding import Shape
from pipeline.scheduling.errors import ApiError

SHAPE_HEADER = "X-Shape"
"""Gives the shape of a body of raw pixels, as in `64,28,140`."""
_SHAPE = re.compile(r"[0-9]{1,9}(?:,[0-9]{1,9}){0,3}")
_NUMBERS = re.compile(rb"[\[\]\d,\s]*")
_NPY_HEADER = 1024
"""Bytes of a `.npy` header; one of uint8 pictures has 128."""
_NPY_FIELD = re.compile(
    r"""['"](descr|fortran_order|shape)['"]\s*:\s*"""
    r"""('[^'\\\n]{0,40}'|"[^"\\\n]{0,40}"|\[[^\]\\\n]*\]|True|False|\(\s*(?:-?[0-9]{1,18}L?\s*(?:,\s*|(?=\))))*\))"""
)
_NPY_DICT = re.compile(rf"\s*\{{\s*(?:{_NPY_FIELD.pattern}\s*(?:,\s*|(?=\}})))*\}}\s*")
"""A header is a Python dictionary of three entries."""
_NONE = object()
_WHOLE = 256 * 1024
"""Bytes of JSON that are parsed at once: Python's parser lets no other thread run meanwhile."""
_NOT_JSON = "the body is not JSON, expected an array of pictures"
_TOO_DEEP = "arrays nested too deeply found, expected (n, height, width) with or without channels"
_UNEQUAL = "arrays of different lengths found, expected pictures of one size"
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
    header, start = _npy_header(body)
    # NumPy evaluates it as Python, which prints a warning for whatever it finds odd.
    fields = dict(_NPY_FIELD.findall(header)) if _NPY_DICT.fullmatch(header) else {}
    if set(fields) != {"descr", "fortran_order", "shape"}:
        raise ApiError("damaged", "the .npy header is malformed or too long, expected an array of uint8")
    shape = tuple(int(side) for side in re.findall("-?[0-9]+", fields["shape"]))
    if fields["descr"][1:-1] not in ("|u1", "<u1", ">u1", "=u1", "u1", "B"):
        raise ApiError("wrong_array", f"an array of {_quoted(fields['descr'])} found, expected '|u1' (uint8)")
    if fields["fortran_order"] == "True" and len(shape) > 1:
        raise ApiError("wrong_array", "an array in Fortran order found, expected C order (numpy.ascontiguousarray)")
    return _shaped(body[start:], shape)


def _npy_header(body: bytes) -> tuple[str, int]:
    """The header of a .npy, and where its data begin; empty where there is none that is short enough."""
    if body[:7] not in (b"\x93NUMPY\x01", b"\x93NUMPY\x02") or body[7:8] != b"\0":
        return "", 0
    start = 10 if body[6] == 1 else 12
    end = start + int.from_bytes(body[8:start], "little")
    if end - start > _NPY_HEADER or end > len(body):
        return "", 0
    return body[start:end].decode("latin-1"), end


def expect_few(body: bytes, pictures: int, shapes: Collection[Shape]) -> None:
    """Reject JSON that holds more than pictures can need, by its brackets and commas alone.

    To parse a body of 4 MB that is a million arrays takes a hundred times as long as to count them.

    Args:
        body: JSON.
        pictures: in one request, at most.
        shapes: height, width and channels of the pictures.

    Raises:
        ApiError: `too_many_pictures`, it has more arrays or more elements than so many pictures.
    """
    # Of (n, height, width, channels); an upright picture has more rows.
    arrays = max(1 + max(shape[:2]) * (1 + min(shape[:2])) for shape in shapes)
    elements = max(height * width * channels for height, width, channels in shapes)
    brackets, commas = body.count(b"["), body.count(b",")
    if brackets > 1 + pictures * arrays or commas > pictures * elements:
        raise ApiError(
            "too_many_pictures",
            f"{brackets:,} arrays and {commas + 1:,} elements found, expected at most {pictures:,} pictures",
        )


def from_json(body: bytes, most: int) -> np.ndarray:
    """A JSON array of whole numbers from 0 to 255, nested like the pictures it holds.

    A long body is parsed picture by picture, so that other threads have their turn in between.

    Args:
        body: JSON.
        most: pictures in a long body, at most.

    Raises:
        ApiError: `empty`; `bad_json`, not JSON; `too_many_pictures`; `wrong_array`, anything but whole numbers from
            0 to 255 in arrays of equal lengths.
    """
    if not body.strip():
        raise ApiError("empty", "no bytes found, expected a JSON array of pictures")
    if len(body) > _WHOLE:
        return _stacked(body, most)
    content = _parsed(body)
    if not isinstance(content, list):
        raise ApiError("wrong_array", f"JSON {_named(content)} found, expected an array of pictures")
    if not content:
        raise ApiError("empty", "an empty array found, expected pictures")
    # One match of the bytes instead of a check of each value. NumPy would take true for 1 and "7" for text.
    if not _NUMBERS.fullmatch(body) and (value := _first_other(content)) is not _NONE:
        raise ApiError("wrong_array", f"{_named(value)} found among the pixels, expected whole numbers from 0 to 255")
    if _depth(content) >= _DEPTH:
        raise ApiError("wrong_array", _TOO_DEEP)
    try:
        values = np.array(content)
    except ValueError:
        raise ApiError("wrong_array", _UNEQUAL) from None
    if values.dtype.kind not in "iuf" or not values.size:
        raise ApiError("wrong_array", "numbers too large or no numbers found, expected whole numbers from 0 to 255")
    low, high = values.min(), values.max()
    if low < 0 or high > 255:
        raise ApiError("wrong_array", f"values from {low} to {high} found, expected 0 to 255")
    return values.astype(np.uint8)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError, too.
        raise ApiError("bad_json", _NOT_JSON) from None


def _stacked(body: bytes, most: int) -> np.ndarray:
    """The array of a long body, of which each element is parsed by itself."""
    text = body.strip()
    if text[:1] != b"[" or b'"' in text or b"{" in text:
        found = "a string or an object" if text[:1] == b"[" else "no array"
        raise ApiError("wrong_array", f"{found} found, expected an array of pictures")
    steps = np.frombuffer(text, np.uint8)
    at = np.flatnonzero((steps == ord("[")) | (steps == ord("]")) | (steps == ord(",")))
    kinds = steps[at]
    depths = np.cumsum((kinds == ord("[")).astype(np.int32) - (kinds == ord("]")), dtype=np.int32)
    if depths[-1] or depths.min() < 0 or at[-1] != len(text) - 1 or (depths[:-1] == 0).any():
        raise ApiError("bad_json", _NOT_JSON)
    if depths.max() >= _DEPTH:
        raise ApiError("wrong_array", _TOO_DEEP)
    ends = [*at[(kinds == ord(",")) & (depths == 1)].tolist(), len(text) - 1]
    if len(ends) > most:
        raise ApiError("too_many_pictures", f"{len(ends):,} pictures found, expected at most {most:,}")
    parts = []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        if end - start > _WHOLE:
            raise ApiError("wrong_array", f"an element of {end - start:,} bytes found, expected pictures")
        part = text[start + 1 : end]
        if not part.strip():
            raise ApiError("bad_json", _NOT_JSON)
        parts.append(from_json(part, most))
    if len({part.shape for part in parts}) > 1:
        raise ApiError("wrong_array", _UNEQUAL)
    return np.stack(parts)


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

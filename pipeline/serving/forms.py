"""Forms (`multipart/form-data`) in memory: the body was received within its limit, and no file is written."""

from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pipeline.scheduling.errors import ApiError

_FIELDS = 8
"""Parts that are not files; they are ignored."""


def files_of(content_type: str, body: bytes, most: int) -> list[bytes]:
    """The files of a form, in order; its other fields are ignored.

    Args:
        content_type: the header, with the boundary.
        body: the whole form.
        most: files, at most.

    Raises:
        ApiError: `bad_request`, a malformed form, or more than one file where one is expected; `too_many_pictures`;
            `empty`, no file.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise _malformed("no boundary in its Content-Type")
    form = _Form(most)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise _malformed(str(error)[:80]) from None
    if not form.ended:
        raise _malformed("it ends early")
    if not form.files:
        raise ApiError("empty", "no file in the form, expected PNG or JPEG (a URL is not fetched)")
    return form.files


class _Form:
    """What the parser finds.

    Attributes:
        files: their contents, in order.
        ended: whether the form is complete.
    """

    def __init__(self, most: int) -> None:
        self.files: list[bytes] = []
        self.ended = False
        self._most = most
        self._fields = 0
        self._name = b""
        self._value = b""
        self._disposition: bytes | None = None
        self._parts: list[bytes] | None = None

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._disposition, self._parts = None, None
        self._name = self._value = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _headers_end(self) -> None:
        kind, options = parse_options_header(self._disposition or b"")
        if kind != b"form-data" or b"name" not in options:
            raise _malformed("a part without a name in its Content-Disposition")
        if b"filename" in options:
            if len(self.files) == self._most:
                raise _too_many(self._most)
            self._parts = []
            return
        self._fields += 1
        if self._fields > _FIELDS:
            raise _malformed(f"more than {_FIELDS} fields that are not files")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._parts is not None:
            self._parts.append(data[start:end])

    def _end(self) -> None:
        if self._parts is not None:
            self.files.append(b"".join(self._parts))

    def _finish(self) -> None:
        self.ended = True


def _malformed(reason: str) -> ApiError:
    return ApiError("bad_request", f"a malformed form: {reason}")


def _too_many(most: int) -> ApiError:
    if most == 1:
        return ApiError("bad_request", "more than one file in the form, expected one; /read_many takes many")
    return ApiError("too_many_pictures", f"more than {most:,} files found, expected at most that")

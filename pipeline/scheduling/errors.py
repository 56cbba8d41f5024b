"""Every error that the service answers with: its code, its HTTP status, when it happens, and its one form."""

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue
from starlette.responses import Response

from pipeline.core.decoding import PictureError
from pipeline.records.answer import ErrorCode


@dataclass(frozen=True)
class Kind:
    """One kind of error.

    Attributes:
        status: of the HTTP answer.
        when: what it means, for the OpenAPI document.
        retry: whether the same request may succeed later; the answer then has `Retry-After`.
    """

    status: int
    when: str
    retry: bool = False


KINDS: Mapping[ErrorCode, Kind] = {
    "empty": Kind(400, "no bytes, or a form without a file"),
    "not_a_picture": Kind(400, "not a PNG or JPEG, or smaller than 2×2 pixels; a URL is not fetched"),
    "damaged": Kind(400, "a truncated or damaged PNG, JPEG or .npy"),
    "bad_json": Kind(400, "the body is not JSON, or nested deeper than any picture"),
    "bad_request": Kind(400, "a malformed form, X-Shape or coding of a body, or a form with too many files"),
    "bad_http": Kind(400, "not HTTP/1.1, or a head or a body whose meaning is not clear"),
    "bad_host": Kind(400, "no Host or several, a malformed one, or one that is not among READER_HOSTS"),
    "unauthorized": Kind(401, "a token is needed, and there is none, or an unknown or expired one"),
    "forbidden": Kind(403, "the token is not good for this path; the message names the scope"),
    "not_found": Kind(404, "no such path"),
    "not_packaged": Kind(404, "no model for this is served here; the message lists those that are"),
    "method_not_allowed": Kind(405, "the Allow header lists the methods"),
    "too_slow": Kind(408, "the head or the body did not arrive in time"),
    "body_too_large": Kind(413, "rejected by its declared length, or cut off as it arrives"),
    "too_many_pixels": Kind(413, "more pixels declared than are ever decoded; nothing was"),
    "too_many_pictures": Kind(413, "more pictures than one request may have"),
    "unsupported_format": Kind(415, "GIF, TIFF, BMP, EPS, SVG, …; animated WebP; any WebP without a model of lines"),
    "unsupported_content_type": Kind(415, "a Content-Type that is not for pictures"),
    "unsupported_encoding": Kind(415, "a Content-Encoding other than gzip and deflate"),
    "wrong_size": Kind(422, "no packaged model takes pictures of this size; the message lists the sizes"),
    "wrong_array": Kind(422, "an array of another shape, or values that are not whole numbers from 0 to 255"),
    "bad_query": Kind(422, "a query parameter has another value than the documented ones"),
    "bad_feedback": Kind(422, "feedback without a picture or its digest, or with a label that the task does not have"),
    "too_many_requests": Kind(429, "more requests of one token than it has in a minute", retry=True),
    "head_too_large": Kind(431, "more bytes of target and headers, or more headers, than one request may have"),
    "internal": Kind(500, "a bug, or the model failed on this picture; the log says which"),
    "overloaded": Kind(503, "more requests or pictures than may wait", retry=True),
    "stopping": Kind(503, "the worker is shutting down, or is replaced; the message says why", retry=True),
    "timed_out": Kind(503, "no answer in time", retry=True),
    "feedback_full": Kind(507, "READER_FEEDBACK_BYTES are full; `make label` and `make forget` make room"),
}
RETRY_SECONDS = 1
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
CLOSE = {"Connection": "close"}
"""A header of errors after which the rest of a body is not received."""


class ApiError(Exception):
    """A request, or one picture of several, is answered with an error.

    Attributes:
        code: one of `KINDS`.
        message: one line: what was found, what was expected.
        headers: of the answer.
    """

    def __init__(self, code: ErrorCode, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, error: PictureError) -> "ApiError":
        """The error of a picture that could not be decoded."""
        return cls(cast("ErrorCode", error.code), str(error))

    @classmethod
    def of_system(cls, error: Exception) -> "ApiError | None":
        """The error where the machine has no room: disk, memory, or file descriptors; None for another one."""
        if isinstance(error, MemoryError):
            return cls("overloaded", "no memory is left for this request; try again")
        if isinstance(error, OSError) and error.errno in _FULL:
            return cls("overloaded", f"the machine has no room for this request ({error.strerror}); try again")
        return None

    def as_json(self) -> dict[str, JsonValue]:
        """The body of the answer, in the form of `records.answer.Error`."""
        return {"error": {"code": self.code, "message": self.message}}

    def response(self) -> Response:
        """The answer."""
        kind = KINDS[self.code]
        headers = {**({"Retry-After": str(RETRY_SECONDS)} if kind.retry else {}), **self.headers}
        # A message may quote what is not valid Unicode.
        content = json.dumps(self.as_json(), ensure_ascii=False).encode("utf-8", "replace")
        return Response(content, kind.status, headers, "application/json")

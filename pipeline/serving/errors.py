"""Every way in which a request is refused: its code, its HTTP status, when it happens, and how it is said."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from pipeline.core.decoding import PictureError


@dataclass(frozen=True)
class Kind:
    """One kind of refusal.

    Attributes:
        status: of the HTTP answer.
        when: what it means, for the OpenAPI document.
        retry: whether the same request may succeed later; the answer then has `Retry-After`.
    """

    status: int
    when: str
    retry: bool = False


KINDS: Mapping[str, Kind] = {
    "empty": Kind(400, "no bytes, or a form without a file"),
    "not_a_picture": Kind(400, "the bytes are no picture, or one of less than 2×2 pixels; an address is not followed"),
    "damaged": Kind(400, "a truncated or broken PNG, JPEG or .npy"),
    "bad_json": Kind(400, "the body is no JSON, or nested deeper than any picture"),
    "bad_request": Kind(400, "a broken form, one with too many files, or an X-Shape that is no shape"),
    "not_found": Kind(404, "no such path"),
    "not_packaged": Kind(404, "no model for this is served here; the message names those that are"),
    "method_not_allowed": Kind(405, "the Allow header names the methods"),
    "too_slow": Kind(408, "the body did not arrive in time"),
    "body_too_large": Kind(413, "refused by its declared length, or cut off as it arrives"),
    "too_many_pixels": Kind(413, "more pixels declared than are ever decoded; nothing was"),
    "too_many_pictures": Kind(413, "more pictures in one request than are read at once"),
    "unsupported_format": Kind(415, "GIF, TIFF, WebP, BMP, EPS, SVG, …"),
    "unsupported_content_type": Kind(415, "a Content-Type that promises no picture"),
    "wrong_size": Kind(422, "a size that none of the models reads; the message names those that are"),
    "wrong_array": Kind(422, "an array of another shape, or values that are no whole numbers from 0 to 255"),
    "bad_query": Kind(422, "a query parameter has another value than the documented ones"),
    "internal": Kind(500, "a bug; the log has its traceback"),
    "overloaded": Kind(503, "more requests or pictures than may wait", retry=True),
    "stopping": Kind(503, "the service was told to stop and finishes what it has begun", retry=True),
    "timed_out": Kind(503, "no answer in time", retry=True),
}
RETRY_SECONDS = 1


class Refusal(Exception):
    """A request, or one picture of several, is not answered.

    Attributes:
        code: one of `KINDS`.
        message: one line: what was found, what was expected.
        headers: for the answer.
    """

    def __init__(self, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, error: PictureError) -> "Refusal":
        """A picture that could not be decoded, as a refusal."""
        return cls(error.code, str(error))

    def object(self) -> dict[str, Any]:
        """What the answer says: `{"error": {"code": …, "message": …}}`."""
        return {"error": {"code": self.code, "message": self.message}}

    def response(self) -> Response:
        """The answer."""
        kind = KINDS[self.code]
        headers = {**({"Retry-After": str(RETRY_SECONDS)} if kind.retry else {}), **self.headers}
        content = json.dumps(self.object(), ensure_ascii=False).encode("utf-8", "replace")
        return Response(content, kind.status, headers, "application/json")

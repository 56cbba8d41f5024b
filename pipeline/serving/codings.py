"""Compressed bodies: what Content-Encoding names is undone as the body arrives, in small parts."""

import asyncio
import zlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.scheduling.errors import CLOSE, ApiError
from pipeline.scheduling.limits import Limits

CODINGS = {b"gzip": 31, b"x-gzip": 31, b"deflate": zlib.MAX_WBITS}
"""Codings that are decoded, and what zlib calls them."""
_PART = 65536
"""Decoded bytes that are held at one time: a body is never decoded beyond what has been counted."""


class Decompression:
    """Decodes the bodies of requests with gzip or deflate; the limits of bodies then hold for what comes out.

    It is a route's middleware: its errors are handled like those of an endpoint.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app = app
        self._limit = limits.many_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, with the body that its client compressed.

        Raises:
            ApiError: `unsupported_encoding`.
        """
        named = [value for name, value in scope["headers"] if name == b"content-encoding"]
        codings = [coding for value in named for part in value.split(b",") if (coding := part.strip().lower())]
        codings = [coding for coding in codings if coding != b"identity"]
        if not codings:
            await self._app(scope, receive, send)
            return
        if len(codings) > 1 or codings[0] not in CODINGS:
            text = b", ".join(codings)[:60].decode("latin-1")
            raise ApiError(
                "unsupported_encoding",
                f"Content-Encoding {text!r} found, expected gzip or deflate",
                {**CLOSE, "Accept-Encoding": "gzip, deflate"},
            )
        # The length that was declared is not that of the decoded body.
        headers = [pair for pair in scope["headers"] if pair[0] not in (b"content-encoding", b"content-length")]
        body = _Body(receive, codings[0], self._limit)
        await self._app({**scope, "headers": headers}, body.receive, send)


class _Body:
    """A compressed body, decoded as it is received."""

    def __init__(self, receive: Receive, coding: bytes, limit: int) -> None:
        self._receive = receive
        self._name = coding.decode()
        self._decoder = zlib.decompressobj(CODINGS[coding])
        self._limit = limit
        self._received = 0
        self._waiting = b""
        # Whether the decoder may hold more than it has given.
        self._full = False
        self._more = True

    async def receive(self) -> Message:
        """The next message, with decoded bytes in place of the compressed ones.

        Raises:
            ApiError: `bad_request`, they are malformed; `body_too_large`, more than any body may have.
        """
        if self._full or self._waiting:
            # Other requests have their turn.
            await asyncio.sleep(0)
        else:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._waiting = message.get("body", b"")
            self._more = message.get("more_body", False)
            self._received += len(self._waiting)
            if self._received > self._limit:
                raise ApiError(
                    "body_too_large", f"a body of more than {self._limit:,} bytes, expected at most that", CLOSE
                )
        part = self._decode()
        more = self._full or bool(self._waiting) or self._more
        if not more and not self._decoder.eof:
            raise self._malformed("ends early")
        return {"type": "http.request", "body": part, "more_body": more}

    def _decode(self) -> bytes:
        if self._decoder.eof and self._waiting:
            raise self._malformed("goes on after its end")
        if self._decoder.eof:
            return b""
        try:
            part = self._decoder.decompress(self._waiting, _PART)
        except zlib.error:
            raise self._malformed("is malformed") from None
        self._waiting = self._decoder.unconsumed_tail
        self._full = len(part) == _PART and not self._decoder.eof
        if self._decoder.unused_data:
            raise self._malformed("goes on after its end")
        return part

    def _malformed(self, reason: str) -> ApiError:
        return ApiError("bad_request", f"the {self._name} coding of the body {reason}", CLOSE)

"""What a request uploads: its body, within limits of size and time, and the pictures in it.

The event loop receives bodies and does nothing else: threads parse and decode them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from starlette.requests import ClientDisconnect, Request

from pipeline.core.decoding import Picture, PictureError, Shape, decode_for, judge
from pipeline.core.images import to_landscape
from pipeline.runtime import pages
from pipeline.runtime.pages import Page
from pipeline.scheduling.errors import CLOSE, ApiError
from pipeline.scheduling.limits import Limits
from pipeline.scheduling.pools import Pool
from pipeline.serving import arrays, forms

JSON = "application/json"
FORM = "multipart/form-data"
NPY = ("application/x-npy", "application/npy")
PLAIN = ("application/octet-stream", "application/x-www-form-urlencoded", "")
"""Types that say nothing; the second is what `curl --data-binary` sends by default."""
_ONE = (*PLAIN, FORM)
_MANY = (*PLAIN, FORM, *NPY, JSON)
LARGE = 1 << 22
"""Pixels of a picture above which it is decoded by itself: one of 16 megapixels takes up to 400 MB meanwhile."""
_SHORT = 65536
"""Bytes of a body with one picture. What reads a picture also decodes a short one; a long one holds something else."""
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(eq=False)
class Upload:
    """One picture, and the task whose model takes its size.

    Attributes:
        task: the name of the task.
        picture: decoded; None before `images` was called for the first time.
        content: its file; empty where there is none.
        values: uint8, its pixels as they were received, where there is no file.
    """

    task: str
    picture: Picture | None
    content: bytes = b""
    values: np.ndarray | None = None
    shapes: Mapping[str, Shape] | None = None

    def images(self) -> np.ndarray:
        """uint8 (1, height, width, channels), decoded if it was not.

        Raises:
            PictureError: it cannot be decoded.
        """
        return self.decoded().pixels[None]

    def decoded(self) -> Picture:
        """The picture.

        Raises:
            PictureError: it cannot be decoded.
        """
        if self.picture is None:
            task, self.picture = decode_for(self.content, self.shapes or {})
            if task != self.task:
                raise PictureError("damaged", "the picture has two sizes, expected one")
        return self.picture


@dataclass
class Buffer:
    """The bytes of bodies that one process holds at a time."""

    limit: int
    held: int = 0

    @contextmanager
    def hold(self) -> Iterator["Share"]:
        """A request's share of the buffer, released in the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self.held -= share.size


@dataclass
class Share:
    """What one request holds of a buffer."""

    buffer: Buffer
    size: int = 0

    def grow(self, size: int) -> None:
        """Hold more bytes.

        Raises:
            ApiError: `overloaded`, the buffer is full.
        """
        if self.buffer.held + size > self.buffer.limit:
            raise ApiError("overloaded", "the bodies of too many requests are held already; try again", CLOSE)
        self.buffer.held += size
        self.size += size


def declared_length(request: Request) -> int:
    """Bytes of the body as its head says; 0 where it does not say."""
    declared = request.headers.get("content-length", "0")
    return int(declared) if declared.isdecimal() else 0


async def receive_body(request: Request, share: Share, limit: int) -> bytes:
    """The whole body of a request.

    A declared length is checked before anything is received, a stream as it arrives. A body that exceeds the limit is
    dropped, and its connection is closed.

    Args:
        request: whose body has not been received.
        share: of the buffer; it grows with the body.
        limit: bytes of the body, at most.

    Raises:
        ApiError: `body_too_large` or `overloaded`.
        ClientDisconnect: the client went away.
    """
    if declared_length(request) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        if share.size + len(part) > limit:
            raise _too_large(limit)
        share.grow(len(part))
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> ApiError:
    return ApiError("body_too_large", f"a body of more than {limit:,} bytes, expected at most that", CLOSE)


def content_type(request: Request, *, many: bool) -> str:
    """The Content-Type without its parameters, in lower case; empty where there is none.

    Raises:
        ApiError: `unsupported_content_type`, it is not for a picture, or not for many.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in (_MANY if many else _ONE) or (kind.startswith("image/") and not many):
        return kind
    expected = (
        "multipart/form-data with PNG or JPEG files, application/octet-stream with X-Shape, application/x-npy or "
        "application/json"
        if many
        else "a PNG or JPEG as the body, or in multipart/form-data"
    )
    raise ApiError("unsupported_content_type", f"Content-Type {kind[:60]} found, expected {expected}", CLOSE)


async def decode_one(request: Request, kind: str, content: bytes, shapes: Mapping[str, Shape], pool: Pool) -> Upload:
    """The one picture of a request. A short PNG, whose size can be seen at once, is not decoded yet.

    Args:
        request: its headers.
        kind: its `content_type`.
        content: its body.
        shapes: height, width and channels of the pictures that are wanted, by task.
        pool: decodes what is not short.

    Raises:
        ApiError: there is none, or several.
        PictureError: it cannot be decoded.
    """
    found = await picture_of(request, kind, content, pool)
    if isinstance(found, np.ndarray):
        return _split(found[None], shapes, 1)[0]
    upload = _lazy(found, shapes)
    return await pool.run(_decode, found, shapes) if upload is None else upload


async def picture_of(request: Request, kind: str, content: bytes, pool: Pool) -> bytes | np.ndarray:
    """The one file of a request, not decoded; or its raw pixels, uint8 of the shape that its header gives.

    Args:
        request: its headers.
        kind: its `content_type`.
        content: its body.
        pool: parses a long form.

    Raises:
        ApiError: there is none, or several.
    """
    if kind == FORM:
        boundary = request.headers["content-type"]
        if len(content) > _SHORT:
            return (await pool.run(forms.files_of, boundary, content, 1))[0]
        return forms.files_of(boundary, content, 1)[0]
    if kind in PLAIN and (shape := request.headers.get(arrays.SHAPE_HEADER)) is not None:
        return arrays.from_raw(content, shape)
    return content


async def decode_known(found: bytes | np.ndarray, shapes: Mapping[str, Shape], pool: Pool) -> Upload | None:
    """A picture of a model's size; None of a picture that has another size, or whose size only a decoder can tell.

    Args:
        found: by `picture_of`.
        shapes: height, width and channels of the pictures that models read as they are, by task.
        pool: decodes what is not short.

    Raises:
        ApiError: raw pixels with channels are of another shape.
        PictureError: it cannot be decoded.
    """
    if isinstance(found, np.ndarray):
        known = found.ndim != 2 or pages.task_of((found.shape[1], found.shape[0]), shapes) is not None
        return _split(found[None], shapes, 1)[0] if known else None
    if (upload := _lazy(found, shapes)) is not None:
        return upload
    size = pages.declared_size(found)
    known = size is not None and pages.task_of(size, shapes) is not None
    return await pool.run(_decode, found, shapes) if known else None


def is_large(found: bytes | np.ndarray) -> bool:
    """Whether a picture found by `picture_of` may have more than `LARGE` pixels, as far as its head says."""
    if isinstance(found, np.ndarray):
        return False
    size = pages.declared_size(found)
    return size is None or size[0] * size[1] > LARGE


async def open_picture(found: bytes | np.ndarray, shapes: Mapping[str, Shape], pool: Pool) -> Upload | Page:
    """The lines of a picture; or the picture, where it has a model's size and `decode_known` could not tell.

    Args:
        found: by `picture_of`.
        shapes: as for `decode_known`.
        pool: decodes it and finds its lines.

    Raises:
        PictureError: it cannot be decoded.
    """
    if isinstance(found, np.ndarray):
        return await pool.run(pages.page_of, Picture(found))
    opened = await pool.run(pages.open_picture, found, shapes, lines=True)
    return opened if isinstance(opened, Page) else Upload(*opened, found)


def _lazy(content: bytes, shapes: Mapping[str, Shape]) -> Upload | None:
    """A short PNG of a model's size, not decoded yet; None of any other picture."""
    if len(content) > _SHORT or not content.startswith(_PNG):
        return None
    size = pages.declared_size(content)
    task = None if size is None else pages.task_of(size, shapes)
    return None if task is None else Upload(task, None, content, shapes=shapes)


async def decode_many(
    request: Request, kind: str, content: bytes, shapes: Mapping[str, Shape], limits: Limits, pool: Pool
) -> Sequence[Upload | ApiError]:
    """The pictures of a request, in order; in the place of one that cannot be decoded is its error.

    Args:
        request: its headers.
        kind: its `content_type`.
        content: its body.
        shapes: height, width and channels of the pictures that are wanted, by task.
        limits: of this process.
        pool: parses and decodes.

    Raises:
        ApiError: there is none, there are too many, or an array is not an array of pictures.
    """
    shape = request.headers.get(arrays.SHAPE_HEADER)
    if shape is not None:
        arrays.expect_shape(shape)
    boundary = request.headers.get("content-type", "")
    return await pool.run(_decode_many, kind, content, shapes, limits, shape, boundary)


def _decode_many(
    kind: str, content: bytes, shapes: Mapping[str, Shape], limits: Limits, shape: str | None, boundary: str
) -> Sequence[Upload | ApiError]:
    if kind == FORM:
        return [_attempt(file, shapes) for file in forms.files_of(boundary, content, limits.pictures)]
    most = limits.pictures
    if kind in NPY:
        pixels = arrays.from_npy(content)
    elif kind == JSON:
        most = limits.json_pictures
        arrays.expect_few(content, most, shapes.values())
        pixels = arrays.from_json(content, most)
    else:
        pixels = arrays.from_raw(content, shape)
    return _split(pixels, shapes, most)


def _decode(content: bytes, shapes: Mapping[str, Shape]) -> Upload:
    return Upload(*decode_for(content, shapes), content)


def _attempt(content: bytes, shapes: Mapping[str, Shape]) -> Upload | ApiError:
    try:
        return _decode(content, shapes)
    except PictureError as error:
        return ApiError.of(error)


def _split(pixels: np.ndarray, shapes: Mapping[str, Shape], most: int) -> list[Upload]:
    """The pictures of an array (n, height, width) or (n, height, width, channels); upright strips are turned."""
    given, received = pixels.shape, pixels
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    landscape = to_landscape(pixels)
    task = next((task for task, shape in shapes.items() if landscape.shape[1:] == shape), None)
    if task is None:
        wanted = "; ".join(",".join(map(str, shape)) for shape in shapes.values())
        raise ApiError(
            "wrong_array",
            f"the shape {','.join(map(str, given))} found, expected n pictures of {wanted} (height, width, channels)",
        )
    if len(landscape) > most:
        raise ApiError("too_many_pictures", f"{len(landscape):,} pictures found, expected at most {most:,}")
    notes = ("turned",) if landscape.shape != pixels.shape else ()
    return [
        Upload(task, Picture(picture, (*notes, *judged)), values=values)
        for values, picture, judged in zip(received, landscape, judge(landscape), strict=True)
    ]

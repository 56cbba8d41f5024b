"""Picture files: PNG and JPEG bytes from anywhere are decoded into what a model reads, or rejected in one line.

Training folders, `make read` and the service all decode here, so one file gives the same pixels everywhere. Whole
pixels are read whatever a file says beside them: of the ancillary chunks of a PNG and the application segments of a
JPEG, only those that decide how a picture looks are kept, and a damaged one counts as absent.

Nothing here changes the size or the polarity of a picture: models trained on MNIST read light ink on a dark background.
`decode_grey` reads pictures of any kind for ingestion (`pipeline.core.ingestion`), which decides the polarity itself.
"""

import io
import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.core.errors import DataError
from pipeline.core.images import INK, to_landscape

Shape = tuple[int, int, int]
"""Height, width and channels."""
FORMATS = ("PNG", "JPEG")
GREY_FORMATS = (*FORMATS, "WEBP")
"""What `decode_grey` reads. libwebp, like the other two, gives a size before anything is decoded."""
MAX_PIXELS = 4096 * 4096
"""A picture that declares more is rejected before anything is decoded."""
MAX_BYTES = 1 << 28
"""Most bytes of a picture's file; none of `MAX_PIXELS` needs more."""
BRIGHT = 128
"""A border of which more than half is at least this bright counts as a light background."""
BRIGHT_BORDER = "bright_border"
"""The note of a picture of digits with a light background."""
NOTHING_TO_SEE = "nothing_to_see"
"""The note of a picture without contrast: no channel spans `INK` grey levels. Its reading is never accepted."""
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_OTHERS = {
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
    b"%!PS": "EPS",
    b"\xc5\xd0\xd3\xc6": "EPS",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "SVG or other XML",
    b"\0\0\0\x0cjP": "JPEG 2000",
}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation; 1 and anything else is upright."""
_WITHOUT_COLOUR = ("1", "L", "LA", "I", "I;16", "I;16B")
_PAPER_AND_INK = 96
"""Grey levels between the lightest and the darkest that is opaque, from which these are paper and ink."""
_GREY, _RGB, _PALETTE = 0, 2, 3
"""Colour types of a PNG that can have a tRNS chunk."""
# Only the last of the bytes FF that fill up before a marker is matched. `\xff+` would be tried from each of them: a
# megabyte takes hours, in which no other thread runs.
_MARKER = re.compile(rb"\xff([^\xff])", re.DOTALL)
_END_OF_DATA = re.compile(rb"\xff([^\0\xff])", re.DOTALL)
"""In entropy-coded data FF is followed by 0, unless a marker begins."""
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ARITHMETIC = range(0xC9, 0xD0)
_SOI, _EOI, _SOS, _APP0, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE
_RESTARTS = range(0xD0, 0xD8)
_MAX_SCANS = 100
"""Encoders make about ten; thousands of them in a small file keep a decoder busy for minutes."""
_MAX_PARTS = 1 << 16
"""Chunks of a PNG, or segments of a JPEG: more are the work of a moment to send, and of seconds to walk through."""
_FILLER = bytes((37 * index + 11) % 251 for index in range(64))
"""Bytes that a decoder skips after complete data, and takes for data where some are missing."""


class PictureError(DataError):
    """Bytes that cannot be decoded as a picture.

    Attributes:
        code: `empty`, `not_a_picture`, `damaged`, `unsupported_format`, `too_many_pixels` or `wrong_size`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: uint8 (height, width, channels), or (height, width) of `decode_grey`.
        notes: how it was converted, in order: `exif_orientation` (turned as its EXIF entry says), `alpha_on_black`,
            `alpha_on_white`, `sixteen_bit` (the high byte of each value kept), `sixteen_bit_range` (16 bits scaled by
            the range that is used), `grey` (to luma, ITU-R 601), `rgb` (from grey, palette or CMYK), `turned` (an
            upright strip turned to landscape). Then what `judge` says of the pixels, except of `decode_grey`.
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()


def decode(data: bytes, shape: Shape) -> Picture:
    """Decode a PNG or JPEG of one size; see `decode_for`."""
    return decode_for(data, {"": shape})[1]


def decode_for(data: bytes, shapes: Mapping[str, Shape]) -> tuple[str, Picture]:
    """Decode a PNG or JPEG, recognised by its content alone, for the first of several shapes that its size fits.

    Args:
        data: the file's bytes.
        shapes: height, width and channels (1 or 3) that are wanted, by a name; a strip may be upright.

    Returns:
        The name of the shape, and the picture.

    Raises:
        PictureError: the bytes are not a picture, damaged, of another format, or of another size. The header gives the
            size: a picture that will be rejected is never decoded.
    """
    content = _content_of(data)
    with _opened(content, FORMATS) as image:
        name = _matching(image.size, shapes)
        pixels, notes = _pixels(image, content, shapes[name][2])
    landscape = to_landscape(pixels[None])
    if landscape.shape[1:] != pixels.shape:
        notes.append("turned")
    return name, Picture(landscape[0], (*notes, *judge(landscape)[0]))


def decode_any(data: bytes, channels: int, formats: Collection[str] = FORMATS) -> Picture:
    """Decode a picture of any size, by the rules of `decode_for`; an upright strip stays so.

    Args:
        data: the file's bytes.
        channels: 1 or 3.
        formats: those that are read, by Pillow's names: PNG, JPEG or BMP.

    Raises:
        PictureError: the bytes are not a picture, damaged, of another format, or have too many pixels.
    """
    content = _content_of(data)
    with _opened(content, formats) as image:
        _expect_few_pixels(image.size)
        pixels, notes = _pixels(image, content, channels)
    return Picture(pixels, (*notes, *judge(pixels[None])[0]))


def decode_grey(data: bytes) -> Picture:
    """Decode a picture of any size, depth and colour as grey pixels in which the ink stays visible.

    Transparent parts become white behind dark ink and black behind light ink (`_ground`). Values of 16 bits are divided
    by the smallest power of two that brings the largest into 8 bits, so 12 bits in 16 stay visible, and noise is not
    amplified to ink.

    Args:
        data: the file's bytes: PNG, JPEG, or WebP of one frame.

    Returns:
        The pixels, uint8 (height, width), as the picture is displayed, and the notes on its conversion.

    Raises:
        PictureError: the bytes are not a picture, damaged, of another format, or have too many pixels.
    """
    content = _content_of(data, GREY_FORMATS)
    with _opened(content, GREY_FORMATS) as image:
        _expect_few_pixels(image.size)
        # Of a JPEG in colour, libjpeg leaves out all but the luma.
        coloured = image.mode not in _WITHOUT_COLOUR
        try:
            _load(image, content, mode="L")
            return _as_grey(image, content, coloured)
        except PictureError:
            raise
        except Exception:  # As in `_pixels`.
            raise _damaged(content.kind) from None


def judge(images: np.ndarray) -> list[tuple[str, ...]]:
    """The notes on what is to be seen in each of uint8 (n, H, W, C).

    `nothing_to_see` where no channel spans `INK` grey levels: the picture has one value, it was transparent in the
    colour of its ground, or its contrast was in the low byte of 16 bits. Else, of one channel, `bright_border` where
    more than half of the outermost pixels are at least `BRIGHT`: dark ink on a light ground.
    """
    return [_judged(pixels) for pixels in images]


def _judged(pixels: np.ndarray) -> tuple[str, ...]:
    # The service does this for every picture: a few reductions without copies.
    if pixels.shape[-1] > 1:
        spread = pixels.max(axis=(0, 1)) - pixels.min(axis=(0, 1))
        return () if spread.max() >= INK else (NOTHING_TO_SEE,)
    rows = pixels[..., 0]
    if int(rows.max()) - int(rows.min()) < INK:
        return (NOTHING_TO_SEE,)
    sides = (rows[0], rows[-1], rows[1:-1, 0], rows[1:-1, -1])
    bright = sum(np.count_nonzero(side >= BRIGHT) for side in sides)
    return (BRIGHT_BORDER,) if 2 * bright > sum(map(len, sides)) else ()


@dataclass(frozen=True)
class _Content:
    """What a picture's file holds.

    Attributes:
        found: its bytes.
        data: the same for Pillow, without what is ignored.
        size: width and height as the header says; None where it was not found.
        depth: bits per sample.
        colour: colour type of a PNG.
        transparent: content of its tRNS chunk, b"" without a valid one.
        orientation: EXIF's, 1 to 8.
        lengthened: a JPEG with more bytes at the end of its data; b"" of another file.
        kind: the name of its format for an error.
    """

    found: bytes
    data: bytes
    size: tuple[int, int] | None = None
    depth: int = 8
    colour: int = 0
    transparent: bytes = b""
    orientation: int = 1
    lengthened: bytes = b""
    kind: str = "PNG or JPEG"


def _content_of(data: bytes, formats: Collection[str] = FORMATS) -> _Content:
    if not data:
        raise PictureError("empty", "no bytes found, expected a PNG or JPEG picture")
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(_JPEG):
        return _jpeg(data)
    if "WEBP" in formats and _is_webp(data):
        return _webp(data)
    if data.startswith(b"BM") and len(data) >= 26:
        bits = 2 if data[14] == 12 else 4
        width, height = (
            abs(int.from_bytes(data[at : at + bits], "little", signed=bits == 4)) for at in (18, 18 + bits)
        )
        return _Content(data, data, (width, height))
    return _Content(data, data)


def _png(data: bytes) -> _Content:
    """A PNG without its ancillary chunks, which Pillow would inflate: 64 MiB of texts fit into 60 KB.

    Two of them count: transparency, and the orientation in EXIF. A decoder may ignore a damaged one (PNG, section
    13.1), so one with a wrong checksum, length or place is absent. The rest of a damaged PNG stays.
    """
    kept, start, kind = [_PNG], len(_PNG), b""
    header, transparent, exif = b"", b"", b""
    seen: set[bytes] = set()
    parts = 0
    while kind != b"IEND" and start + 12 <= len(data):
        kind = data[start + 4 : start + 8]
        end = start + 12 + int.from_bytes(data[start : start + 4])
        if end > len(data):
            break
        parts += 1
        if parts > _MAX_PARTS:
            raise _damaged()
        if not (kind.isalpha() and kind[:1].islower()):
            kept.append(data[start:end])
            if kind == b"IHDR" and not header:
                header = data[start + 8 : end - 4]
        elif kind not in seen and zlib.crc32(data[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end]):
            if kind == b"eXIf":
                exif = data[start + 8 : end - 4]
            elif kind == b"tRNS" and b"IDAT" not in seen:
                transparent = data[start + 8 : end - 4]
        seen.add(kind)
        start = end
    kept.append(data[start:])
    if len(header) < 13:
        return _Content(data, b"".join(kept))
    size = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    depth, colour = header[8], header[9]
    return _Content(
        found=data,
        data=b"".join(kept),
        size=size,
        depth=depth,
        colour=colour,
        transparent=_valid_transparency(transparent, depth, colour),
        orientation=_orientation(exif),
    )


def _valid_transparency(content: bytes, depth: int, colour: int) -> bytes:
    """The content of a tRNS chunk, b"" where it does not fit the header (PNG, section 11.3.2.1)."""
    if colour == _PALETTE:
        return content[:256]
    samples = {_GREY: 1, _RGB: 3}.get(colour, 0)
    fits = len(content) == 2 * samples and all(value < 1 << depth for value in _values(content))
    return content if fits else b""


def _values(content: bytes) -> list[int]:
    return [int.from_bytes(content[at : at + 2]) for at in range(0, len(content), 2)]


def _jpeg(data: bytes) -> _Content:
    """A JPEG with those segments alone that decide its pixels, without what follows its end; one has an end.

    JFIF's and Adobe's segment stay, since they say what the components are. Pillow would parse the others: the EXIF
    block, profiles, and in an MPO the other pictures.

    libjpeg fills what is missing of truncated data with grey, and Pillow does not pass on its warning. So the bytes
    come twice, the second time with more of them before each marker that ends data: they change nothing but what is
    incomplete.
    """
    kept, longer = [_JPEG], [_JPEG]
    size, exif, at = None, b"", len(_JPEG)
    parts = scans = restarts = 0
    while parts < _MAX_PARTS and (found := _MARKER.search(data, at)):
        parts += 1
        marker, begin = found[1][0], found.end()
        if marker == _EOI:
            ends = [b"\xff\xd9"]
            return _Content(data, b"".join(kept + ends), size, 8, 0, b"", _orientation(exif), b"".join(longer + ends))
        if marker < 0xC0 or marker in _RESTARTS:
            # Between two segments: bytes of no meaning, which decoders skip.
            at = begin
            continue
        at = begin + int.from_bytes(data[begin : begin + 2])
        if marker == _SOI or at < begin + 2 or at > len(data):
            break
        content = data[begin + 2 : at]
        if marker in _SOF:
            size = _expect_supported(marker, content)
        if marker == _APP1 and content.startswith(b"Exif\0\0"):
            exif = exif or content
        if _decides(marker, content):
            kept.append(b"\xff" + data[begin - 1 : at])
            longer.append(kept[-1])
        if marker == _SOS:
            pieces, at = _data_of_scan(data, at)
            scans, restarts = scans + 1, restarts + len(pieces) - 1
            if scans > _MAX_SCANS:
                raise PictureError("unsupported_format", f"a JPEG of more than {_MAX_SCANS} scans found, expected few")
            # There cannot be more of them than blocks, and each comes with a filler.
            if size is None or restarts > size[0] * size[1]:
                break
            for piece in pieces:
                kept.append(piece)
                longer += [piece[:2], piece[2:], _FILLER] if piece[:1] == b"\xff" else [piece, _FILLER]
    raise _damaged()


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _webp(data: bytes) -> _Content:
    """A WebP with the chunks of its picture alone, its size as the header says (RFC 9649), and EXIF's orientation.

    Pillow would allocate the canvas of whatever size before it says how large it is.
    """
    kept: list[bytes] = []
    size, exif, at = None, b"", 12
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    for _ in range(_MAX_PARTS):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        start, at = at + 8, at + 8 + length + length % 2
        if start + length > end or len(kind) < 4:
            break
        content = data[start : start + length]
        if kind in (b"ANIM", b"ANMF") or (kind == b"VP8X" and content[:1] and content[0] & 2):
            raise PictureError("unsupported_format", "an animated WebP found, expected one frame")
        if kind == b"VP8X" and not kept and length >= 10:
            size = tuple(1 + int.from_bytes(content[index : index + 3], "little") for index in (4, 7))
            # Of EXIF, XMP and profiles nothing is left that its flags could announce.
            content = bytes([content[0] & 0x10]) + content[1:]
        elif kind == b"VP8L" and length >= 5:
            bits = int.from_bytes(content[1:5], "little")
            size = size or (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
        elif kind == b"VP8 " and length >= 10:
            size = size or tuple(int.from_bytes(content[index : index + 2], "little") & 0x3FFF for index in (6, 8))
        elif kind == b"EXIF":
            exif = exif or content
        if kind in (b"VP8X", b"VP8L", b"VP8 ", b"ALPH"):
            kept.append(kind + length.to_bytes(4, "little") + content + bytes(length % 2))
    if size is None:
        raise _damaged("WebP")
    body = b"WEBP" + b"".join(kept)
    whole = b"RIFF" + len(body).to_bytes(4, "little") + body
    return _Content(data, whole, (size[0], size[1]), orientation=_orientation(exif), kind="WebP")


def _decides(marker: int, content: bytes) -> bool:
    """Whether a segment of a JPEG decides its pixels."""
    # As long as libjpeg expects them to be; it ignores shorter ones.
    if marker == _APP0:
        return content.startswith(b"JFIF\0") and len(content) >= 14
    return marker < _APP0 or (marker == _APP14 and content.startswith(b"Adobe") and len(content) >= 12)


def _data_of_scan(data: bytes, start: int) -> tuple[list[bytes], int]:
    """The data of a scan, in one piece for each restart interval with its marker in front, and where they end."""
    pieces: list[bytes] = []
    at = start
    while found := _END_OF_DATA.search(data, at):
        piece = data[start : found.start()].rstrip(b"\xff")
        if found[1][0] not in _RESTARTS:
            return [*pieces, piece], found.start()
        pieces.append(piece)
        start, at = found.end() - 2, found.end()
    raise _damaged()


def _expect_supported(marker: int, frame: bytes) -> tuple[int, int] | None:
    """Width and height in the header of a JPEG's frame; None where it is incomplete."""
    if len(frame) < 6:
        return None
    bits, components = frame[0], frame[5]
    unsupported = (
        f"a JPEG of {bits} bits"
        if bits != 8
        else "an arithmetic-coded JPEG"
        if marker in _ARITHMETIC
        else f"a JPEG of {components} components"
        if components not in (1, 3, 4)
        else ""
    )
    if unsupported:
        raise PictureError(
            "unsupported_format",
            f"{unsupported} found, expected 8 bits, Huffman coding and 1, 3 or 4 components",
        )
    return int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3])


def _orientation(exif: bytes) -> int:
    """The orientation in an EXIF block, 1 to 8; 1 where there is none, or none that is valid.

    Pillow's parser warns on standard error of each damaged block, and reads orientations from other places as well.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    if exif[:4] not in (b"II*\0", b"MM\0*"):
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], "little" if exif[:1] == b"I" else "big")

    first = number(4, 4)
    for entry in range(first + 2, min(first + 2 + 12 * number(first, 2), len(exif) - 11), 12):
        if number(entry, 2) == _ORIENTATION:
            short_or_long = {3: 2, 4: 4}.get(number(entry + 2, 2), 0)
            value = number(entry + 8, short_or_long)
            return value if number(entry + 4, 4) == 1 and 1 <= value <= 8 else 1
    return 1


def _opened(content: _Content, formats: Collection[str]) -> Image.Image:
    if content.size is not None:
        # Pillow would warn, or raise, of a size that is too large.
        _expect_few_pixels(content.size)
    try:
        return Image.open(io.BytesIO(content.data), formats=tuple(formats))
    except UnidentifiedImageError:
        raise _unidentified(content.found, formats) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(
            "too_many_pixels", f"more than {MAX_PIXELS:,} pixels declared, expected at most that"
        ) from None
    except Exception:
        raise _damaged(content.kind) from None


def _expect_few_pixels(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise PictureError(
            "too_many_pixels", f"{width}×{height} pixels declared, expected at most {MAX_PIXELS:,} in all"
        )


def _matching(size: tuple[int, int], shapes: Mapping[str, Shape]) -> str:
    width, height = size
    wanted = "; ".join(_named(shape) for shape in shapes.values())
    _expect_few_pixels(size)
    if min(width, height) < 2:
        raise PictureError("not_a_picture", f"a picture of {width}×{height} pixels found, expected {wanted}")
    # Landscape or upright: an EXIF orientation or an upright strip may still be turned, and both keep this set.
    matching = [name for name, shape in shapes.items() if {width, height} == {shape[0], shape[1]}]
    if not matching:
        raise PictureError(
            "wrong_size", f"a picture of {width}×{height} pixels found, expected {wanted}; it is not resized"
        )
    return matching[0]


def _named(shape: Shape) -> str:
    height, width = shape[:2]
    return f"{width}×{height} (width×height)" + (f" or {height}×{width}" if height != width else "")


def _pixels(image: Image.Image, content: _Content, channels: int) -> tuple[np.ndarray, list[str]]:
    """uint8 (height, width, channels), and a note for each conversion."""
    try:
        _load(image, content)
        return _convert(image, content, channels)
    except PictureError:
        raise
    except Exception:  # Pillow's decoders raise OSError, SyntaxError, struct.error and others.
        raise _damaged() from None


def _load(image: Image.Image, content: _Content, mode: str | None = None) -> None:
    """Decode all pixels, of a JPEG in colour as `mode`.

    Raises:
        PictureError: some are missing, or what Pillow keeps of them is not enough.
        Exception: of many kinds, by Pillow.
    """
    if content.depth == 16 and content.colour == _RGB and content.transparent:
        # Pillow keeps the high bytes alone, by which other colours would become transparent as well.
        raise PictureError(
            "unsupported_format", "a transparent colour of 16 bits found, expected an alpha channel or 8 bits"
        )
    image.draft(mode, None)
    image.load()
    if content.lengthened:
        with Image.open(io.BytesIO(content.lengthened), formats=("JPEG",)) as longer:
            longer.draft(mode, None)
            if image.tobytes() != longer.tobytes():
                raise _damaged()


def _as_grey(image: Image.Image, content: _Content, coloured: bool) -> Picture:
    notes = []
    if content.orientation in _TURNS:
        image = image.transpose(_TURNS[content.orientation])
        notes.append("exif_orientation")
    if content.transparent:
        opaque = _opaque(image, content)
    elif image.mode in ("RGBA", "LA"):
        opaque = np.asarray(image.getchannel("A"))
    else:
        opaque = None
    if image.mode.startswith("I"):
        values = np.asarray(image)
    else:
        # By way of RGB, as in `_convert`.
        values = np.asarray(image if image.mode == "L" else image.convert("RGB").convert("L"))
    if content.depth == 16:
        # Grey has both bytes, anything else the high byte.
        bits = int(values.max()).bit_length()
        full = (1 << max(bits, 8 if values.dtype != np.uint8 else 1)) - 1
        values = (values.astype(np.uint32) * 255 // full).astype(np.uint8)
        notes.append("sixteen_bit_range")
    if opaque is not None and opaque.min() < 255:
        ground = _ground(values, opaque)
        notes.append("alpha_on_white" if ground else "alpha_on_black")
        values = _composited(values, opaque, ground)
    if coloured:
        notes.append("grey")
    return Picture(np.array(values, np.uint8), tuple(notes))


def _ground(values: np.ndarray, opaque: np.ndarray) -> int:
    """The grey level, 0 or 255, that keeps the ink of a transparent picture visible.

    Args:
        values: uint8 (height, width).
        opaque: uint8 (height, width), 255 for opaque.

    Returns:
        Where less than half is opaque and has about one value, that is ink, and the ground is its contrary. Else the
        paper is opaque as well, and the ground is like most of what is visible.
    """
    visible = opaque >= 128
    seen = values[visible]
    if not len(seen):
        return 255
    low, middle, high = np.percentile(seen, (2, 50, 98))
    is_paper = 2 * len(seen) > visible.size or high - low >= _PAPER_AND_INK
    return 255 if (middle >= 128) == is_paper else 0


def _composited(values: np.ndarray, opaque: np.ndarray, ground: int) -> np.ndarray:
    share = opaque.astype(np.uint16)
    return ((values * share + np.uint16(ground) * (255 - share) + 127) // 255).astype(np.uint8)


def _convert(image: Image.Image, content: _Content, channels: int) -> tuple[np.ndarray, list[str]]:
    """Apply EXIF orientation, composite on black, keep the high byte of 16 bits, make grey of colour or the reverse."""
    notes = []
    if content.orientation in _TURNS:
        image = image.transpose(_TURNS[content.orientation])
        notes.append("exif_orientation")
    if content.transparent or image.has_transparency_data:
        notes.append("alpha_on_black")
    if content.depth == 16:
        notes.append("sixteen_bit")
    opaque = _opaque(image, content) if content.transparent else None
    if image.mode.startswith("I"):
        # Of grey 16 bits Pillow keeps both bytes.
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if opaque is not None or image.has_transparency_data:
        drawn = image.convert("RGB").convert("RGBA") if opaque is not None else image.convert("RGBA")
        if opaque is not None:
            drawn.putalpha(Image.fromarray(opaque))
        image = Image.alpha_composite(Image.new("RGBA", drawn.size, (0, 0, 0, 255)), drawn).convert("RGB")
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        notes.append("grey" if mode == "L" else "rgb")
        # By way of RGB: luma straight from a palette or CMYK is rounded in another way.
        image = image.convert("RGB").convert(mode)
    return np.asarray(image).reshape(image.height, image.width, channels).copy(), notes


def _opaque(image: Image.Image, content: _Content) -> np.ndarray:
    """uint8 (height, width): what a tRNS chunk says of each pixel, 255 for opaque.

    Pillow compares the values of fewer than eight bits after scaling the pixels, and so never finds them.
    """
    samples = np.asarray(image)
    if content.colour == _PALETTE:
        table = np.full(256, 255, np.uint8)
        table[: len(content.transparent)] = np.frombuffer(content.transparent, np.uint8)
        return table[samples]
    values = np.array(_values(content.transparent))
    if content.depth in (2, 4):
        values *= 255 // ((1 << content.depth) - 1)
    same = (samples.reshape(*samples.shape[:2], -1) == values).all(axis=-1)
    return np.where(same, 0, 255).astype(np.uint8)


def _unidentified(data: bytes, formats: Collection[str]) -> PictureError:
    expected = f"{', '.join(tuple(formats)[:-1])} or {tuple(formats)[-1]}"
    start = data[:16].lstrip()
    for magic, name in _OTHERS.items():
        if name not in formats and start.startswith(magic):
            return PictureError("unsupported_format", f"{name} found, expected {expected}")
    if _is_webp(data) and "WEBP" not in formats:
        return PictureError("unsupported_format", f"WebP found, expected {expected}")
    if data[4:8] == b"ftyp":
        return PictureError("unsupported_format", f"AVIF, HEIC or a video found, expected {expected}")
    if data.startswith((b"\x89PNG", _JPEG)) or ("BMP" in formats and data.startswith(b"BM")):
        return _damaged()
    return PictureError("not_a_picture", f"not a picture, expected {expected}")


def _damaged(kind: str = "PNG or JPEG") -> PictureError:
    return PictureError("damaged", f"the picture is truncated or damaged, expected a whole {kind}")

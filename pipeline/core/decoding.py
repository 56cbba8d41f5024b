"""Picture files: PNG and JPEG bytes from anywhere are decoded into what a model reads, or rejected in one line.

Nothing here changes the size or the polarity of a picture: models trained on MNIST read light ink on a dark background.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.core.errors import DataError
from pipeline.core.images import to_landscape

Shape = tuple[int, int, int]
"""Height, width and channels."""
FORMATS = ("PNG", "JPEG")
MAX_PIXELS = 16_000_000
"""A picture that declares more is rejected before anything is decoded."""
_ORIENTATION = 0x0112
_PNG = b"\x89PNG\r\n\x1a\n"
_ANCILLARY = (b"tRNS", b"eXIf")
"""The ancillary chunks of a PNG that are read; a decoder needs none of them."""
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
        pixels: uint8 (height, width, channels).
        notes: how it was converted, in order: `exif_orientation` (turned as its EXIF entry says), `sixteen_bit` (the
            high byte of each grey value kept; Pillow itself does so for colours), `alpha_on_black`, `grey` (to luma,
            ITU-R 601), `rgb` (from grey, palette or CMYK), `turned` (an upright strip turned to landscape).
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()


def decode(data: bytes, shape: Shape) -> Picture:
    """Decode a PNG or JPEG of one size; see `decode_for`."""
    return decode_for(data, {"": shape})[1]


def decode_for(data: bytes, shapes: Mapping[str, Shape]) -> tuple[str, Picture]:
    """Decode a PNG or JPEG, recognised by its content alone, for the first of several shapes that its size fits.

    Colour profiles, gamma and texts are ignored; of an animated PNG the first frame is read. The EXIF orientation of a
    PNG is that of its eXIf chunk.

    Args:
        data: the file's bytes.
        shapes: height, width and channels (1 or 3) that are wanted, by a name; a strip may be upright.

    Returns:
        The name of the shape, and the picture.

    Raises:
        PictureError: the bytes are not a picture, damaged, of another format, or of another size. The header gives the
            size: a picture that will be rejected is never decoded.
    """
    if not data:
        raise PictureError("empty", "no bytes found, expected a PNG or JPEG picture")
    try:
        image = Image.open(io.BytesIO(_without_ballast(data)), formats=FORMATS)
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(
            "too_many_pixels", f"more than {MAX_PIXELS:,} pixels declared, expected at most that"
        ) from None
    except Exception:
        raise _damaged() from None
    with image:
        name = _matching(image.size, shapes)
        try:
            pixels, notes = convert(image, channels=shapes[name][2])
        except Exception:  # Pillow's decoders raise OSError, SyntaxError, struct.error and others.
            raise _damaged() from None
    landscape = to_landscape(pixels[None])[0]
    if landscape.shape != pixels.shape:
        notes.append("turned")
    return name, Picture(landscape, tuple(notes))


def _matching(size: tuple[int, int], shapes: Mapping[str, Shape]) -> str:
    width, height = size
    wanted = "; ".join(_named(shape) for shape in shapes.values())
    if width * height > MAX_PIXELS:
        raise PictureError(
            "too_many_pixels", f"{width}×{height} pixels declared, expected at most {MAX_PIXELS:,} in all"
        )
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


def convert(image: Image.Image, channels: int) -> tuple[np.ndarray, list[str]]:
    """Convert an opened picture of any mode to uint8 (height, width, channels), for serving and for folders alike.

    EXIF orientation is applied, transparency is composited on black, of 16 bits the high byte is kept, colour becomes
    luma (ITU-R 601) where one channel is wanted. Exceptions of Pillow's decoders pass through.

    Returns:
        The pixels, and a note for each conversion that was made.
    """
    notes = []
    if image.getexif().get(_ORIENTATION) in range(2, 9):
        image = ImageOps.exif_transpose(image)
        notes.append("exif_orientation")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.uint16)
        transparent = image.info.get("transparency")
        if transparent is not None:
            values = np.where(values == transparent, 0, values)
            notes.append("alpha_on_black")
        image = Image.fromarray((values >> 8).astype(np.uint8))
        notes.append("sixteen_bit")
    elif image.has_transparency_data:
        drawn = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", drawn.size, (0, 0, 0, 255)), drawn).convert("RGB")
        notes.append("alpha_on_black")
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        notes.append("grey" if mode == "L" else "rgb")
    return np.asarray(image.convert(mode)).reshape(image.height, image.width, channels).copy(), notes


def _without_ballast(data: bytes) -> bytes:
    """A PNG without the chunks that are ignored, which Pillow would inflate: 64 MiB of texts fit into 60 KB.

    Other bytes come back as they are, and so does the rest of a damaged PNG.
    """
    if not data.startswith(_PNG):
        return data
    kept, start, kind = [_PNG], len(_PNG), b""
    while kind != b"IEND" and start + 12 <= len(data):
        kind = data[start + 4 : start + 8]
        end = start + 12 + int.from_bytes(data[start : start + 4])
        if end > len(data):
            break
        if not (kind.isalpha() and kind[:1].islower()) or kind in _ANCILLARY:
            kept.append(data[start:end])
        start = end
    return b"".join([*kept, data[start:]])


def _unidentified(data: bytes) -> PictureError:
    start = data[:16].lstrip()
    for magic, name in _OTHERS.items():
        if start.startswith(magic):
            return PictureError("unsupported_format", f"{name} found, expected PNG or JPEG")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return PictureError("unsupported_format", "WebP found, expected PNG or JPEG")
    if data[4:8] == b"ftyp":
        return PictureError("unsupported_format", "AVIF, HEIC or a video found, expected PNG or JPEG")
    if data.startswith((b"\x89PNG", b"\xff\xd8")):
        return _damaged()
    return PictureError("not_a_picture", "not a picture, expected PNG or JPEG")


def _damaged() -> PictureError:
    return PictureError("damaged", "the picture is truncated or damaged, expected a whole PNG or JPEG")

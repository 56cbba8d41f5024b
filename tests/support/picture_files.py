"""One picture in many encodings: every kind of PNG and JPEG, and what may be in a file beside the pixels."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 28


@dataclass(frozen=True)
class Encoding:
    """A file, and what should become of it.

    Attributes:
        name: what is special about it.
        data: its bytes.
        pixels: uint8 (28, 28) that it holds.
        tolerance: how far a pixel may be off, more than 0 for JPEG.
        notes: that the conversion makes, for a model of grey pictures.
        code: of the error of the service and `make read`; "" if they read it.
        refused_by_folders: whether a folder refuses it as well.
    """

    name: str
    data: bytes
    pixels: np.ndarray
    tolerance: int = 0
    notes: tuple[str, ...] = ()
    code: str = ""
    refused_by_folders: bool = True


def picture() -> np.ndarray:
    """uint8 (28, 28), of no symmetry, with the values 0, 85, 170 and 255 of two bits."""
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    drawn[4:24, 6:9] = 255
    drawn[4:8, 6:20] = 170
    drawn[14:16, 9:14] = 85
    drawn[20:22, 18:25] = 255
    return drawn


GREY = picture()
BILEVEL = np.where(GREY > 0, 255, 0).astype(np.uint8)
EVERY_PIXEL = np.ones((SIDE, SIDE), np.uint8)


def chunk(kind: bytes, content: bytes, checksum: int = 0) -> bytes:
    """A chunk of a PNG; another `checksum` than 0 makes it a wrong one."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content) ^ checksum)


def png(
    samples: np.ndarray,
    depth: int,
    colour: int,
    *before: bytes,
    after: bytes = b"",
    interlaced: bool = False,
    cut: int = 0,
    idat: int = 1 << 20,
    idat_checksum: int = 0,
    end: bytes | None = None,
    beyond: bytes = b"",
) -> bytes:
    """A PNG of samples (h, w) or (h, w, channels), with chunks `before` its data and `after` them.

    Args:
        cut: bytes left out at the end of the compressed data.
        idat: most bytes of an IDAT chunk.
        idat_checksum: of each IDAT chunk, 0 for a right one.
        end: in place of the IEND chunk.
        beyond: bytes that follow the compressed data within the last IDAT chunk.
    """
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in starts] if interlaced else [samples]
    rows = b"".join(b"\0" + _packed(row, depth) for each in passes for row in each if row.size)
    data = zlib.compress(rows)
    data = data[: len(data) - cut] + beyond
    parts = [chunk(b"IDAT", data[at : at + idat], idat_checksum) for at in range(0, len(data), idat)]
    end = chunk(b"IEND", b"") if end is None else end
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join([*before, *parts]) + after + end


def _packed(row: np.ndarray, depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = np.unpackbits(row.astype(np.uint8).ravel()[:, None], axis=1)[:, 8 - depth :]
    return np.packbits(bits.ravel()).tobytes()


def jpeg(image: Image.Image, **options: object) -> bytes:
    """A JPEG of good quality."""
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 95, "subsampling": 0} | options)
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def exif(orientation: int, kind: int = 3, count: int = 1, order: str = ">") -> bytes:
    """An EXIF block with an orientation."""
    start = b"MM\0*" if order == ">" else b"II*\0"
    value = struct.pack(order + {3: "HH", 4: "I", 2: "4s"}.get(kind, "I"), *_value(orientation, kind))
    entry = struct.pack(order + "HHI", 0x0112, kind, count) + value
    return start + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def _value(orientation: int, kind: int) -> tuple[object, ...]:
    return {3: (orientation, 0), 2: (b"abcd",)}.get(kind, (orientation,))


ORIENTED = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.T,
    6: np.rot90,
    7: lambda pixels: pixels[::-1, ::-1].T,
    8: lambda pixels: np.rot90(pixels, -1),
}
"""How a picture lies in a file with an EXIF orientation."""
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:D xmlns:r="r" xmlns:tiff="t" tiff:Orientation="3"/></x:xmpmeta>'
BOMB = zlib.compress(bytes(1 << 21), 9)


def of_png() -> Iterator[Encoding]:
    """PNG of every kind, and with every ancillary chunk, valid or not."""
    rgb = np.repeat(GREY[..., None], 3, axis=2)
    rgba = np.concatenate([rgb, np.full((SIDE, SIDE, 1), 255, np.uint8)], axis=2)
    behind = np.full_like(GREY, 255)
    ink = np.stack([behind, GREY], axis=-1)
    levels = GREY // 85
    palette = chunk(b"PLTE", bytes(np.repeat([0, 85, 170, 255], 3).tolist()))
    opaque = ("alpha_on_black",)

    yield Encoding("grey 1", png(BILEVEL // 255, 1, 0), BILEVEL, notes=("grey",))
    for depth in (2, 4, 8):
        samples = levels * ((2**depth - 1) // 3)
        yield Encoding(f"grey {depth}", png(samples, depth, 0), GREY)
        yield Encoding(f"grey {depth} interlaced", png(samples, depth, 0, interlaced=True), GREY)
        clear = chunk(b"tRNS", struct.pack(">H", 2**depth - 1))
        black = np.where(GREY == 255, 0, GREY)
        yield Encoding(f"grey {depth}, white transparent", png(samples, depth, 0, clear), black, 0, (*opaque, "grey"))
    clear = chunk(b"tRNS", struct.pack(">H", 0))
    yield Encoding("grey 1, black transparent", png(BILEVEL // 255, 1, 0, clear), BILEVEL, 0, (*opaque, "grey"))
    yield Encoding(
        "palette 1", png(BILEVEL // 255, 1, 3, chunk(b"PLTE", bytes(3) + b"\xff" * 3)), BILEVEL, 0, ("grey",)
    )
    for depth in (2, 4, 8):
        yield Encoding(f"palette {depth}", png(levels, depth, 3, palette), GREY, 0, ("grey",))
    yield Encoding("palette interlaced", png(levels, 4, 3, palette, interlaced=True), GREY, 0, ("grey",))
    # A ground of any colour that is transparent, and a table shorter or longer than the palette.
    ground = chunk(b"PLTE", b"\x12\xff\x34" + bytes(np.repeat([85, 170, 255], 3).tolist()))
    for name, table in (("short", b"\0"), ("whole", b"\0\xff\xff\xff"), ("long", b"\0" + b"\xff" * 300)):
        data = png(levels, 8, 3, ground, chunk(b"tRNS", table))
        yield Encoding(f"palette, {name} transparency", data, GREY, 0, (*opaque, "grey"))
    half = np.where(GREY == 85, round(85 * 128 / 255), GREY).astype(np.uint8)
    data = png(levels, 2, 3, palette, chunk(b"tRNS", b"\xff\x80\xff\xff"))
    yield Encoding("palette, half transparent", data, half, 1, (*opaque, "grey"))
    yield Encoding("grey and alpha 8", png(ink, 8, 4), GREY, 0, (*opaque, "grey"))
    yield Encoding("grey and alpha 16", png(ink.astype(int) * 257, 16, 4), GREY, 0, (*opaque, "sixteen_bit", "grey"))
    yield Encoding("rgb 8", png(rgb, 8, 2), GREY, 0, ("grey",))
    yield Encoding("rgb 8 interlaced", png(rgb, 8, 2, interlaced=True), GREY, 0, ("grey",))
    yield Encoding("rgb 16", png(rgb.astype(int) * 257, 16, 2), GREY, 0, ("sixteen_bit", "grey"))
    yield Encoding("rgba 8", png(rgba, 8, 6), GREY, 0, (*opaque, "grey"))
    yield Encoding("rgba 16", png(rgba.astype(int) * 257, 16, 6), GREY, 0, (*opaque, "sixteen_bit", "grey"))
    magenta = np.where(GREY[..., None] == 0, np.uint8([255, 0, 255]), rgb)
    clear = chunk(b"tRNS", struct.pack(">HHH", 255, 0, 255))
    yield Encoding("rgb 8, a transparent colour", png(magenta, 8, 2, clear), GREY, 0, (*opaque, "grey"))
    clear = chunk(b"tRNS", struct.pack(">HHH", 0xFFFF, 0, 0xFFFF))
    data = png(magenta.astype(int) * 257, 16, 2, clear)
    yield Encoding("rgb 16, a transparent colour", data, GREY, code="unsupported_format")
    deep = GREY.astype(int) * 257
    yield Encoding("grey 16", png(deep, 16, 0), GREY, notes=("sixteen_bit",))
    # 255.0 and 255.9 have one high byte; the transparent value is compared with both.
    near = np.where(GREY == 0, 0xFF00, deep)
    data = png(near, 16, 0, chunk(b"tRNS", b"\xff\0"))
    yield Encoding("grey 16, a transparent value", data, GREY, notes=(*opaque, "sixteen_bit", "grey"))

    broken = {
        "too short": chunk(b"tRNS", b"\0"),
        "too long": chunk(b"tRNS", bytes(6)),
        "empty": chunk(b"tRNS", b""),
        "beyond the depth": chunk(b"tRNS", b"\x01\xff"),
        "of a wrong checksum": chunk(b"tRNS", b"\0\xff", 1),
    }
    for name, wrong in broken.items():
        yield Encoding(f"tRNS {name}", png(GREY, 8, 0, wrong), GREY)
    yield Encoding("tRNS behind the data", png(GREY, 8, 0, after=chunk(b"tRNS", b"\0\xff")), GREY)
    yield Encoding("tRNS beside alpha", png(rgba, 8, 6, chunk(b"tRNS", bytes(6))), GREY, 0, (*opaque, "grey"))
    ignored = {
        "gAMA": struct.pack(">I", 20_000),
        "gAMA 0": bytes(4),
        "cHRM": bytes(32),
        "sRGB": b"\x03",
        "iCCP": b"name\0\0" + zlib.compress(b"no profile"),
        "iCCP, damaged": b"name\0\0\xff\xff",
        "iCCP, a bomb": b"name\0\0" + BOMB,
        "iCCP, empty": b"",
        "sBIT": b"\x01",
        "bKGD": b"\0\xff",
        "hIST": bytes(3),
        "pHYs": bytes(9),
        "pHYs, short": b"\1",
        "tIME": b"\xff" * 7,
        "tEXt": b"\xff\xfe\0\xff",
        "zTXt, damaged": b"key\0\0damaged",
        "zTXt, a bomb": b"key\0\0" + BOMB,
        "zTXt of EXIF": b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 34\n" + exif(3).hex().encode()),
        "iTXt of XMP": b"XML:com.adobe.xmp\0\0\0\0\0" + XMP,
        "iTXt, damaged": b"\0\0\1\1",
        "acTL, damaged": b"\0",
        "acTL of no frames": bytes(8),
        "fcTL, damaged": b"\xff",
        "vpAg": b"\0",
    }
    for name, content in ignored.items():
        yield Encoding(name, png(GREY, 8, 0, chunk(name[:4].encode(), content)), GREY)
        yield Encoding(f"{name}, wrong checksum", png(GREY, 8, 0, chunk(name[:4].encode(), content, 1)), GREY)
    for orientation, laid in ORIENTED.items():
        data = png(laid(GREY), 8, 0, chunk(b"eXIf", exif(orientation)))
        notes = () if orientation == 1 else ("exif_orientation",)
        yield Encoding(f"eXIf {orientation}", data, GREY, 0, notes)
    data = png(ORIENTED[6](GREY), 8, 0, after=chunk(b"eXIf", b"Exif\0\0" + exif(6, 4, order="<")))
    yield Encoding("eXIf behind the data, long and little-endian", data, GREY, 0, ("exif_orientation",))
    wrong_exif = {
        "0": exif(0),
        "9": exif(9),
        "a text": exif(3, 2),
        "of count 2": exif(3, count=2),
        "garbage": bytes(range(256)),
        "endless": b"MM\0*\0\0\0\x08\xff\xff",
        "far away": b"II*\0\xff\xff\xff\xff",
        "empty": b"",
    }
    for name, content in wrong_exif.items():
        yield Encoding(f"eXIf {name}", png(GREY, 8, 0, chunk(b"eXIf", content)), GREY)
    yield Encoding("eXIf, wrong checksum", png(GREY, 8, 0, chunk(b"eXIf", exif(3), 1)), GREY)
    control = struct.pack(">IIIIIHHBB", 0, SIDE, SIDE, 0, 0, 1, 1, 0, 0)
    other = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 1, SIDE, SIDE, 0, 0, 1, 1, 0, 0))
    other += chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(bytes(29 * SIDE)))
    frames = chunk(b"acTL", struct.pack(">II", 2, 0))
    yield Encoding("APNG", png(GREY, 8, 0, frames, chunk(b"fcTL", control), after=other), GREY)
    frames = chunk(b"acTL", struct.pack(">II", 1, 0))
    yield Encoding("APNG, its picture no frame", png(GREY, 8, 0, frames, after=other), GREY)
    small = struct.pack(">IIIIIHHBB", 0, 3, 3, 99, 99, 1, 0, 2, 1)
    yield Encoding("APNG, a frame of another size", png(GREY, 8, 0, frames, chunk(b"fcTL", small)), GREY)
    yield Encoding("trailing garbage", png(GREY, 8, 0) + b"garbage" * 999, GREY)
    yield Encoding("another PNG behind it", png(GREY, 8, 0) * 2, GREY)
    yield Encoding("no IEND", png(GREY, 8, 0, end=b""), GREY)
    yield Encoding("many IDAT", png(GREY, 8, 0, idat=1), GREY)
    yield Encoding("IDAT with more than the data", png(GREY, 8, 0, beyond=b"more"), GREY)
    yield Encoding("IDAT, wrong checksum", png(GREY, 8, 0, idat_checksum=1), GREY)
    yield Encoding("IDAT cut", png(GREY, 8, 0, cut=20), GREY, code="damaged")
    yield Encoding("cut in its data", png(GREY, 8, 0)[:-40], GREY, code="damaged")
    yield Encoding("header alone", png(GREY, 8, 0)[:33], GREY, code="damaged")
    yield Encoding("a depth of 3", png(GREY // 85, 3, 0), GREY, code="damaged")


def of_jpeg() -> Iterator[Encoding]:
    """JPEG of every kind, and with every segment, valid or not."""
    grey = Image.fromarray(GREY)
    plain = jpeg(grey)
    many = {
        "baseline": plain,
        "progressive": jpeg(grey, progressive=True),
        "optimised": jpeg(grey, optimize=True),
        "restarts": jpeg(grey, restart_marker_blocks=1),
        "restarts, progressive": jpeg(grey, restart_marker_rows=1, progressive=True),
        "trailing garbage": plain + b"garbage\xff\xd9\xff\xda" * 99,
        "MPO": plain[:2]
        + segment(0xE2, b"MPF\0" + _multi_picture(len(plain)))
        + plain[2:]
        + jpeg(Image.new("L", (9, 9))),
        "MPO, damaged": plain[:2] + segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff") + plain[2:],
        "EXIF, garbage": plain[:2] + segment(0xE1, b"Exif\0\0" + bytes(range(256))) + plain[2:],
        "EXIF, a text for its resolution": plain[:2] + segment(0xE1, b"Exif\0\0" + exif(3, 2)) + plain[2:],
        "XMP": plain[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP) + plain[2:],
        "ICC, damaged": plain[:2] + segment(0xE2, b"ICC_PROFILE\0\xff\xff") + plain[2:],
        "Photoshop, damaged": plain[:2] + segment(0xED, b"Photoshop 3.0\x008BIM\xff\xff") + plain[2:],
        "a comment": plain[:2] + segment(0xFE, b"\xff\xd9\xff\xda") + plain[2:],
        "no JFIF": plain[:2] + plain[20:],
        "JFIF, damaged": plain[:2] + segment(0xE0, b"JFIF") + plain[20:],
        "fill bytes": plain[:20] + b"\xff" * 50 + plain[20:],
        "Adobe": plain[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\0") + plain[2:],
        "Adobe, damaged": plain[:2] + segment(0xEE, b"Adobe") + plain[2:],
    }
    for name, data in many.items():
        yield Encoding(f"jpeg, {name}", data, GREY, 32)
    for orientation, laid in ORIENTED.items():
        block = segment(0xE1, b"Exif\0\0" + exif(orientation))
        turned = jpeg(Image.fromarray(np.ascontiguousarray(laid(GREY))))
        notes = () if orientation == 1 else ("exif_orientation",)
        yield Encoding(f"jpeg, EXIF {orientation}", turned[:2] + block + turned[2:], GREY, 32, notes)
    rgb = grey.convert("RGB")
    # Inverted, as Adobe stores it; of YCCK the first three are YCbCr of the inverse.
    ycck = Image.merge("CMYK", (grey, *(Image.new("L", grey.size, value) for value in (127, 127, 0))))
    coloured = {
        "rgb": jpeg(rgb),
        "rgb, subsampled": jpeg(rgb, subsampling=2),
        "rgb, progressive": jpeg(rgb, progressive=True),
        "rgb, Adobe": jpeg(rgb, keep_rgb=True),
        "cmyk": jpeg(rgb.convert("CMYK")),
        "ycck": jpeg(ycck).replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2"),
    }
    for name, data in coloured.items():
        yield Encoding(f"jpeg, {name}", data, GREY, 48, ("grey",))
    scan = plain.index(b"\xff\xda")
    frame = plain.index(b"\xff\xc0")
    damaged = {
        "cut": plain[:-40],
        "cut, with an end": plain[:-40] + b"\xff\xd9",
        "cut at its last bytes, with an end": plain[:-8] + b"\xff\xd9",
        "header, with an end": plain[: scan + 10] + b"\xff\xd9",
        "no data": plain[:scan] + b"\xff\xd9",
        "progressive, cut, with an end": many["progressive"][:-30] + b"\xff\xd9",
        "restarts, a piece cut": _without_piece(many["restarts"]),
        "no end": plain[:-2],
        "start alone": b"\xff\xd8\xff",
    }
    for name, data in damaged.items():
        yield Encoding(f"jpeg, {name}", data, GREY, code="damaged")
    for name, change in {
        "12 bits": (frame + 4, 12),
        "2 components": (frame + 9, 2),
        "arithmetic": (frame + 1, 0xC9),
    }.items():
        data = bytearray(plain)
        data[change[0]] = change[1]
        yield Encoding(f"jpeg, {name}", bytes(data), GREY, code="unsupported_format")


def _multi_picture(first: int) -> bytes:
    """The index of an MPO of two pictures."""
    entries = struct.pack("<IIIHH", 0, first, 0, 0, 0) + struct.pack("<IIIHH", 0, 300, first, 0, 0)
    tags = struct.pack("<HHI4s", 0xB000, 7, 4, b"0100") + struct.pack("<HHII", 0xB001, 4, 1, 2)
    tags += struct.pack("<HHII", 0xB002, 7, len(entries), 8 + 2 + 36 + 4)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 3) + tags + bytes(4) + entries


def _without_piece(data: bytes) -> bytes:
    """A JPEG in which one restart interval, of a block with ink, has no data."""
    first, second = data.index(b"\xff\xd4"), data.index(b"\xff\xd5")
    assert second - first > 4
    return data[: first + 2] + data[second:]


def of_others() -> Iterator[Encoding]:
    """Other formats: of them folders read BMP."""
    grey = Image.fromarray(GREY)
    for form in ("BMP", "GIF", "TIFF", "WEBP", "PPM", "ICO"):
        file = io.BytesIO()
        grey.save(file, form)
        code = "not_a_picture" if form in ("PPM", "ICO") else "unsupported_format"
        yield Encoding(form, file.getvalue(), GREY, code=code, refused_by_folders=form != "BMP")
    file = io.BytesIO()
    grey.convert("RGB").save(file, "BMP")
    yield Encoding("BMP rgb", file.getvalue(), GREY, 0, ("grey",), "unsupported_format", False)


ENCODINGS = (*of_png(), *of_jpeg(), *of_others())

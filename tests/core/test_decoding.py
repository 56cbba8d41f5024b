"""Picture files as a model wants them: what is converted, and what is rejected in one line."""

import io
import struct
import zlib

import numpy as np
import onnx_models
import pytest
from PIL import Image, PngImagePlugin

from pipeline.core.decoding import Picture, PictureError, decode
from pipeline.core.images import STRIP_SHAPE

CLASSES = [9, 7, 5, 4, 10]


def encoded(picture, form="PNG", **options):
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture.squeeze())
    image.save(file, form, **options)
    return file.getvalue()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def declaring(width, height):
    """A PNG that declares a size and holds no pixel."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def loaded(png, *chunks):
    """A PNG with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def test_a_png_is_decoded_as_it_is():
    strip = onnx_models.draw(CLASSES)
    picture = decode(encoded(strip), STRIP_SHAPE)
    assert np.array_equal(picture.pixels, strip)
    assert picture.notes == ()


def test_a_jpeg_is_decoded_nearly_as_it_is():
    strip = onnx_models.draw(CLASSES)
    picture = decode(encoded(strip, "JPEG", quality=95), STRIP_SHAPE)
    assert np.abs(picture.pixels.astype(int) - strip).max() < 64
    assert picture.notes == ()


def test_an_upright_strip_is_turned_and_says_so():
    strip = onnx_models.draw(CLASSES)
    picture = decode(encoded(np.rot90(strip, -1)), STRIP_SHAPE)
    assert np.array_equal(picture.pixels, strip)
    assert picture.notes == ("turned",)


def grey(strip):
    return Image.fromarray(strip[..., 0])


def test_sixteen_bits_keep_the_high_byte():
    strip = np.random.default_rng(0).integers(0, 256, STRIP_SHAPE, np.uint8)
    strip[[0, -1]] = strip[:, [0, -1]] = 0
    deep = Image.fromarray(strip[..., 0].astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    assert_picture(decode(encoded(deep), STRIP_SHAPE), strip, ("sixteen_bit",))


def test_alpha_is_composited_on_black():
    strip = onnx_models.draw(CLASSES)
    drawn = Image.new("LA", (140, 28), (255, 0))
    drawn.putalpha(grey(strip))
    assert_picture(decode(encoded(drawn), STRIP_SHAPE), strip, ("alpha_on_black", "grey"))


def test_a_palette_is_resolved():
    strip = onnx_models.draw(CLASSES)
    drawn = grey(strip).convert("RGB").quantize(4)
    assert drawn.mode == "P"
    assert_picture(decode(encoded(drawn), STRIP_SHAPE), strip, ("grey",))


def test_one_bit_is_black_and_white():
    strip = onnx_models.draw(CLASSES)
    assert_picture(decode(encoded(grey(strip).convert("1")), STRIP_SHAPE), strip, ("grey",))


def test_a_colour_picture_becomes_luma():
    drawn = Image.new("RGB", (140, 28), (255, 0, 0))
    drawn.putpixel((3, 4), (0, 0, 0))
    red = np.full(STRIP_SHAPE, 76, np.uint8)
    red[4, 3] = 0
    assert_picture(decode(encoded(drawn), STRIP_SHAPE), red, ("grey",))


def test_a_cmyk_jpeg_becomes_rgb():
    drawn = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    drawn.paste((255, 255, 0, 0), (0, 0, 16, 32))
    picture = decode(encoded(drawn, "JPEG", quality=95), onnx_models.CIFAR_SHAPE)
    assert picture.notes == ("rgb",)
    assert np.abs(picture.pixels[:, 16:].astype(int) - [255, 0, 0]).max() < 8
    assert np.abs(picture.pixels[:, :16].astype(int) - [0, 0, 255]).max() < 8


def test_a_grey_picture_for_a_colour_model_gets_three_channels():
    drawn = Image.linear_gradient("L").resize((32, 32))
    picture = decode(encoded(drawn), onnx_models.CIFAR_SHAPE)
    assert_picture(picture, np.repeat(np.asarray(drawn)[..., None], 3, axis=2), ("rgb",))


def test_the_exif_orientation_is_applied():
    strip = onnx_models.draw(CLASSES)
    exif = Image.Exif()
    exif[0x0112] = 3
    upside_down = grey(strip).rotate(180)
    assert_picture(decode(encoded(upside_down, exif=exif), STRIP_SHAPE), strip, ("exif_orientation",))


@pytest.fixture
def inflated(monkeypatch):
    """The texts and profiles that Pillow inflates."""
    sizes: list[int] = []
    original = PngImagePlugin._safe_zlib_decompress

    def noting(data):
        sizes.append(len(data))
        return original(data)

    monkeypatch.setattr(PngImagePlugin, "_safe_zlib_decompress", noting)
    return sizes


def test_texts_and_profiles_in_a_png_are_not_inflated(inflated):
    strip = onnx_models.draw(CLASSES)
    mebibyte = zlib.compress(bytes(1024 * 1024), 9)
    texts = [chunk(b"zTXt", b"%d\0\0" % index + mebibyte) for index in range(56)]
    profiles = [chunk(b"iCCP", b"name\0\0" + mebibyte)] * 8
    heavy = loaded(encoded(strip), *texts[:28], *profiles)
    heavy = heavy[:-12] + b"".join(texts[28:]) + heavy[-12:]
    assert len(heavy) < 80_000
    assert_picture(decode(heavy, STRIP_SHAPE), strip, ())
    # Truncated, or damaged elsewhere.
    for broken in (heavy[:-20], heavy[:33] + chunk(b"\0\0\0\0", b"") + heavy[33:]):
        with pytest.raises(PictureError) as error:
            decode(broken, STRIP_SHAPE)
        assert error.value.code == "damaged"
    assert inflated == []
    with Image.open(io.BytesIO(loaded(encoded(strip), *profiles[:1]))) as image:
        image.load()
    assert len(inflated) == 1, "Pillow itself inflates them"


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1"])
def test_a_transparent_colour_and_the_orientation_are_read_among_other_chunks(mode):
    drawn = grey(onnx_models.draw(CLASSES)).convert(mode).rotate(180)
    exif = Image.Exif()
    exif[0x0112] = 3
    plain = encoded(drawn, exif=exif, transparency=(0, 0, 0) if mode == "RGB" else 0)
    others = [chunk(b"gAMA", struct.pack(">I", 100_000)), chunk(b"tEXt", b"a\0b"), chunk(b"tIME", bytes(7))]
    picture = decode(loaded(plain, *others), STRIP_SHAPE)
    assert picture.notes[:2] == ("exif_orientation", "alpha_on_black")
    assert np.array_equal(picture.pixels, onnx_models.draw(CLASSES))


def test_what_costs_more_to_walk_through_than_to_send_is_rejected():
    """Each file is small, and was seconds of work for a parser of one segment at a time."""
    strip = onnx_models.draw(CLASSES)
    jpeg = encoded(strip, "JPEG")
    progressive = encoded(strip, "JPEG", progressive=True)
    last = progressive[progressive.rindex(b"\xff\xda") : -2]
    for data, code in (
        (jpeg[:2] + b"\xff\xfe\0\2" * 70_000 + jpeg[2:], "damaged"),
        (jpeg[:2] + b"\xff\1" * 70_000 + jpeg[2:], "damaged"),
        (b"\xff\xd8" * 70_000 + jpeg, "damaged"),
        (jpeg[:-2] + b"\xff\xd0" * 70_000 + jpeg[-2:], "damaged"),
        (loaded(encoded(strip), *[chunk(b"aaAa", b"")] * 70_000), "damaged"),
        (progressive[:-2] + last * 100 + progressive[-2:], "unsupported_format"),
    ):
        with pytest.raises(PictureError) as error:
            decode(data, STRIP_SHAPE)
        assert error.value.code == code
    # Ten times as many as any encoder makes.
    fine = jpeg[:2] + b"\xff\xfe\0\2" * 1000 + jpeg[2:]
    assert np.array_equal(decode(fine, STRIP_SHAPE).pixels, decode(jpeg, STRIP_SHAPE).pixels)


def test_the_first_frame_of_an_animated_png_is_read():
    strip = onnx_models.draw(CLASSES)
    animated = encoded(strip, save_all=True, append_images=[grey(np.zeros_like(strip))])
    assert b"acTL" in animated
    assert_picture(decode(animated, STRIP_SHAPE), strip, ())


def assert_picture(picture: Picture, pixels, notes):
    assert picture.notes == notes
    assert picture.pixels.dtype == np.uint8
    assert np.array_equal(picture.pixels, pixels)


SOUND = encoded(onnx_models.draw(CLASSES))


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "empty", "expected a PNG or JPEG"),
        (b"hello", "not_a_picture", "not a picture"),
        (b"https://example.org/strip.png", "not_a_picture", "not a picture"),
        (SOUND[:60], "damaged", "truncated"),
        (SOUND[:-20], "damaged", "truncated"),
        (encoded(onnx_models.draw(CLASSES), "JPEG")[:-80], "damaged", "truncated"),
        (encoded(onnx_models.draw(CLASSES), "JPEG")[:20], "damaged", "truncated"),
        (declaring(0, 0), "damaged", "damaged"),
        (encoded(Image.new("L", (1, 1))), "not_a_picture", "1×1"),
        (declaring(50_000, 50_000), "too_many_pixels", "16,777,216"),
        (declaring(10_000, 10_000), "too_many_pixels", "16,777,216"),
        (declaring(5_000, 5_000), "too_many_pixels", "16,777,216"),
        (encoded(onnx_models.draw(CLASSES), "GIF"), "unsupported_format", "GIF"),
        (encoded(onnx_models.draw(CLASSES), "TIFF"), "unsupported_format", "TIFF"),
        (encoded(onnx_models.draw(CLASSES), "BMP"), "unsupported_format", "BMP"),
        (encoded(onnx_models.draw(CLASSES), "WEBP"), "unsupported_format", "WebP"),
        (encoded(onnx_models.draw(CLASSES), "EPS"), "unsupported_format", "EPS"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format", "SVG"),
        (
            encoded(Image.new("L", (28, 28))),
            "wrong_size",
            "28×28 pixels found, expected 140×28 (width×height) or 28×140",
        ),
        (encoded(Image.new("L", (280, 56))), "wrong_size", "280×56"),
    ],
)
def test_other_bytes_are_rejected_in_one_line(data, code, says):
    with pytest.raises(PictureError) as error:
        decode(data, STRIP_SHAPE)
    assert error.value.code == code
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_picture_never_raises_anything_else():
    rng = np.random.default_rng(1)
    outcomes = set()
    for sound in (
        SOUND,
        encoded(onnx_models.draw(CLASSES), "JPEG"),
        encoded(grey(onnx_models.draw(CLASSES)).convert("P")),
    ):
        for _ in range(300):
            data = bytearray(sound)
            for place in rng.integers(0, len(data), rng.integers(1, 6)):
                data[place] = rng.integers(0, 256)
            try:
                outcomes.add(decode(bytes(data), STRIP_SHAPE).pixels.shape)
            except PictureError as error:
                outcomes.add(error.code)
    assert {STRIP_SHAPE, "damaged"} <= outcomes

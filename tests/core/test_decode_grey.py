"""Pictures of any format, depth and colour as grey pixels in which the ink stays visible."""

import io
import struct

import numpy as np
import pytest
from picture_files import ENCODINGS, GREY, ORIENTED, SIDE, Encoding, chunk, exif, png
from PIL import Image

from pipeline.core.decoding import MAX_PIXELS, PictureError, decode_any, decode_grey

INK = GREY // 85 * 85 > 0
RGB = np.repeat(GREY[..., None], 3, axis=2)


def webp(picture, **options):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", **{"lossless": True, "exact": True} | options)
    return file.getvalue()


def drawn(colour, share, ground=(0, 0, 0), mode="RGBA"):
    """A PNG of ink of one colour on a transparent ground, whose pixels have a colour too."""
    pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
    pixels[..., :3] = np.where(INK[..., None], np.uint8(colour), np.uint8(ground))
    pixels[..., 3] = np.where(INK, share, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "PNG")
    return file.getvalue()


def named(encodings):
    return [pytest.param(each, id=each.name) for each in encodings]


def read_by_both(encoding: Encoding):
    """Without transparency and 16 bits, of which `decode_grey` makes something else."""
    return not (encoding.code or {"alpha_on_black", "sixteen_bit"} & set(encoding.notes))


@pytest.mark.parametrize("encoding", named(filter(read_by_both, ENCODINGS)))
def test_a_picture_is_what_the_other_decoders_make_of_it(encoding):
    picture = decode_grey(encoding.data)
    assert picture.pixels.shape == encoding.pixels.shape
    assert picture.pixels.dtype == np.uint8
    assert np.abs(picture.pixels.astype(int) - encoding.pixels).max() <= max(encoding.tolerance, 1)
    turned = "exif_orientation" in encoding.notes
    assert ("exif_orientation" in picture.notes) == turned


@pytest.mark.parametrize("encoding", named(each for each in ENCODINGS if each.code and each.name != "WEBP"))
def test_what_the_other_decoders_reject_is_rejected_for_the_same_reason(encoding):
    with pytest.raises(PictureError) as caught:
        decode_grey(encoding.data)
    assert caught.value.code == encoding.code
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (255, 0, 255)])
@pytest.mark.parametrize(
    ("ink", "note"),
    [((0, 0, 0), "alpha_on_white"), ((255, 255, 255), "alpha_on_black"), ((20, 30, 120), "alpha_on_white")],
)
def test_the_ink_of_a_transparent_picture_stays_visible(ink, note, ground, mode):
    picture = decode_grey(drawn(ink, 255, ground, mode))
    assert note in picture.notes
    behind = 255 if note == "alpha_on_white" else 0
    assert (picture.pixels[~INK] == behind).all()
    assert (np.abs(picture.pixels[INK].astype(int) - behind) > 190).all()


def test_half_transparent_ink_is_between_the_ink_and_its_ground():
    assert np.unique(decode_grey(drawn((0, 0, 0), 128)).pixels).tolist() == [127, 255]
    assert np.unique(decode_grey(drawn((255, 255, 255), 128)).pixels).tolist() == [0, 128]


@pytest.mark.parametrize(("paper", "ink", "note"), [(240, 20, "alpha_on_white"), (15, 230, "alpha_on_black")])
@pytest.mark.parametrize("margin", [2, 12], ids=["most is paper", "less than half is paper"])
def test_round_a_piece_of_paper_the_ground_is_like_the_paper(paper, ink, note, margin):
    levels = np.where(np.pad(INK, margin), ink, paper).astype(np.uint8)
    opaque = np.pad(np.full_like(GREY, 255), margin)
    picture = decode_grey(png(np.stack([levels, opaque], axis=-1), 8, 4))
    assert picture.notes == (note,)
    assert picture.pixels[0, 0] == (255 if paper > 128 else 0)


def test_a_picture_that_is_transparent_all_over_is_empty():
    picture = decode_grey(drawn((0, 0, 0), 0))
    assert (picture.pixels == 255).all()


def test_an_opaque_alpha_channel_changes_nothing():
    picture = decode_grey(png(np.dstack([RGB, np.full_like(GREY, 255)]), 8, 6))
    assert np.array_equal(picture.pixels, GREY)
    assert picture.notes == ("grey",)


@pytest.mark.parametrize("clear", [0, 255])
def test_a_transparent_value_is_composited_too(clear):
    picture = decode_grey(png(GREY, 8, 0, chunk(b"tRNS", struct.pack(">H", clear))))
    assert picture.notes in (("alpha_on_white",), ("alpha_on_black",))
    rest = clear != GREY
    assert np.array_equal(picture.pixels[rest], GREY[rest])


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("colour", [0, 2], ids=["grey", "rgb"])
def test_sixteen_bits_are_scaled_by_their_range(bits, colour):
    """Of colours Pillow keeps the high bytes, so few bits leave few levels; the ink is still there."""
    values = (GREY if colour == 0 else RGB).astype(int) * ((1 << bits) - 1) // 255
    picture = decode_grey(png(values, 16, colour))
    assert picture.notes == ("sixteen_bit_range", *(("grey",) if colour == 2 else ()))
    allowed = 1 if colour == 0 else {9: 128, 10: 86, 12: 17, 14: 5, 16: 1}[bits]
    assert np.abs(picture.pixels.astype(int) - GREY).max() <= allowed
    assert picture.pixels.max() == 255


def test_the_noise_of_sixteen_bits_stays_small():
    noise = np.random.default_rng(1).normal(60_000, 100, (SIDE, SIDE)).astype(int)
    assert np.ptp(decode_grey(png(noise, 16, 0)).pixels.astype(int)) <= 4


def test_webp_is_decoded_with_its_orientation_and_transparency():
    assert np.array_equal(decode_grey(webp(RGB)).pixels, GREY)
    assert np.abs(decode_grey(webp(RGB, lossless=False, quality=95)).pixels.astype(int) - GREY).max() < 60
    for orientation, laid in ORIENTED.items():
        turned = np.ascontiguousarray(np.dstack([laid(GREY)] * 3))
        picture = decode_grey(webp(turned, exif=b"Exif\0\0" + exif(orientation), xmp=b"<x/>"))
        assert np.array_equal(picture.pixels, GREY)
        assert ("exif_orientation" in picture.notes) == (orientation > 1)
    for lossless in (True, False):
        clear = np.dstack([np.zeros_like(RGB), np.where(INK, 255, 0).astype(np.uint8)])
        picture = decode_grey(webp(clear, lossless=lossless))
        assert picture.notes == ("alpha_on_white", "grey")
        assert np.array_equal(picture.pixels < 128, INK)


@pytest.mark.parametrize("cut", [1, 12, 16, 20, 30, 40, 60, -20, -1])
@pytest.mark.parametrize("lossless", [True, False])
def test_a_cut_webp_is_damaged(cut, lossless):
    with pytest.raises(PictureError) as caught:
        decode_grey(webp(RGB, lossless=lossless)[:cut])
    assert caught.value.code == ("not_a_picture" if cut == 1 else "damaged")


def test_an_animated_webp_is_not_read():
    file = io.BytesIO()
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(PictureError, match="animated WebP found, expected one frame"):
        decode_grey(file.getvalue())


@pytest.mark.parametrize("kind", ["VP8X", "VP8L", "VP8 "])
def test_a_webp_that_declares_too_many_pixels_is_not_decoded(kind):
    side = 16_383
    content = {
        "VP8X": bytes(4) + (side - 1).to_bytes(3, "little") * 2,
        "VP8L": b"/" + ((side - 1) | (side - 1) << 14).to_bytes(4, "little"),
        "VP8 ": b"\x10\0\0\x9d\x01\x2a" + side.to_bytes(2, "little") * 2,
    }[kind]
    body = b"WEBP" + kind.encode() + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)
    with pytest.raises(PictureError) as caught:
        decode_grey(b"RIFF" + len(body).to_bytes(4, "little") + body)
    assert caught.value.code == "too_many_pixels"


def test_sixteen_megapixels_are_read_and_more_are_not():
    side = int(MAX_PIXELS**0.5)
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    assert decode_grey(file.getvalue()).pixels.shape == (side, side)
    file = io.BytesIO()
    Image.new("1", (side, side + 1)).save(file, "PNG")
    with pytest.raises(PictureError, match="pixels declared, expected at most"):
        decode_grey(file.getvalue())


def test_heic_is_named():
    with pytest.raises(PictureError, match=r"HEIC.* found, expected PNG, JPEG or WEBP"):
        decode_grey(b"\0\0\0\x18ftypheic" + bytes(99))


def test_the_other_decoders_still_reject_webp():
    with pytest.raises(PictureError, match="WebP found, expected PNG or JPEG"):
        decode_any(webp(RGB), 1)


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_of_changed_bytes_is_decoded_or_rejected(lossless):
    rng = np.random.default_rng(5)
    data = webp(np.dstack([RGB, GREY]), lossless=lossless, exif=exif(6), icc_profile=bytes(64))
    codes = set()
    for _ in range(300):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        try:
            codes.add(decode_grey(bytes(changed)).pixels.ndim)
        except PictureError as error:
            codes.add(error.code)
    # Both ends are met: what is left of most pictures is a picture.
    assert codes >= {2, "damaged"}
    assert codes <= {2, "damaged", "not_a_picture", "unsupported_format", "too_many_pixels"}

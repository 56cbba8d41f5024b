"""The exported model in ONNX Runtime, and picture files as it wants them."""

import contextlib
import io
import json
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import onnx_models
import pytest
from PIL import Image

from pipeline.core.decoding import Picture, PictureError, decode
from pipeline.core.errors import DataError
from pipeline.core.images import STRIP_SHAPE
from pipeline.records.manifest import Manifest
from pipeline.runtime.reader import Reader, load_readers

ROOT = Path(__file__).parents[2]
CLASSES = [9, 7, 5, 4, 10]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader.load(onnx_models.package(tmp_path_factory.mktemp("artifacts")))


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


def test_a_strip_is_read_from_left_to_right(reader):
    readings = reader.read(onnx_models.draw(CLASSES)[None])
    assert readings.classes.tolist() == [CLASSES]
    assert readings.probabilities.shape == (1, 5, 11)
    assert np.allclose(readings.probabilities.sum(-1), 1, atol=1e-6)
    assert 0.9 < readings.confidence[0] < 1
    assert readings.boxes is None


def test_a_strip_that_stands_is_turned(reader):
    to_landscape = onnx_models.draw(CLASSES)[None]
    standing = np.rot90(to_landscape, -1, axes=(1, 2))
    assert standing.shape == (1, 140, 28, 1)
    assert np.array_equal(reader.read(standing).probabilities, reader.read(to_landscape).probabilities)


def test_any_number_of_pictures_is_read_at_once(reader):
    many = np.stack([onnx_models.draw(np.roll(CLASSES, shift)) for shift in range(5)])
    assert reader.read(many).classes.tolist() == [np.roll(CLASSES, shift).tolist() for shift in range(5)]


def test_boxes_come_back_where_the_model_localises(tmp_path):
    reader = Reader.load(onnx_models.package(tmp_path, boxes=True))
    assert reader.read(onnx_models.draw(CLASSES)[None]).boxes.shape == (1, 5, 4)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((1, *STRIP_SHAPE), np.float32), "float32"),
        (np.zeros(STRIP_SHAPE, np.uint8), "(28, 140, 1)"),
        (np.zeros((1, 28, 140, 3), np.uint8), "(1, 28, 140, 3)"),
        (np.zeros((1, 1, 28, 140), np.uint8), "(1, 1, 28, 140)"),
        (np.zeros((1, 32, 32, 1), np.uint8), "(1, 32, 32, 1)"),
        (np.zeros((0, *STRIP_SHAPE), np.uint8), "(0, 28, 140, 1)"),
    ],
    ids=["floats", "no batch", "three channels", "channels first", "another size", "no picture"],
)
def test_pictures_of_another_kind_are_refused(reader, images, found):
    with pytest.raises(DataError, match="expected") as error:
        reader.read(images)
    assert found in str(error.value)
    assert "\n" not in str(error.value)


def test_a_manifest_says_what_the_model_is(tmp_path):
    folder = onnx_models.package(tmp_path)
    manifest = Manifest.read(folder / "manifest.json")
    assert manifest.task == "strips"
    assert manifest.shape == STRIP_SHAPE
    assert manifest.class_names[manifest.blank] == "blank"
    assert (manifest.version, manifest.threshold) == (None, 0.9)
    assert manifest.model.bytes == (folder / "model.onnx").stat().st_size


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"strategy": None}, "strategy"),
        ({"model": {"file": "model.onnx", "bytes": 3}}, r"model\.sha256"),
        ({"model": []}, "model"),
        ({"slots": "five"}, "slots"),
        ({"class_names": "0123456789"}, "class_names"),
        ({"class_names": [1, 2]}, r"class_names\.0"),
        ({"class_names": ["a"]}, "class_names"),
        ({"coverage": {"threshold": "high"}}, r"coverage\.\w+"),
        ({"coverage": {}}, r"coverage\.\w+"),
        ({"version": 1}, "version"),
        ({"model": {"file": "../strips/model.onnx", "sha256": "0" * 64, "bytes": 3}}, r"model\.file"),
    ],
)
def test_a_manifest_that_lacks_something_names_file_and_key(tmp_path, changes, key):
    folder = onnx_models.package(tmp_path, **changes)
    with pytest.raises(DataError, match=rf"manifest\.json: {key}: ") as error:
        Reader.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000], ids=["empty", "cut off", "deeply nested"])
def test_a_manifest_that_is_not_json_is_rejected(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json: ") as error:
        Reader.load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_model_with_one_byte_changed_is_refused_before_it_runs(tmp_path):
    folder = onnx_models.package(tmp_path)
    path = folder / "model.onnx"
    expected = json.loads((folder / "manifest.json").read_text())["model"]["sha256"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"SHA-256 [0-9a-f]{{64}} found, expected {expected}"):
        Reader.load(folder)


def test_a_model_that_is_not_there_says_how_to_get_it(tmp_path):
    folder = onnx_models.package(tmp_path)
    (folder / "model.onnx").unlink()
    with pytest.raises(DataError, match="`make repro`, or `dvc pull` from a remote"):
        Reader.load(folder)


def repackaged(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def test_a_file_that_is_no_model_is_refused(tmp_path):
    folder = onnx_models.package(tmp_path)
    (folder / "model.onnx").write_bytes(b"no model")
    digest = "f62c7d17e241fe5c5c0c64d2e32ab6e3bd10547a9c02977cc126acc0fe6e6554"
    repackaged(folder, model={"file": "model.onnx", "sha256": digest, "bytes": 8})
    with pytest.raises(DataError, match="ONNX Runtime cannot load it") as error:
        Reader.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"inputs": {"height": 32, "width": 32, "channels": 1}},
            r"inputs: images of \(28, 140, 1\) found, expected \(32, 32, 1\)",
        ),
        ({"slots": 4}, r"\(1, 5, 11\) found for one picture, expected \(1, 4, 11\)"),
        ({"class_names": ["a", "b"]}, r"\(1, 5, 11\) found for one picture, expected \(1, 5, 2\)"),
    ],
    ids=["inputs", "slots", "classes"],
)
def test_a_model_that_is_not_what_its_manifest_says_is_refused(tmp_path, changes, complaint):
    with pytest.raises(DataError, match=complaint):
        Reader.load(onnx_models.package(tmp_path, **changes))


def test_a_model_that_needs_regions_is_not_served(tmp_path):
    content = onnx_models.band_model(STRIP_SHAPE, 5, 11, regions=7)
    folder = onnx_models.package(tmp_path, model=onnx_models.manifest(content)["model"])
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(DataError, match="found regions too"):
        Reader.load(folder)


def test_readers_are_found_by_task_and_leftovers_are_not(tmp_path):
    onnx_models.package(tmp_path)
    onnx_models.package(tmp_path, "cifar10")
    (tmp_path / ".strips.123.partial").mkdir()
    (tmp_path / ".strips.123.partial" / "manifest.json").write_text("{")
    assert list(load_readers(tmp_path)) == ["cifar10", "strips"]


def test_a_folder_without_models_is_an_error_and_so_is_a_misplaced_one(tmp_path):
    with pytest.raises(DataError, match="no packaged model"):
        load_readers(tmp_path)
    onnx_models.package(tmp_path).rename(tmp_path / "digits")
    with pytest.raises(DataError, match="task: expected 'digits', found 'strips'"):
        load_readers(tmp_path)


def test_importing_writes_nothing_to_the_home_folder(tmp_path):
    code = "import pipeline.runtime.reader"
    environment = {"HOME": str(tmp_path), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []


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


def test_a_standing_strip_is_turned_and_says_so():
    strip = onnx_models.draw(CLASSES)
    picture = decode(encoded(np.rot90(strip, -1)), STRIP_SHAPE)
    assert np.array_equal(picture.pixels, strip)
    assert picture.notes == ("turned",)


def grey(strip):
    return Image.fromarray(strip[..., 0])


def test_sixteen_bits_keep_the_high_byte():
    strip = np.random.default_rng(0).integers(0, 256, STRIP_SHAPE, np.uint8)
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
    assert_picture(decode(encoded(drawn), STRIP_SHAPE), np.full(STRIP_SHAPE, 76, np.uint8), ("grey",))


def test_a_cmyk_jpeg_becomes_rgb():
    drawn = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    picture = decode(encoded(drawn, "JPEG", quality=95), onnx_models.CIFAR_SHAPE)
    assert picture.notes == ("rgb",)
    assert np.abs(picture.pixels.astype(int) - [255, 0, 0]).max() < 8


def test_a_grey_picture_for_a_colour_model_gets_three_channels():
    picture = decode(encoded(Image.new("L", (32, 32), 9)), onnx_models.CIFAR_SHAPE)
    assert_picture(picture, np.full((32, 32, 3), 9, np.uint8), ("rgb",))


def test_the_exif_orientation_is_applied():
    strip = onnx_models.draw(CLASSES)
    exif = Image.Exif()
    exif[0x0112] = 3
    upside_down = grey(strip).rotate(180)
    assert_picture(decode(encoded(upside_down, exif=exif), STRIP_SHAPE), strip, ("exif_orientation",))


def seconds(data):
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        with contextlib.suppress(PictureError):
            decode(data, STRIP_SHAPE)
        best = min(best, time.perf_counter() - begun)
    return best


def test_texts_and_profiles_in_a_png_are_not_inflated():
    strip = onnx_models.draw(CLASSES)
    mebibyte = zlib.compress(bytes(1024 * 1024), 9)
    texts = [chunk(b"zTXt", b"%d\0\0" % index + mebibyte) for index in range(56)]
    profiles = [chunk(b"iCCP", b"name\0\0" + mebibyte)] * 8
    heavy = loaded(encoded(strip), *texts[:28], *profiles)
    heavy = heavy[:-12] + b"".join(texts[28:]) + heavy[-12:]
    assert len(heavy) < 80_000
    assert_picture(decode(heavy, STRIP_SHAPE), strip, ())
    assert seconds(heavy) < 10 * seconds(encoded(strip))
    # Cut off or with another break in it, it is refused, as quickly.
    for broken in (heavy[:-20], heavy[:33] + chunk(b"\0\0\0\0", b"") + heavy[33:]):
        with pytest.raises(PictureError) as error:
            decode(broken, STRIP_SHAPE)
        assert error.value.code == "damaged"
        assert seconds(broken) < 10 * seconds(encoded(strip))


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
        (b"hello", "not_a_picture", "no picture"),
        (b"https://example.org/strip.png", "not_a_picture", "no picture"),
        (SOUND[:60], "damaged", "truncated"),
        (SOUND[:-20], "damaged", "truncated"),
        (encoded(onnx_models.draw(CLASSES), "JPEG")[:-80], "damaged", "truncated"),
        (encoded(onnx_models.draw(CLASSES), "JPEG")[:20], "damaged", "truncated"),
        (declaring(0, 0), "damaged", "damaged"),
        (encoded(Image.new("L", (1, 1))), "not_a_picture", "1×1"),
        (declaring(50_000, 50_000), "too_many_pixels", "16,000,000"),
        (declaring(10_000, 10_000), "too_many_pixels", "16,000,000"),
        (declaring(5_000, 5_000), "too_many_pixels", "16,000,000"),
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
def test_other_bytes_are_refused_in_one_line(data, code, says):
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

"""`make read`: a picture of one's own in, one packaged model's reading out, or one line that says why not."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_models
import pytest
import releases
from PIL import Image
from refusals import refuses

from pipeline.commands import read
from pipeline.core.errors import DataError
from pipeline.core.images import STRIP_NAMES
from pipeline.core.readings import Readings
from pipeline.records.answer import PictureAnswer
from pipeline.records.manifest import Manifest
from pipeline.runtime.answers import answer
from pipeline.runtime.reader import load_manifests

ROOT = Path(__file__).parents[2]
CLASSES = [9, 7, 5, 4, 10]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    onnx_models.package(folder)
    onnx_models.package(folder, "cifar10")
    return folder


@pytest.fixture
def picture(tmp_path):
    """Saves a picture of some pixels, and names it."""

    def save(pixels, name="picture.png"):
        Image.fromarray(pixels.squeeze()).save(tmp_path / name)
        return str(tmp_path / name)

    return save


def run(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "pipeline.commands.read", *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )


def printed(capsys, *arguments, **options):
    read.main(*arguments, **options)
    return capsys.readouterr().out


def test_a_strip_is_read_with_its_digits_their_probabilities_and_the_model(artifacts, picture, capsys):
    text = printed(capsys, picture(onnx_models.draw(CLASSES)), artifacts)
    sha256 = Manifest.read(artifacts / "strips/manifest.json").model.sha256
    assert "picture.png: 9754\n" in text
    assert "confidence 0.9953, accepted: " in text
    assert [line.split() for line in text.splitlines() if line.startswith("  ")] == [[d, "0.9997"] for d in "9754"]
    assert text.endswith(f"model: bands for strips, {sha256[:12]}, trained on mnist\n")
    assert "note:" not in text


def test_json_is_the_answer_of_the_service(artifacts, picture, capsys):
    text = printed(capsys, picture(np.rot90(onnx_models.draw(CLASSES), -1)), artifacts, json=True)
    answer = PictureAnswer.parse(text, "the output")
    assert answer.digits == "9754"
    assert [slot.class_ for slot in answer.slots] == ["9", "7", "5", "4", "blank"]
    assert answer.slots[0].probabilities.keys() == set(STRIP_NAMES)
    assert (answer.accepted, answer.notes, answer.slots[0].box) == (True, ("turned",), None)
    assert answer.model.origin == "mnist"
    assert "class" not in json.loads(text), "what does not apply is absent"
    assert [(line.digits, line.box) for line in answer.lines] == [("9754", (0, 0, 140, 28))]


def test_the_size_chooses_the_model_and_a_stand_in_says_so(artifacts, picture, capsys):
    text = printed(capsys, picture(onnx_models.draw([3], onnx_models.CIFAR_SHAPE)), artifacts)
    assert "picture.png: cat\n" in text
    assert "no threshold for 99.5 % accuracy" in text
    assert "model: bands for cifar10" in text
    assert "trained on the EMBEDDED STAND-IN, not real data" in text


def test_dark_on_light_is_noted_and_inverted_only_when_asked(artifacts, picture, capsys):
    dark = picture(255 - onnx_models.draw(CLASSES))
    text = printed(capsys, dark, artifacts)
    assert "9754" not in text
    assert "note: dark on light? " in text
    assert "INVERT=1" in text
    text = printed(capsys, dark, artifacts, invert=True)
    assert "picture.png: 9754\n" in text
    assert text.count("note: ") == 1
    assert "inverted" in text
    assert "dark on light now?" in printed(capsys, picture(onnx_models.draw(CLASSES)), artifacts, invert=True)


def test_boxes_come_from_left_to_right_and_blanks_have_none(tmp_path, picture, capsys):
    onnx_models.package(tmp_path / "artifacts", boxes=True, positional=False)
    read.main(picture(onnx_models.draw(CLASSES)), tmp_path / "artifacts")
    assert capsys.readouterr().out.count("  box 0.0, 1.0, 2.0, 3.0\n") == 4
    manifest = load_manifests(tmp_path / "artifacts")["strips"]
    classes = np.array([[3, 10, 1, 10, 2]], np.uint8)
    left = np.array([[50, 0, 5, 0, 20]], np.float32)
    boxes = np.stack([left, left * 0, left + 10, left * 0 + 20], axis=-1)
    readings = Readings(np.eye(11, dtype=np.float32)[classes], classes, np.array([0.5], np.float32), boxes)
    found = answer(manifest, readings, ())
    assert found.digits == "123"
    assert [slot.class_ for slot in found.slots] == ["1", "2", "3", "blank", "blank"]
    assert [slot.box for slot in found.slots] == [(5, 0, 15, 20), (20, 0, 30, 20), (50, 0, 60, 20), None, None]


def test_conversions_are_noted(artifacts, picture, capsys):
    coloured = np.repeat(onnx_models.draw(CLASSES), 3, axis=2)
    assert "note: colours were converted to grey\n" in printed(capsys, picture(coloured), artifacts)


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [
        ("", 2, "configuration: IMAGE: no picture named; expected make read IMAGE=path/to/picture.png"),
        ("none.png", 3, "data: {folder}/none.png: no such file, expected a PNG or JPEG picture"),
        ("folder", 3, "data: {folder}/folder: a folder found, expected a regular file"),
        (
            "large.png",
            3,
            "data: {folder}/large.png: a picture of 50×40 pixels found, expected 32×32 (width×height); 140×28 ",
        ),
        ("half.png", 3, "data: {folder}/half.png: the picture is truncated or damaged, expected a whole PNG or JPEG"),
        ("text.png", 3, "data: {folder}/text.png: not a picture, expected PNG or JPEG"),
        ("fifo.png", 3, "data: {folder}/fifo.png: a FIFO found, expected a regular file"),
        ("colour.png", 2, "expected a picture of digits"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_a_code(artifacts, picture, tmp_path, name, code, line):
    strip = Path(picture(onnx_models.draw(CLASSES))).read_bytes()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "half.png").write_bytes(strip[: len(strip) // 2])
    (tmp_path / "text.png").write_text("no picture")
    picture(np.zeros((40, 50), np.uint8), "large.png")
    picture(np.zeros((32, 32, 3), np.uint8), "colour.png")
    switches = ["--invert"] if name == "colour.png" else []
    result = run("--artifacts", artifacts, "--image", tmp_path / name if name else "", *switches)
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.count("\n") == 1
    assert line.format(folder=tmp_path) in result.stderr


def sparse(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    ("name", "prepare", "found"),
    [
        ("zeros", lambda path: path.symlink_to("/dev/zero"), "zeros: a device found"),
        ("link", lambda path: os.mkfifo(path.with_name("fifo")) or path.symlink_to("fifo"), "link: a FIFO found"),
        ("socket", lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "socket: a socket found"),
        ("large", sparse, "large: 1,099,511,627,776 bytes found, expected at most 268,435,456"),
        ("nul\0", lambda path: None, r"nul\x00: not a name of a file"),
        ("a\n\x1b[2J", lambda path: path.write_text("text"), r"/a\n\x1b[2J: not a picture"),
        (os.fsdecode(b"\xff"), lambda path: path.write_text("text"), r"/\udcff: not a picture"),
        ("file/picture.png", lambda path: path.parent.write_text(""), "file/picture.png: no such file"),
    ],
    ids=["device", "fifo-behind-a-link", "socket", "terabyte", "nul", "control", "not-utf-8", "below-a-file"],
)
def test_what_is_not_a_regular_file_is_not_opened(artifacts, tmp_path, name, prepare, found):
    prepare(tmp_path / name)
    with refuses(DataError, found):
        read.main(str(tmp_path / name), artifacts)


def test_without_a_packaged_model_it_says_how_to_get_one(artifacts, picture, tmp_path):
    strip = picture(onnx_models.draw(CLASSES))
    result = run("--artifacts", tmp_path / "none", "--image", strip)
    assert (result.returncode, result.stderr.count("\n")) == (3, 1)
    assert "no packaged model, expected TASK/manifest.json in it; run `make repro`" in result.stderr
    # A clone has the manifest; the model comes with `dvc pull` or `make repro`.
    shutil.copytree(artifacts, tmp_path / "clone")
    (tmp_path / "clone/strips/model.onnx").unlink()
    result = run("--artifacts", tmp_path / "clone", "--image", strip)
    assert (result.returncode, result.stderr.count("\n")) == (3, 1)
    assert "model.onnx: no such file, but manifest.json names it; run `make repro`, or `dvc pull`" in result.stderr


def test_a_clone_reads_with_its_released_models_and_says_so(picture, tmp_path, monkeypatch, capsys):
    releases.make(tmp_path / "clone/release", "strips")
    monkeypatch.chdir(tmp_path / "clone")
    monkeypatch.delenv("READER_ARTIFACTS", raising=False)
    read.main(picture(onnx_models.draw(CLASSES)))
    printed = capsys.readouterr()
    assert "9754" in printed.out
    assert printed.err == "read: with the released models in release/, since none are packaged here\n"


def test_make_passes_any_name_on(artifacts, picture, tmp_path):
    """A name with a blank, a quote and a backtick is a name, and no command."""
    strip = picture(onnx_models.draw(CLASSES), "it's `my` strip.png")
    makefile = (
        (ROOT / "Makefile").read_text().replace("read: setup", "read:").replace("--image", "--artifacts a --image")
    )
    (tmp_path / "Makefile").write_text(makefile)
    (tmp_path / "a").symlink_to(artifacts)
    for name in ("pipeline", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    result = subprocess.run(
        ["make", "--no-print-directory", "read", f"IMAGE={strip}", "JSON=1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["digits"] == "9754"


def test_it_imports_neither_tensorflow_nor_the_service():
    heavy = ("tensorflow", "keras", "dvc", "bentoml", "sklearn", "scipy", "pandas", "matplotlib")
    code = f"import pipeline.commands.read, sys; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

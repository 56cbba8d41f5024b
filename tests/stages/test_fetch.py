"""The stage `fetch` writes the sets of a source and their record, whole or not at all."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from file_trees import contents
from PIL import Image
from refusals import refuses

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.images import ImageSet
from pipeline.core.lines import PictureSet
from pipeline.data.sources import sha256
from pipeline.records.data import SourceRecord
from pipeline.remote import downloads
from stages import fetch

ROOT = Path(__file__).parents[2]
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder to run the stage in, without a network, with what an earlier run made."""
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy", "DATASETS_MIRROR", "DATASETS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(downloads, "sleep", lambda seconds: None)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/earlier.npz").write_text("made before")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(project, old, new):
    text = (project / "params.yaml").read_text()
    assert old in text
    (project / "params.yaml").write_text(text.replace(old, new, 1))


def test_a_folder_of_the_users_own(project):
    for digit in range(10):
        (project / f"my_digits/{digit}").mkdir(parents=True)
        picture = Image.new("L", (28, 28))
        picture.putpixel((digit, 9), 255)
        picture.save(project / f"my_digits/{digit}/0.png")
    edit(project, "mnist: {from: public}", "mnist: {from: my_digits}")
    fetch.main("mnist", Path("out"))
    assert set(contents(project / "out")) == {"pool.npz", "source.json"}
    record = SourceRecord.read(project / "out/source.json")
    pool = ImageSet.load(project / "out/pool.npz")
    assert record.origin == pool.origin == "folder:my_digits"
    assert (record.sets["pool"].pictures, record.sets["pool"].shape) == (10, (28, 28, 1))
    assert record.sets["pool"].sha256 == sha256(pool)


def test_a_folder_of_lines_under_a_name_of_the_users_own(project):
    (project / "my_amounts").mkdir()
    Image.effect_noise((60, 20), 90).save(project / "my_amounts/a.png")
    (project / "my_amounts/labels.csv").write_text("file,text\na.png,1907\n")
    edit(project, "cheques: {from: public}", "cheques: {from: public}\n  amounts: {from: my_amounts}")
    assert fetch.main("amounts", Path("out")) == "1 pictures, origin folder:my_amounts"
    assert set(contents(project / "out")) == {"pictures.npz", "source.json"}
    record = SourceRecord.read(project / "out/source.json")
    pictures = PictureSet.load(project / "out/pictures.npz")
    assert [(each.name, each.digits.tolist()) for each in pictures] == [("a.png", [1, 9, 0, 7])]
    assert record.sets["pictures"].sha256 == sha256(pictures)


def test_the_cache_is_an_argument_that_the_environment_replaces(project, monkeypatch):
    caches = []
    monkeypatch.setattr(fetch.sources, "fetch", lambda *_, cache, **__: caches.append(cache) or {})
    monkeypatch.setattr(fetch.sources, "describe", lambda _: SourceRecord(origin="mnist", class_names=(), sets={}))
    fetch.main("mnist", Path("out"))
    fetch.main("mnist", Path("out"), cache=Path("elsewhere"))
    monkeypatch.setenv("DATASETS_CACHE", "of/the/environment")
    fetch.main("mnist", Path("out"))
    assert caches == [Path(".cache/downloads"), Path("elsewhere"), Path("of/the/environment")]


def no_fallback(project):
    edit(project, "fallback: embedded", "fallback: none")
    return ""


def damaged_mirror(project):
    file = project / "mirror/mnist/train-images-idx3-ubyte.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(b"not MNIST"))
    return "mirror"


@pytest.mark.parametrize(
    ("prepare", "error", "named"),
    [
        (no_fallback, DataError, ["mnist", "DATASETS_MIRROR", "fetch.fallback"]),
        (lambda project: "nowhere/at/all", ConfigurationError, ["DATASETS_MIRROR", "nowhere/at/all"]),
        (damaged_mirror, DataError, ["mirror/mnist/train-images-idx3-ubyte.gz", "ba891046"]),
    ],
    ids=["no-network", "no-mirror", "damaged-mirror"],
)
def test_an_error_leaves_what_was_there(project, monkeypatch, prepare, error, named):
    monkeypatch.setenv("DATASETS_MIRROR", prepare(project))
    with refuses(error, *named):
        fetch.main("mnist", Path("out"))
    assert contents(project / "out") == {"earlier.npz": b"made before"}


def test_a_disk_without_room_is_one_line_with_exit_code_3_and_leaves_what_was_there(project):
    """A limit on the size of files takes the place of the full disk: anyone can set it."""
    command = [sys.executable, "-m", "stages.fetch", "--source", "mnist", "--out", "out"]
    result = subprocess.run(
        ["sh", "-c", 'ulimit -f 100; exec "$@"', "sh", *command],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 3
    assert "EMBEDDED STAND-IN" in result.stderr
    line = result.stderr.splitlines()[-1]
    assert line.startswith("data: out")
    assert "ulimit -f" in line
    assert "Traceback" not in result.stderr
    assert contents(project / "out") == {"earlier.npz": b"made before"}

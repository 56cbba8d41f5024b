"""The stage `validate`: a report or an error, and pages in any case."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from noise_suites import composed_strips, singles, write
from refusals import refuses

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.images import DIGIT_NAMES
from stages import validate

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_same_data_give_the_same_bytes(tmp_path):
    data, docs = write(tmp_path / "data", composed_strips("clutter")), tmp_path / "docs"
    for out in ("first.json", "second.json"):
        validate.main("clutter", data, docs, tmp_path / out, tmp_path / f"passed-{out}")
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    assert not (ROOT / "gx").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data",
        "docs",
        "first.json",
        "passed-first.json",
        "passed-second.json",
        "second.json",
    ]


def test_a_failure_is_one_line_with_exit_code_3_and_leaves_pages_but_no_report(tmp_path):
    splits = singles()
    splits["valid"].images[2] = splits["train"].images[17]
    data, docs, out = write(tmp_path / "data", splits), tmp_path / "docs", tmp_path / "report.json"
    passed = tmp_path / "passed.json"
    paths = ["--data", str(data), "--docs", str(docs), "--out", str(out), "--passed", str(passed)]
    result = subprocess.run(
        [sys.executable, "-m", "stages.validate", "--suite", "mnist", *paths], capture_output=True, text=True
    )
    assert result.returncode == 3
    assert result.stderr.startswith("data: mnist: ")
    assert result.stderr.count("\n") == 1
    for part in ("2 of 240", "train row 17 (valid row 2)", "valid row 2 (train row 17)", str(docs / "index.html")):
        assert part in result.stderr
    assert (docs / "index.html").exists()
    assert not out.exists()
    assert not passed.exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"images": np.full((4, 28, 28, 1), np.nan, np.float32)}, ["float32", "uint8"]),
        ({"images": np.zeros((4, 1, 28, 28), np.uint8)}, ["(4, 1, 28, 28)", "(n, height, width, 1 or 3)"]),
        ({"labels": np.full((4, 1), 10, np.uint8)}, ["label 10", "0 to 9"]),
        ({"boxes": np.full((4, 1, 4), np.nan, np.float32)}, ["boxes", "NaN"]),
    ],
    ids=["pixels-that-are-no-numbers", "channels-first", "unknown-class", "boxes-that-are-no-numbers"],
)
def test_arrays_of_the_wrong_kind_stop_the_stage(change, named, tmp_path):
    pictures = singles()["train"].take(slice(0, 4))
    arrays = {"images": pictures.images, "labels": pictures.labels}
    arrays |= {"class_names": np.array(DIGIT_NAMES), "origin": np.array("mnist")}
    np.savez(tmp_path / "train.npz", **(arrays | change))
    with refuses(DataError, tmp_path / "train.npz", *named):
        validate.main("mnist", tmp_path, tmp_path / "docs", tmp_path / "report.json", tmp_path / "passed.json")
    assert [path.name for path in tmp_path.iterdir()] == ["train.npz"]


def test_an_unknown_suite_is_named_with_those_there_are(tmp_path):
    with refuses(ConfigurationError, "plian", "mnist, cifar10, plain"):
        validate.main("plian", tmp_path, tmp_path / "docs", tmp_path / "report.json", tmp_path / "passed.json")

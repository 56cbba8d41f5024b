"""The examples of the page, made from test splits."""

import json

import numpy as np
import pytest
from PIL import Image

from pipeline.commands import examples
from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, DIGIT_NAMES, STRIP_NAMES, ImageSet

SHAPES = {"strips": (28, 140, 1), "scenes": (112, 112, 1), "mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


@pytest.fixture
def data(tmp_path):
    """Test splits with as many pictures as the examples need."""
    rng = np.random.default_rng(0)
    for suite, rows in examples.PICKED.items():
        task = suite.split("/")[0]
        height, width, channels = SHAPES[task]
        count = max(rows) + 1
        slots = {"strips": 5, "scenes": 8}.get(task, 1)
        names = STRIP_NAMES if slots > 1 else DIGIT_NAMES
        images = np.broadcast_to(
            rng.integers(0, 256, (height, width, channels), np.uint8), (count, height, width, channels)
        )
        labels = np.resize(np.arange(len(names), dtype=np.uint8), (count, slots))
        (tmp_path / suite).mkdir(parents=True)
        ImageSet(np.ascontiguousarray(images), labels, names, "mnist").save(tmp_path / suite / "test.npz")
    return tmp_path


def test_each_example_is_the_picture_of_the_split_with_its_label(data, tmp_path):
    out = tmp_path / "out"
    assert "examples in" in examples.main(data, out)
    index = json.loads((out / "examples.json").read_text())
    assert len(index) == sum(map(len, examples.PICKED.values())) + len(examples.LINES)
    for each in index:
        with Image.open(out / each["file"]) as image:
            pixels = np.asarray(image)
        if each["task"] == "lines":
            assert each["label"].replace(" ", "").isdecimal()
            continue
        suite = f"{each['task']}/{each['suite']}"
        images = ImageSet.load(data / suite / "test.npz")
        row = int(each["file"].rpartition("-")[2].removesuffix(".png"))
        np.testing.assert_array_equal(pixels, images.images[row].squeeze())
        labels = [label for label in images.labels[row] if each["task"] in ("mnist", "cifar10") or label != BLANK]
        assert each["label"] == "".join(images.class_names[label] for label in labels)


def test_examples_that_are_too_large_are_not_kept_quiet(data, tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "MOST_BYTES", 1000)
    with pytest.raises(DataError, match="expected at most 1,000"):
        examples.main(data, tmp_path / "out")


def test_a_missing_split_is_named(tmp_path):
    with pytest.raises(DataError, match=r"plain/test\.npz"):
        examples.main(tmp_path, tmp_path / "out")

"""The pictures of docs/convolution.md, and the numbers of the page."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.plots import illustrations
from pipeline.plots.style import save
from pipeline.plots.textbook import Net

PAGE = (Path(__file__).parents[2] / "docs/convolution.md").read_text()
LAYERS = ("conv1", "conv2", "dense", "logits")


@pytest.fixture(scope="module")
def figures(trained, embedded):
    """All illustrations, by name."""
    splits = embedded["mnist/mnist"]
    return illustrations.figures(Net.of(trained["channels_last"]), splits["train"], splits["test"])


def test_the_page_shows_all_illustrations(figures):
    assert set(figures) == set(re.findall(r"pictures/convolution/(\w+)\.png", PAGE))


@pytest.mark.slow
def test_all_illustrations_are_drawn_as_small_files(trained, embedded, tmp_path):
    splits = embedded["mnist/mnist"]
    illustrations.draw(Net.of(trained["channels_last"]), splits["train"], splits["test"], tmp_path)
    assert len(list(tmp_path.iterdir())) == 8
    for path in sorted(tmp_path.iterdir()):
        assert path.stat().st_size < 150_000
        with Image.open(path) as picture:
            assert picture.width >= 800
            assert len(picture.convert("L").getcolors()) > 10, f"{path.name} is empty"


def test_equal_input_gives_equal_bytes(figures, trained, embedded, tmp_path):
    splits = embedded["mnist/mnist"]
    again = illustrations.figures(Net.of(trained["channels_last"]), splits["train"], splits["test"])
    for name in ("worked", "dropout"):
        save(figures[name], tmp_path / "one.png")
        save(again[name], tmp_path / "two.png")
        assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
        with Image.open(tmp_path / "one.png") as picture:
            assert len(picture.convert("L").getcolors()) > 10, f"{name} is empty"


def test_other_settings_and_few_pictures_can_be_drawn(trained, embedded):
    splits = embedded["mnist/mnist"]
    train, test = splits["train"].take(slice(0, 7)), splits["test"].take(slice(0, 2))
    assert len(illustrations.figures(Net.of(trained["avg"]), train, test)) == 8


def test_the_sample_grid_shows_81_digits_with_their_labels(embedded):
    pictures = embedded["mnist/mnist"]["train"]
    figure = illustrations.samples(pictures)
    titles = [axis.get_title(loc="center") for axis in figure.axes]
    assert titles == [pictures.class_names[label] for label in pictures.labels[:81, 0]]
    shown = [np.asarray(axis.images[0].get_array()).squeeze() for axis in figure.axes]
    np.testing.assert_array_equal(shown, pictures.images[:81, :, :, 0])


def test_the_table_of_the_page_describes_the_network(trained):
    network = trained["channels_last"].get_layer("textbook")
    rows = re.findall(r"^\| `(\w+)` \|.*\| (\d+)×(\d+)×(\d+) \|.*\| ([\d,]+) \|$", PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == ["conv1", "conv2", "pool"]
    for name, *sides, parameters in rows:
        layer = network.get_layer(name)
        assert layer.output.shape[1:] == tuple(map(int, sides))
        assert layer.count_params() == int(parameters.replace(",", ""))
    dense = re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|.*\| ([\d,]+) \|$", PAGE, re.MULTILINE)
    assert [row[0] for row in dense] == ["dense", "logits"]
    for name, size, parameters in dense:
        assert network.get_layer(name).output.shape[1:] == (int(size),)
        assert network.get_layer(name).count_params() == int(parameters.replace(",", ""))
    total = sum(network.get_layer(name).count_params() for name in LAYERS)
    assert f"{total:,} weights" in PAGE

"""The textbook net: its arithmetic against Keras, both data formats, and the pictures of docs/convolution.md."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from pipeline import strategies
from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.export import onnx, parity
from pipeline.plots import convolution, illustrations
from pipeline.preprocessing import normalization
from pipeline.training import models

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/convolution.md").read_text()
SETTINGS = params.load(ROOT / "params.yaml").strategies["textbook"].settings
LAYERS = ("conv1", "conv2", "dense", "logits")


@pytest.fixture(scope="module")
def trained(embedded):
    """(data format, pooling) -> a model trained for a few steps."""
    few = embedded["mnist/mnist"]["train"].take(slice(0, 128))
    statistics = normalization.fit(few, name="mnist/mnist", zca_epsilon=1e-6)

    def train(**settings):
        return strategies.load("textbook").train(
            few, few, normalizer=statistics, seed=1, budget=1.0, **{**SETTINGS, "epochs": 10.0, "batch": 32, **settings}
        )

    return {
        "channels_last": train(data_format="channels_last"),
        "channels_first": train(data_format="channels_first"),
        "avg": train(pooling="avg", normalization="featurewise", data_format="channels_first"),
    }


@pytest.fixture(scope="module")
def digits(embedded):
    return embedded["mnist/mnist"]["test"].take(slice(0, 64))


@pytest.mark.parametrize("padding", range(3))
@pytest.mark.parametrize("stride", range(1, 5))
@pytest.mark.parametrize("kernel", range(1, 7))
def test_the_size_formula_is_that_of_keras(kernel, stride, padding):
    for size in range(max(1, kernel - 2 * padding), 20):
        wide = keras.layers.ZeroPadding2D(padding).compute_output_shape((1, size, size, 1))
        expected = convolution.output_size(size, kernel, stride, padding)
        assert keras.layers.Conv2D(2, kernel, strides=stride).compute_output_shape(wide)[1] == expected
        assert keras.layers.MaxPooling2D(kernel, strides=stride).compute_output_shape(wide)[1] == expected


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_same_padding_is_half_the_kernel(kernel):
    for size, stride in itertools.product(range(1, 20), range(1, 5)):
        same = keras.layers.Conv2D(2, kernel, strides=stride, padding="same")
        expected = convolution.output_size(size, kernel, stride, padding=kernel // 2)
        assert same.compute_output_shape((1, size, size, 1))[1] == expected


def test_a_kernel_that_does_not_fit_is_a_clear_error():
    with pytest.raises(ValueError, match="a kernel of 5 does not fit on 2 values padded by 1; expected at most 4"):
        convolution.output_size(2, 5, 1, 1)
    with pytest.raises(ValueError, match="stride 0, padding 0: expected at least"):
        convolution.output_size(2, 1, 0)


def test_the_arithmetic_is_that_of_keras():
    random = np.random.default_rng(0)
    maps = random.normal(size=(9, 11, 3)).astype(np.float32)
    layer = keras.layers.Conv2D(4, (3, 2), bias_initializer="normal")
    expected = layer(maps[None])[0]
    ours = convolution.convolve(maps, *(np.asarray(weight) for weight in layer.get_weights()))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    for how, kind in (("max", keras.layers.MaxPooling2D), ("avg", keras.layers.AveragePooling2D)):
        np.testing.assert_allclose(convolution.pool(maps, how), kind(2)(maps[None])[0], atol=1e-6)


@pytest.mark.parametrize("name", ["channels_last", "channels_first", "avg"])
def test_the_net_in_numpy_says_what_the_model_says(trained, digits, name):
    net = illustrations.Net.of(trained[name])
    said = [net.probabilities(picture)[0, 0] for picture in net.normalized(digits.images[:8])]
    expected = models.read(trained[name], digits.images[:8]).probabilities[:, 0]
    np.testing.assert_allclose(said, expected, atol=1e-5)


def test_over_a_strip_it_says_at_every_cell_what_it_says_of_the_digit(trained, digits):
    net = illustrations.Net.of(trained["channels_last"])
    cells = net.normalized(digits.images[:5])
    said = net.probabilities(np.concatenate(list(cells), axis=1))
    assert said.shape == (1, convolution.output_size(140, kernel=28, stride=2), 10)
    expected = models.read(trained["channels_last"], digits.images[:5]).probabilities[:, 0]
    np.testing.assert_allclose(said[0, ::14], expected, atol=1e-5)


def test_both_formats_agree_given_the_same_weights(trained, digits):
    last, first = trained["channels_last"], trained["channels_first"]
    maps = {
        name: [layer.output.shape[1:] for layer in model.get_layer("textbook").layers if layer.name == "pool"]
        for name, model in trained.items()
    }
    assert maps["channels_last"] == [(12, 12, 64)]
    assert maps["channels_first"] == [(64, 12, 12)]
    before = models.read(first, digits.images).probabilities
    kept = first.get_weights()
    first.set_weights(last.get_weights())
    after, expected = (models.read(model, digits.images).probabilities for model in (first, last))
    first.set_weights(kept)
    np.testing.assert_allclose(after, expected, atol=1e-6)
    assert np.abs(before - after).max() > 1e-3, "the weights moved across made a difference"


def test_channels_first_learns_and_exports(trained, embedded, tmp_path):
    seen = embedded["mnist/mnist"]["train"].take(slice(0, 64))
    for name in ("channels_first", "avg"):
        assert (models.read(trained[name], seen.images).classes == seen.labels).mean() >= 0.9
        onnx.to_onnx(trained[name], tmp_path / f"{name}.onnx")
        assert parity.of_export(trained[name], tmp_path / f"{name}.onnx", seen).holds


def test_a_channels_first_model_reads_where_tensorflow_has_no_onednn(trained, digits, tmp_path):
    models.save(trained["channels_first"], tmp_path / "model.keras")
    digits.save(tmp_path / "digits.npz")
    code = (
        "import sys; from pathlib import Path; import keras, numpy as np; from pipeline import images, models\n"
        "try: keras.layers.Conv2D(1, 3, data_format='channels_first')(np.zeros((1, 1, 8, 8), 'float32'))\n"
        "except Exception as error: assert 'NHWC' in str(error), error\n"
        "else: sys.exit('this machine convolves channels first without oneDNN: the test shows nothing')\n"
        "digits = images.ImageSet.load(Path(sys.argv[1]) / 'digits.npz')\n"
        "said = models.read(models.load(Path(sys.argv[1]) / 'model.keras'), digits.images)\n"
        "np.save(Path(sys.argv[1]) / 'said.npy', said.probabilities)\n"
    )
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
    here = models.read(trained["channels_first"], digits.images)
    np.testing.assert_allclose(np.load(tmp_path / "said.npy"), here.probabilities, atol=1e-5)


def test_the_optimizer_has_the_rate_of_the_example():
    assert SETTINGS["learning_rate"] == 1.0
    assert float(keras.optimizers.Adadelta().learning_rate) == pytest.approx(0.001), "why it is written out"


def test_illustrations_are_drawn_to_the_same_bytes_twice(trained, embedded, tmp_path):
    net, splits = illustrations.Net.of(trained["channels_last"]), embedded["mnist/mnist"]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        illustrations.draw(net, splits["train"], splits["test"], tmp_path / folder)
    named = set(re.findall(r"pictures/convolution/(\w+)\.png", PAGE))
    assert {path.stem for path in (tmp_path / "a").iterdir()} == named, "the page shows all of them"
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        assert path.stat().st_size < 150_000
        with Image.open(path) as picture:
            assert picture.width >= 800
            assert len(picture.convert("L").getcolors()) > 10, f"{path.name} is empty"


def test_illustrations_are_drawn_of_other_settings_and_few_pictures(trained, embedded, tmp_path):
    splits = embedded["mnist/mnist"]
    few = splits["test"].take(slice(0, 2))
    illustrations.draw(illustrations.Net.of(trained["avg"]), splits["train"].take(slice(0, 7)), few, tmp_path)
    assert len(list(tmp_path.iterdir())) == 8


def test_the_sample_grid_shows_81_digits_with_their_labels(embedded):
    pictures = embedded["mnist/mnist"]["train"]
    figure = illustrations.samples(pictures)
    titles = [axis.get_title(loc="center") for axis in figure.axes]
    assert titles == [pictures.class_names[label] for label in pictures.labels[:81, 0]]
    shown = [np.asarray(axis.images[0].get_array()).squeeze() for axis in figure.axes]
    np.testing.assert_array_equal(shown, pictures.images[:81, :, :, 0])


def test_a_model_of_another_strategy_is_a_clear_error():
    other = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1, name="other")])
    with pytest.raises(DataError, match="a model of other found, expected one that the strategy textbook trained"):
        illustrations.Net.of(other)


def test_the_table_of_the_page_is_the_net(trained):
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

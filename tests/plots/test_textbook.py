"""The strategy `textbook`: its network in NumPy against Keras, and both data formats."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.export import onnx, parity
from pipeline.plots import convolution
from pipeline.plots.textbook import Net
from pipeline.training import models

ROOT = Path(__file__).parents[2]
TEXTBOOK = params.load(ROOT / "params.yaml").strategies["textbook"]


@pytest.mark.parametrize("name", ["channels_last", "channels_first", "avg"])
def test_the_network_in_numpy_gives_the_outputs_of_the_model(trained, digits, name):
    net = Net.of(trained[name])
    outputs = [net.probabilities(picture)[0, 0] for picture in net.normalized(digits.images[:8])]
    expected = models.read(trained[name], digits.images[:8]).probabilities[:, 0]
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_over_a_strip_the_output_at_every_cell_is_that_of_its_digit(trained, digits):
    net = Net.of(trained["channels_last"])
    cells = net.normalized(digits.images[:5])
    outputs = net.probabilities(np.concatenate(list(cells), axis=1))
    assert outputs.shape == (1, convolution.output_size(140, kernel=28, stride=2), 10)
    expected = models.read(trained["channels_last"], digits.images[:5]).probabilities[:, 0]
    np.testing.assert_allclose(outputs[0, ::14], expected, atol=1e-5)


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
        "import sys; from pathlib import Path; import keras, numpy as np\n"
        "from pipeline.core.images import ImageSet; from pipeline.training import models\n"
        "try: keras.layers.Conv2D(1, 3, data_format='channels_first')(np.zeros((1, 1, 8, 8), 'float32'))\n"
        "except Exception as error: assert 'NHWC' in str(error), error\n"
        "else: sys.exit('this machine convolves channels first without oneDNN: the test shows nothing')\n"
        "digits = ImageSet.load(Path(sys.argv[1]) / 'digits.npz')\n"
        "outputs = models.read(models.load(Path(sys.argv[1]) / 'model.keras'), digits.images)\n"
        "np.save(Path(sys.argv[1]) / 'outputs.npy', outputs.probabilities)\n"
    )
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
    here = models.read(trained["channels_first"], digits.images)
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), here.probabilities, atol=1e-5)


def test_the_optimizer_has_the_rate_of_the_example():
    assert TEXTBOOK.settings["learning_rate"] == 1.0
    assert float(keras.optimizers.Adadelta().learning_rate) == pytest.approx(0.001), "why it is written out"


def test_a_model_of_another_strategy_is_an_error_that_names_its_layers():
    other = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1, name="other")])
    with pytest.raises(DataError, match="other"):
        Net.of(other)

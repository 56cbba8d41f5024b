"""What the proof of an export notices."""

import keras
import numpy as np
import pytest

from pipeline import export
from pipeline.images import DIGIT, SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.layers import Peaks
from pipeline.readout import sequence_reading

WINDOWS = STRIP_SHAPE[1] // 4


def reader(box_bias=0.0, score_bias=0.0):
    """A model that sees something in most strips of noise; the biases move what it says."""
    images = keras.Input(STRIP_SHAPE, dtype="uint8", name="images")
    columns = keras.ops.mean(
        keras.ops.reshape(keras.layers.Rescaling(1 / 255)(images), (-1, DIGIT, WINDOWS, 4)), axis=1
    )
    weights = np.random.default_rng(0).normal(size=(4, len(STRIP_NAMES) + 4)).astype(np.float32)
    bias = np.zeros(len(STRIP_NAMES) + 4, np.float32)
    bias[1], bias[-4] = score_bias, box_bias
    dense = keras.layers.Dense(len(bias))
    said = dense(columns)
    dense.set_weights([6 * weights, bias])
    peaks = Peaks(SLOTS, reach=2, stride=4, height=DIGIT)(said[..., :-4], said[..., -4:])
    return sequence_reading(images, peaks)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export.to_onnx(reader(), path)
    return path


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (40, *STRIP_SHAPE), np.uint8)
    return ImageSet(images, np.zeros((40, SLOTS), np.uint8), STRIP_NAMES, "embedded")


def test_the_same_model_agrees_in_classes_probabilities_and_boxes(exported, noise):
    parity = export.compare(reader(), exported, noise)
    assert parity.holds
    assert parity.same_readings == len(noise)
    assert 0 <= parity.largest_box_difference <= export.BOX_TOLERANCE
    assert parity.as_dict()["holds"] is True


def test_boxes_elsewhere_do_not_hold(exported, noise):
    parity = export.compare(reader(box_bias=-0.5), exported, noise)
    assert parity.same_readings == len(noise)
    assert parity.largest_box_difference == pytest.approx(0.5, abs=1e-3)
    assert not parity.holds


def test_other_scores_do_not_hold(exported, noise):
    assert not export.compare(reader(score_bias=0.2), exported, noise).holds

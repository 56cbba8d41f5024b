"""An estimator fitted on a small network, from valid to the exported graph."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from pipeline.confidence import fitting, trees
from pipeline.confidence.attached import with_confidence
from pipeline.confidence.estimator import Estimator
from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation.calibration import ece
from pipeline.export import onnx, parity
from pipeline.layers import Confidence, MostProbable
from pipeline.training import models
from pipeline.training.reader import sequence_reader, softmax_reader

NAMES = ("left", "right")


def bars(n, seed):
    """Pictures with a bright bar on the left or on the right, in noise, some too faint to be seen."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, (n, 1), dtype=np.uint8)
    images = random.integers(0, 160, (n, 12, 12, 1))
    bright = random.uniform(0, 60, (n, 1, 1, 1))
    columns = np.arange(12)[None, None, :, None]
    inside = np.where(labels[:, :, None, None] == 0, columns < 3, columns > 8)
    return ImageSet((images + bright * inside).astype(np.uint8), labels, NAMES, "mnist")


@pytest.fixture(scope="module")
def reader():
    """A network whose confidence is too high: its logits are ten times the difference of the two sides."""
    pictures = keras.Input((12, 12, 1), dtype="uint8")
    x = layers.Rescaling(1 / 255)(pictures)
    sides = [ops.mean(x[:, :, :3], axis=(1, 2, 3)), ops.mean(x[:, :, 9:], axis=(1, 2, 3))]
    return softmax_reader(keras.Model(pictures, ops.reshape(100 * ops.stack(sides, -1), (-1, 1, 2))))


@pytest.fixture(scope="module")
def fitted(reader):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "TREES", dict.fromkeys(trees.STARTS, 20))
        yield fitting.calibrate(reader, {"bars": bars(2000, 1)}, pictures=2000, per_shift=100, seed=0)


def test_the_confidence_is_calibrated_on_pictures_that_it_was_not_fitted_on(reader, fitted):
    estimator, record = fitted
    fresh = bars(2000, 2)
    own, read = (models.read(model, fresh.images) for model in (reader, with_confidence(reader, estimator, None)))
    correct = (own.classes == fresh.labels)[:, 0]
    assert np.array_equal(own.classes, read.classes)
    assert np.array_equal(own.probabilities, read.probabilities)
    assert ece(own.confidence, correct) > 0.03
    assert ece(read.confidence, correct) < 0.025
    assert (record.pictures, record.ece < record.ece_before) == (2000, True)


def test_the_threshold_holds_on_fresh_pictures_and_on_noise(reader, fitted):
    estimator, record = fitted
    model = with_confidence(reader, estimator, None)
    fresh = bars(2000, 3)
    readings = models.read(model, fresh.images)
    accepted = readings.confidence >= record.threshold
    assert accepted.mean() > 0.3
    assert (readings.classes == fresh.labels)[accepted].mean() > 0.99
    noise = np.random.default_rng(4).integers(0, 256, (500, 12, 12, 1), dtype=np.uint8)
    assert (models.read(model, noise).confidence >= record.threshold).mean() < 0.02


def test_the_exported_graph_gives_the_same_confidence(reader, fitted, tmp_path):
    estimator, _ = fitted
    estimator.save(tmp_path / "estimator.npz")
    model = with_confidence(reader, Estimator.load(tmp_path / "estimator.npz"), None)
    onnx.to_onnx(model, tmp_path / "model.onnx")
    assert parity.of_export(model, tmp_path / "model.onnx", bars(500, 5)).holds


def test_a_detector_is_exported_whole(monkeypatch, tmp_path):
    """Its digits may be blank, and have boxes: columns of their own, and constants in the graph."""
    monkeypatch.setattr(trees, "TREES", dict.fromkeys(trees.STARTS, 5))
    given = keras.Input((12, 12, 1), dtype="uint8", name="images")
    x = layers.Flatten()(layers.AveragePooling2D(4)(layers.Rescaling(1 / 255)(given)))
    rows = layers.Softmax()(ops.reshape(layers.Dense(4 * 3)(x) * 20, (-1, 4, 3)))
    reading = {
        "probabilities": rows,
        "classes": MostProbable(name="best")(rows),
        "confidence": Confidence(name="joint")(rows),
        "boxes": ops.reshape(layers.Dense(16, activation="relu")(x), (-1, 4, 4)) * 12,
    }
    detector = sequence_reader(given, reading)
    pictures = bars(400, 8)
    labels = models.read(detector, pictures.images).classes
    labels[::3] = (labels[::3] + 1) % 3
    targets = ImageSet(pictures.images, labels, ("0", "1", "blank"), "mnist")
    estimator, _ = fitting.calibrate(detector, {"bars": targets}, pictures=400, per_shift=99, seed=0)
    model = with_confidence(detector, estimator, 2)
    onnx.to_onnx(model, tmp_path / "model.onnx")
    assert parity.of_export(model, tmp_path / "model.onnx", targets).holds


def test_the_digits_of_a_detector_are_compared_from_left_to_right():
    """Class 1 on the right is listed first, class 0 on the left second."""
    given = keras.Input((12, 12, 1), dtype="uint8", name="images")
    empty = ops.cast(ops.mean(given, axis=(1, 2, 3)), "float32")[:, None, None] * 0
    rows = empty + np.array([[[0, 0.9, 0.1], [0.8, 0.1, 0.1]]], np.float32)
    reading = {
        "probabilities": rows,
        "classes": MostProbable(name="best")(rows),
        "confidence": Confidence(name="joint")(rows),
        "boxes": empty + np.array([[[8, 0, 12, 12], [0, 0, 4, 12]]], np.float32),
    }
    targets = ImageSet(bars(40, 9).images, np.tile(np.uint8([0, 1]), (40, 1)), ("0", "1", "blank"), "mnist")
    seen = fitting.observe(sequence_reader(given, reading), {"bars": targets}, pictures=40, per_shift=9, seed=0)
    assert seen.correct.all()


def test_a_damaged_estimator_is_named(fitted, tmp_path):
    np.savez(tmp_path / "estimator.npz", curve=np.zeros(2))
    with pytest.raises(DataError, match=r"estimator\.npz: centre missing"):
        Estimator.load(tmp_path / "estimator.npz")


def test_the_same_pictures_under_two_lists_of_labels_count_once_and_both_must_agree(reader):
    published = bars(300, 6)
    other = ImageSet(published.images, 1 - published.labels, NAMES, "mnist")
    seen = fitting.observe(reader, {"a": published, "b": other}, pictures=300, per_shift=99, seed=0)
    assert (seen.kind == 0).sum() == 300
    assert not seen.correct.any()


def test_a_model_that_reads_nothing_correctly_accepts_nothing(reader):
    wrong = bars(300, 7)
    wrong = ImageSet(wrong.images, np.full((300, 1), 2, np.uint8), (*NAMES, "neither"), "mnist")
    _, record = fitting.calibrate(reader, {"bars": wrong}, pictures=300, per_shift=99, seed=0)
    assert (record.threshold, record.coverage, record.accuracy) == (None, 0, None)


def test_without_pictures_there_is_nothing_to_fit(reader):
    with pytest.raises(DataError, match="no valid split"):
        fitting.calibrate(reader, {}, pictures=10, per_shift=99, seed=0)


def test_readings_keep_their_form(reader, fitted):
    outputs = with_confidence(reader, fitted[0], None)(np.zeros((2, 12, 12, 1), np.uint8))
    readings = Readings.of({name: value.numpy() for name, value in outputs.items()})
    assert (readings.confidence.shape, readings.confidence.dtype) == ((2,), np.float32)


@pytest.mark.parametrize(("price", "start"), [(1.0, "constant"), (-1.0, "own")])
def test_the_start_at_a_constant_may_cost_so_much_coverage(reader, monkeypatch, price, start):
    monkeypatch.setattr(trees, "TREES", dict.fromkeys(trees.STARTS, 5))
    monkeypatch.setattr(fitting, "PRICE", price)
    _, record = fitting.calibrate(reader, {"bars": bars(1000, 9)}, pictures=1000, per_shift=99, seed=0)
    assert record.start == start

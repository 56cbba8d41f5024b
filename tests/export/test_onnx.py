"""What the proof of an export notices."""

from functools import partial

import keras
import numpy as np
import pytest

from pipeline.core.images import BLANK, DIGIT, SLOTS, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.core.readings import Readings
from pipeline.export import onnx, parity
from pipeline.layers import Detections, Peaks
from pipeline.layers.readout import best
from pipeline.training import models
from pipeline.training.reader import sequence_reader

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
    scores = dense(columns)
    dense.set_weights([6 * weights, bias])
    peaks = Peaks(SLOTS, reach=2, stride=4, height=DIGIT)(scores[..., :-4], scores[..., -4:])
    return sequence_reader(images, peaks)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    onnx.to_onnx(reader(), path)
    return path


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (40, *STRIP_SHAPE), np.uint8)
    return ImageSet(images, np.zeros((40, SLOTS), np.uint8), STRIP_NAMES, "embedded")


def test_the_same_model_agrees_in_classes_probabilities_and_boxes(exported, noise):
    proof = parity.of_export(reader(), exported, noise)
    assert proof.holds
    assert proof.same_readings == len(noise)
    assert proof.differing == proof.unsteady == 0
    assert 0 <= proof.largest_box_difference <= parity.BOX_TOLERANCE
    assert proof.largest_difference == float(f"{proof.largest_difference:.1e}"), "the same from run to run"


def test_boxes_elsewhere_do_not_hold(exported, noise):
    proof = parity.of_export(reader(box_bias=-0.5), exported, noise)
    assert proof.same_readings == len(noise)
    assert proof.largest_box_difference == pytest.approx(0.5, abs=1e-3)
    assert not proof.holds


def test_other_scores_do_not_hold(exported, noise):
    proof = parity.of_export(reader(score_bias=0.2), exported, noise)
    assert proof.differing > proof.unsteady
    assert not proof.holds


def test_another_confidence_does_not_hold(exported, noise):
    honest = reader()
    images = honest.inputs[0]
    outputs = honest(images)
    boasting = keras.Model(images, {**outputs, "confidence": keras.ops.ones_like(outputs["confidence"])})
    found = parity.of_export(boasting, exported, noise)
    assert found.same_readings == len(noise)
    assert found.largest_difference > 0.1
    assert not found.holds


def test_digits_in_another_order_are_the_same_reading(noise):
    """A detector's slots are sorted by probability, and rounding decides between two that are equally probable."""
    read = partial(models.read, reader())
    ours = read(noise.images)
    several = (ours.classes != BLANK).sum(axis=1) > 1
    assert several.any()
    turned = Readings(ours.probabilities[:, ::-1], ours.classes[:, ::-1], ours.confidence, ours.boxes[:, ::-1])
    proof = parity.compare(read, noise.images, turned)
    assert proof.holds
    assert proof.same_readings == len(noise)
    elsewhere = Readings(turned.probabilities, turned.classes, turned.confidence, ours.boxes)
    assert not parity.compare(read, noise.images, elsewhere).holds


def choosing(edge, to=0.9):
    """A model whose reading jumps where the mean of a picture, on the scale 0 to 1, passes `edge`."""
    images = keras.Input((4, 4, 1), dtype="uint8", name="images")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    over = keras.ops.cast(mean > edge, "float32")
    first = 0.6 + (to - 0.6) * over
    probabilities = keras.ops.stack([first, 1 - first], axis=-1)
    classes = best(probabilities)
    return keras.Model(
        images, {"probabilities": probabilities, "classes": classes, "confidence": keras.ops.squeeze(first, -1)}
    )


@pytest.mark.parametrize(
    ("edge", "to", "pictures", "differing", "unsteady", "holds"),
    [
        # The mean of the first picture lies between the edges, of which a runtime that rounds may take either.
        (0.5001, 0.9, 400, 1, 1, True),
        (0.5001, 0.3, 400, 1, 1, True),
        # Beyond the edge's reach of a grey level: no matter of rounding.
        (0.6, 0.9, 400, 1, 0, False),
        # So many that it cannot be rounding.
        (0.5001, 0.9, 3, 3, 0, False),
    ],
    ids=["a choice", "a class", "another model", "all of them"],
)
def test_a_picture_that_a_grey_level_reads_otherwise_may_differ(
    tmp_path, edge, to, pictures, differing, unsteady, holds
):
    onnx.to_onnx(choosing(edge, to), tmp_path / "model.onnx")
    images = np.zeros((pictures, 4, 4, 1), np.uint8)
    images[:differing, :2] = 255
    images[:differing, 2, 0] = 255 if edge == 0.6 else 0
    seen = ImageSet(images, np.zeros((pictures, 1), np.uint8), ("a", "b"), "embedded")
    proof = parity.of_export(choosing(0.5 - 1e-7, to), tmp_path / "model.onnx", seen)
    assert (proof.differing, proof.unsteady, proof.holds) == (differing, unsteady, holds)
    assert proof.largest_difference == pytest.approx(0.0 if holds else abs(to - 0.6), abs=1e-3)


def test_regions_with_equal_crops_of_which_a_runtime_takes_either_may_differ(tmp_path):
    """No pixel tells two equal regions apart; moving them by a hundredth of a pixel does."""

    def first_or_second(last):
        images = keras.Input((4, 4, 1), dtype="uint8", name="images")
        regions = keras.Input((2, 4), dtype="float32", name="regions")
        seen = keras.ops.mean(keras.layers.Rescaling(1 / 255)(images), axis=(1, 2, 3))[:, None]
        # The wider region wins; of equal ones the first, or the last where that is added to.
        first, second = regions[:, 0, 2] - regions[:, 0, 0], regions[:, 1, 2] - regions[:, 1, 0] + last
        widths = keras.ops.stack([first, second], axis=-1)
        chosen = keras.ops.one_hot(best(widths), 2)
        probability = 0.9 + 0.0 * seen
        probabilities = keras.ops.stack([probability, 1 - probability], axis=-1)
        outputs = {
            "probabilities": probabilities,
            "classes": best(probabilities),
            "confidence": keras.ops.squeeze(probability, -1),
            "boxes": keras.ops.matmul(chosen[:, None], regions),
        }
        return keras.Model([images, regions], outputs)

    onnx.to_onnx(first_or_second(1e-4), tmp_path / "model.onnx")
    pictures = ImageSet(np.zeros((400, 4, 4, 1), np.uint8), np.zeros((400, 1), np.uint8), ("a", "b"), "embedded")
    regions = np.tile(np.array([[0, 0, 3, 3], [0, 0, 2, 3]], np.float32), (400, 1, 1))
    regions[7] = [[0, 0, 2, 3], [1, 0, 3, 3]]
    proof = parity.of_export(first_or_second(0.0), tmp_path / "model.onnx", pictures, regions)
    assert (proof.differing, proof.unsteady, proof.holds) == (1, 1, True)
    proof = parity.of_export(first_or_second(5.0), tmp_path / "model.onnx", pictures, regions)
    assert not proof.holds


def detector(ahead, *, second=False, shift=0.0, shared=0.5):
    """A detector of sixteen boxes in eight pairs, whose two overlap by four fifths and are nearly as probable.

    Args:
        ahead: by how much, in log odds, one box of each pair is more probable.
        second: it is the second one, not the first.
        shift: of every box, in pixels.
        shared: share of the smaller box from which two boxes are rivals.
    """
    regions = np.array(
        [[14 * pair + 2 * side, 5, 14 * pair + 2 * side + 10, 15] for pair in range(8) for side in (0, 1)]
    )
    logits = np.zeros((16, len(STRIP_NAMES)), np.float32)
    logits[:, 2] = 0.1
    logits[int(second) :: 2, :-1] += ahead
    images = keras.Input((4, 4, 1), dtype="uint8", name="images")
    nothing = 0.0 * keras.ops.mean(keras.layers.Rescaling(1 / 255)(images), axis=(1, 2, 3))[:, None, None]
    given = [nothing + (regions + shift).astype(np.float32), nothing + logits, nothing + np.zeros((16, 4), np.float32)]
    return keras.Model(images, Detections(112, shared=shared, dtype="float32")(given))


@pytest.fixture(scope="module")
def second_of_each(tmp_path_factory):
    """The ONNX file of a detector that reads the second box of each pair, which is as probable as the first."""
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    onnx.to_onnx(detector(1e-5, second=True), path)
    return path


def of_detectors(ours, path):
    """The proof of 40 pictures, of which boxes alone may differ."""
    pictures = ImageSet(np.zeros((40, 4, 4, 1), np.uint8), np.zeros((40, 1), np.uint8), STRIP_NAMES, "embedded")
    proof = parity.of_export(ours, path, pictures)
    assert proof.same_readings == len(pictures)
    assert proof.largest_difference <= parity.TOLERANCE
    assert proof.unsteady == 0
    return proof


@pytest.mark.parametrize(
    ("ours", "holds"),
    [
        (detector(0.0), True),
        (detector(1e-5), True),
        # A thousandth is no rounding, though it changes a probability by less than the tolerance.
        (detector(1e-3), False),
        # No candidate is there.
        (detector(0.0, shift=1.0), False),
        (detector(1e-5, second=True, shift=0.1), False),
    ],
    ids=["an exact tie", "a tie", "no tie", "boxes elsewhere", "boxes a little elsewhere"],
)
def test_of_boxes_that_are_as_probable_a_runtime_may_read_either(second_of_each, ours, holds):
    proof = of_detectors(ours, second_of_each)
    assert (proof.differing, proof.holds) == (0 if holds else 40, holds)
    assert (proof.largest_box_difference <= parity.BOX_TOLERANCE) == holds


def test_boxes_that_suppression_should_have_removed_do_not_hold(tmp_path):
    """They are as probable as those that Keras reads."""
    onnx.to_onnx(detector(0.0, shared=1.0), tmp_path / "model.onnx")
    proof = of_detectors(detector(0.0), tmp_path / "model.onnx")
    assert (proof.differing, proof.holds) == (40, False)

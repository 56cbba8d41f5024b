"""What the estimator sees: statistics of pictures and evidence of readings, against values worked out by hand."""

import numpy as np
import pytest
from keras import ops

from pipeline.confidence.evidence import RAW, reading_evidence
from pipeline.confidence.statistics import LEVELS, picture_statistics


def statistics(images):
    return ops.convert_to_numpy(picture_statistics(ops.convert_to_tensor(images)))


def test_a_black_and_a_white_picture_have_the_statistics_that_they_must_have():
    black, white = statistics(np.stack([np.zeros((8, 12, 1), np.uint8), np.full((8, 12, 1), 255, np.uint8)]))
    assert black[:4] == pytest.approx([0, 1e-4, 0, 0], abs=1e-6)
    assert white[:4] == pytest.approx([1, 1e-4, 1, 1], abs=1e-6)
    above = slice(4, 4 + len(LEVELS))
    assert black[above].tolist() == [0] * len(LEVELS)
    assert white[above].tolist() == [1] * len(LEVELS)


def test_closing_fills_a_hole_that_opening_leaves():
    picture = np.full((1, 9, 9, 1), 255, np.uint8)
    picture[0, 4, 4] = 0
    found = statistics(picture)[0, 4 + len(LEVELS) + 6 :]
    dilation, erosion, closing, opening = found[:4] * 81
    assert (dilation, erosion, closing, opening) == pytest.approx((1, 8, 1, 0), abs=1e-4)


def test_colour_adds_eight_columns():
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    assert statistics(images).shape == (3, 44)
    assert statistics(images[..., :1]).shape == (3, 36)


def outputs(probabilities, classes, confidence, boxes=None):
    given = {
        "probabilities": np.asarray(probabilities, np.float32),
        "classes": np.asarray(classes, np.int32),
        "confidence": np.asarray(confidence, np.float32),
    }
    if boxes is not None:
        given["boxes"] = np.asarray(boxes, np.float32)
    return {name: ops.convert_to_tensor(value) for name, value in given.items()}


def test_the_log_odds_are_those_of_the_class_that_was_read_and_not_of_the_most_probable():
    rows = [[[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]]]
    found = ops.convert_to_numpy(reading_evidence(outputs(rows, [[0, 0]], [0.1]), None))[0]
    assert found[RAW] == pytest.approx(np.log(0.1 / 0.9), abs=1e-3)
    assert found[1] == pytest.approx(np.log(0.2 / 0.8), abs=1e-4)
    assert found[2] == pytest.approx((np.log(0.2 / 0.8) + 0) / 2, abs=1e-4)
    assert found[3] == pytest.approx(np.log(0.5 / 0.3), abs=1e-4)
    assert found[6:].tolist() == pytest.approx([0.35, 0.5, 0.15])


def test_tiny_probabilities_of_other_classes_still_count():
    rows = np.array([[[1, 1e-5, 0]], [[1, 1e-6, 0]]], np.float32)
    found = ops.convert_to_numpy(reading_evidence(outputs(rows, [[0], [0]], [1, 1]), None))
    assert found[1, 1] - found[0, 1] > 2


def test_digits_and_blanks_are_apart_and_boxes_have_their_sides():
    rows = [[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]]
    boxes = [[[0, 0, 10, 20], [0, 0, 0, 0], [12, 0, 16, 20]]]
    found = ops.convert_to_numpy(reading_evidence(outputs(rows, [[0, 1, 0]], [0.4], boxes), blank=1))[0]
    digits, least_digit, least_blank, wide, wide_varies, high, high_varies, nearest = found[8:]
    assert (digits, wide, high, nearest) == pytest.approx((2, 7, 20, 9), abs=1e-4)
    assert (wide_varies, high_varies) == pytest.approx((3, 0), abs=2e-3)
    assert least_digit == pytest.approx(np.log(0.6 / 0.4), abs=1e-4)
    assert least_blank == pytest.approx(np.log(0.8 / 0.2), abs=1e-4)


def test_the_own_log_odds_near_one_come_from_what_the_other_classes_have():
    rows = np.array([[[1, 4e-6], [1, 3e-6]], [[1, 4e-6], [1, 3e-6]]], np.float32)
    confidence = np.array([np.float32(1 - 7e-6) + np.float32(1.2e-7), 0.5], np.float32)
    found = ops.convert_to_numpy(reading_evidence(outputs(rows, [[0, 0]] * 2, confidence), None))[:, RAW]
    assert found[0] == pytest.approx(-np.log(7e-6 + 1e-4), abs=1e-5)
    # A confidence that is not the product of the slots is taken as it is.
    assert found[1] == pytest.approx(0, abs=1e-3)

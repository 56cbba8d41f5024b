"""Readings beside their targets: exact matches, the order of slots, and what cannot be compared."""

import numpy as np
import pytest
from evaluations import boxed, boxed_pictures, pictures, readings, rows

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, DIGIT_NAMES
from pipeline.core.readings import left_to_right
from pipeline.evaluation.detection import slot_scores
from pipeline.evaluation.evaluated import Evaluated

NOWHERE = (0, 0, 0, 0)


def square(x, y=0, side=10):
    """A box."""
    return (x, y, x + side, y + side)


def test_exact_matches_are_found():
    evaluated = Evaluated.of(readings(rows("1_2", "12_", "21_"), [0.5] * 3), pictures(rows("12_", "12_", "12_")))
    assert evaluated.correct.tolist() == [True, True, False]
    assert (len(evaluated), evaluated.blank, evaluated.positional, evaluated.has_boxes) == (3, BLANK, True, False)


def test_digits_without_positions_are_compared_from_left_to_right():
    # By falling confidence, with a blank in between whose box is further left than all digits.
    read = boxed(["3_12"], [[square(60), square(-50), square(5), square(30, y=80)]], [[0.9, 0.8, 0.7, 0.6]])
    ordered = left_to_right(read, BLANK)
    assert ordered.classes.tolist() == rows("123_").tolist()
    assert ordered.boxes[0, :, 0].tolist() == [5, 30, 60, -50]
    assert np.array_equal(slot_scores(ordered), np.array([[0.7, 0.6, 0.9, 0.8]], np.float32))
    targets = boxed_pictures(["123_"], [[square(4), square(31, y=80), square(61), NOWHERE]])
    assert Evaluated.of(ordered, targets, positional=False).correct.tolist() == [True]
    assert Evaluated.of(read, targets, positional=False).correct.tolist() == [False]


def test_without_boxes_the_order_stays():
    read = readings(rows("21"), [0.5])
    assert left_to_right(read, BLANK) is read


def test_a_model_of_eleven_classes_can_read_pictures_of_ten():
    evaluated = Evaluated.of(readings([[1], [BLANK]], [0.5, 0.5]), pictures(rows("1", "2"), DIGIT_NAMES))
    assert evaluated.correct.tolist() == [True, False]
    assert evaluated.blank is None


@pytest.mark.parametrize(
    ("read", "labels", "expected"),
    [
        pytest.param(readings(rows("1"), [np.nan]), rows("1"), "NaN", id="NaN"),
        pytest.param(readings(rows("1"), [1.5]), rows("1"), "0 to 1", id="above one"),
        pytest.param(readings(rows("1", "1"), [1, 1]), rows("1"), "2 readings of 1 pictures", id="too many"),
        pytest.param(readings(np.zeros((0, 1)), []), np.zeros((0, 1), np.uint8), "no pictures", id="none"),
    ],
)
def test_what_cannot_be_compared_is_an_error_of_one_line(read, labels, expected):
    with pytest.raises(DataError, match=expected) as caught:
        Evaluated.of(read, pictures(labels))
    assert "\n" not in str(caught.value)

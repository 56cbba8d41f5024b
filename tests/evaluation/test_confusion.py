"""Which class is taken for which, with and without positions."""

import numpy as np
from evaluations import pictures, readings, rows

from pipeline.core.images import BLANK, DIGIT_NAMES
from pipeline.evaluation.confusion import Confusion, counts
from pipeline.evaluation.evaluated import Evaluated


def test_targets_are_in_the_rows():
    found = counts(rows("112"), rows("122"), 11)
    assert (found[1, 1], found[2, 1], found[2, 2], found.sum()) == (1, 1, 1, 3)


def test_with_positions_slot_is_compared_with_slot():
    found = Confusion.of(Evaluated.of(readings(rows("1_2"), [1]), pictures(rows("12_"))))
    assert found.names[BLANK] == "blank"
    assert np.argwhere(found.counts).tolist() == [[1, 1], [2, BLANK], [BLANK, 2]]
    assert found.pictures == 1


def test_without_positions_digits_are_compared_where_their_number_is_correct():
    evaluated = Evaluated.of(
        readings(rows("_17", "33_", "45_"), [1, 1, 1]), pictures(rows("12_", "3__", "45_")), positional=False
    )
    found = Confusion.of(evaluated)
    assert found.names == DIGIT_NAMES
    assert np.argwhere(found.counts).tolist() == [[1, 1], [2, 7], [4, 4], [5, 5]]
    assert found.pictures == 2


def test_a_class_that_the_pictures_do_not_have_gets_a_name():
    found = Confusion.of(Evaluated.of(readings([[BLANK]], [1]), pictures(rows("1"), DIGIT_NAMES)))
    assert found.names[BLANK] == "class 10"
    assert found.counts[1, BLANK] == 1


def test_as_csv_cells_without_counts_are_left_out():
    found = Confusion.of(Evaluated.of(readings(rows("12", "13"), [1, 1]), pictures(rows("12", "12"))))
    assert found.as_csv("strips", "slice") == (
        "task,strategy,target,prediction,count\nstrips,slice,1,1,2\nstrips,slice,2,2,1\nstrips,slice,2,3,1\n"
    )

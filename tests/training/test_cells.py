"""Cells of strips as single digits: labels stay with their pictures, and the shares are those that were asked for."""

import numpy as np
import pytest

from pipeline.core.images import BLANK, STRIP_NAMES, ImageSet
from pipeline.data import strips
from pipeline.training import cells


@pytest.fixture
def digits(embedded):
    return embedded["mnist/mnist"]["train"]


def test_blanks_are_a_tenth_and_empty(digits):
    both = cells.with_blanks(digits)
    blank = both.labels[:, 0] == BLANK
    assert blank.sum() == max(1, len(digits) // 10)
    assert not both.images[blank].any()
    np.testing.assert_array_equal(both.images[~blank], digits.images)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_cells_are_cut_out_with_their_labels_in_the_share_that_was_asked_for(digits, share):
    composed = strips.compose(digits, rounds=4, fewest=0, most=5, jitter=False, clutter=False, seed=3)
    both = cells.with_cells_of(composed, cells.with_blanks(digits), share)
    cut = 5 * len(composed)
    assert both.class_names == STRIP_NAMES
    repeated = len(both) - cut
    times = repeated / len(cells.with_blanks(digits))
    assert times == round(times) >= 1
    assert abs(times - cut * (1 - share) / share / len(cells.with_blanks(digits))) <= max(0.5, 1 - share)
    known = {picture.tobytes(): int(label) for picture, label in zip(digits.images, digits.labels[:, 0], strict=True)}
    for picture, label in zip(both.images[-cut:], both.labels[-cut:, 0], strict=True):
        assert label == (known[picture.tobytes()] if picture.any() else BLANK)


def test_a_cell_holds_its_own_columns_of_the_strip():
    images = np.repeat(np.arange(1, 6, dtype=np.uint8), 28)[None, None, :, None] * np.ones((1, 28, 1, 1), np.uint8)
    strip = ImageSet(images, np.array([[4, 3, 2, 1, 0]], np.uint8), STRIP_NAMES, "test")
    digit = ImageSet(np.zeros((1, 28, 28, 1), np.uint8), np.array([[BLANK]], np.uint8), STRIP_NAMES, "test")
    both = cells.with_cells_of(strip, digit, 0.5)
    assert [set(np.unique(picture)) for picture in both.images[-5:]] == [{1}, {2}, {3}, {4}, {5}]
    assert both.labels[-5:, 0].tolist() == [4, 3, 2, 1, 0]

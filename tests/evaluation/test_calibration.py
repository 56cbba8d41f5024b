"""Calibration and coverage against cases worked out by hand, and what holds for all confidences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.core.errors import DataError
from pipeline.evaluation import calibration


@st.composite
def outcomes(draw):
    """Confidences and exact matches."""
    n = draw(st.integers(1, 60))
    confidence = draw(arrays.arrays(np.float32, n, elements=st.floats(0, 1, width=32)))
    return confidence, draw(arrays.arrays(bool, n))


def test_calibration_error_is_the_weighted_gap_of_the_bins():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.5, 0.5], np.float32)
    correct = np.array([True, True, True, False, True, False])
    bins = calibration.reliability(confidence, correct)
    assert bins.count.tolist() == [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 4]
    assert bins.ece == pytest.approx(4 / 6 * 0.2 + 2 / 6 * 0, abs=1e-6)
    assert calibration.ece(np.array([0.0, 1.0]), np.array([False, True])) == 0


def test_an_edge_belongs_to_the_bin_below_it():
    assert calibration.reliability(np.array([0.5, 0.500001]), np.array([True, True]), bins=2).count.tolist() == [1, 1]


def test_the_threshold_is_the_lowest_that_reaches_the_target():
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    correct = np.array([True, False, True, True, False])
    assert calibration.coverage_threshold(confidence, correct, target=0.75) == 0.6
    assert calibration.coverage(confidence, correct, 0.6) == (0.8, 0.75)
    assert calibration.coverage_threshold(confidence, correct) == 0.9
    assert calibration.coverage_threshold(confidence, ~correct) is None
    assert calibration.coverage(confidence, correct, None) == (None, None)
    assert calibration.coverage(confidence, correct, 0.95) == (0, None)


def test_199_of_200_are_enough():
    correct = np.arange(200) > 0
    assert calibration.coverage_threshold(np.linspace(0.1, 0.9, 200), correct) == 0.1
    correct[1] = False
    assert calibration.coverage_threshold(np.linspace(0.1, 0.9, 200), correct) > 0.1


def test_equal_confidences_are_accepted_together_or_not_at_all():
    confidence, correct = np.full(100, 0.5), np.arange(100) > 9
    assert calibration.coverage_threshold(confidence, correct) is None


def test_no_pictures_are_an_error():
    with pytest.raises(DataError):
        calibration.reliability(np.zeros(0), np.zeros(0, bool))
    with pytest.raises(DataError):
        calibration.coverage_threshold(np.zeros(0), np.zeros(0, bool))


@given(outcomes())
@settings(max_examples=200)
def test_the_threshold_reaches_the_target_and_no_lower_one_does(outcome):
    confidence, correct = outcome
    threshold = calibration.coverage_threshold(confidence, correct, target=0.8)
    tried = [t for t in np.unique(np.floor(confidence.astype(float) * 1e6) / 1e6) if correct[confidence >= t].size]
    reach = [t for t in tried if correct[confidence.astype(float) >= t].mean() >= 0.8 - 1e-9]
    if threshold is None:
        assert not reach
        return
    assert threshold == pytest.approx(min(reach), abs=1e-9)
    share, accuracy = calibration.coverage(confidence, correct, threshold)
    assert share > 0
    assert accuracy >= 0.8 - 1e-9


@given(outcomes())
def test_calibration_error_is_bounded_and_bins_hold_every_picture(outcome):
    confidence, correct = outcome
    bins = calibration.reliability(confidence, correct)
    assert bins.count.sum() == len(correct)
    assert 0 <= bins.ece <= 1
    assert bins.ece >= abs(confidence.astype(float).mean() - correct.mean()) - 1e-9

"""Calibration and coverage against cases worked out by hand, and what holds for all confidences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

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


@pytest.mark.parametrize(("correct", "n"), [(460, 460), (459, 460), (995, 1000), (1, 3), (0, 5)])
def test_the_limit_is_the_share_at_which_so_many_are_as_rare_as_the_level_says(correct, n):
    limit = float(calibration.lower_limit(correct, n, 0.9))
    assert limit == 0 if correct == 0 else stats.binom.sf(correct - 1, n, limit) == pytest.approx(0.1)


def test_460_readings_without_an_error_are_enough_and_fewer_are_not():
    confidence = np.linspace(0.1, 0.9, 460)
    assert calibration.coverage_threshold(confidence, np.ones(460, bool)) == 0.1
    assert calibration.coverage_threshold(confidence[1:], np.ones(459, bool)) is None
    assert calibration.coverage_threshold(confidence, np.ones(460, bool), level=0.95) is None


def test_one_error_needs_777_readings():
    confidence, correct = np.linspace(0.1, 0.9, 777), np.arange(777) > 0
    assert calibration.coverage_threshold(confidence, correct) == 0.1
    assert calibration.coverage_threshold(confidence[:-1], correct[:-1]) > 0.1


def test_the_sequence_ends_at_the_first_threshold_that_does_not_hold():
    # The error among the 460 most confident readings is found at the first test; those below can no longer help.
    confidence = np.linspace(0.9, 0.1, 2000)
    correct = np.ones(2000, bool)
    correct[100] = False
    assert calibration.lower_limit(1999, 2000) > 0.995
    assert calibration.coverage_threshold(confidence, correct) is None
    # One error after the first test: the sequence ends there, although enough readings follow.
    correct[[100, 500]] = True, False
    assert calibration.coverage_threshold(confidence, correct) == pytest.approx(confidence[499], abs=1e-6)


def test_coverage_is_0_where_nothing_is_accepted():
    confidence, correct = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([True, False, True, True, False])
    assert calibration.coverage(confidence, correct, 0.6) == (0.8, 0.75)
    assert calibration.coverage(confidence, correct, None) == (0, None)
    assert calibration.coverage(confidence, correct, 0.95) == (0, None)


def test_equal_confidences_are_accepted_together_or_not_at_all():
    confidence, correct = np.full(1000, 0.5), np.arange(1000) > 9
    assert calibration.coverage_threshold(confidence, correct) is None
    assert calibration.coverage_threshold(confidence, np.ones(1000, bool)) == 0.5


def test_the_accuracy_is_below_the_target_in_at_most_one_of_ten_samples():
    # Readings of which the true accuracy above a confidence is known: it falls from 1 at 1 to 0.99 at 0.
    rng, samples, below, found = np.random.default_rng(5), 300, 0, 0
    for _ in range(samples):
        confidence = rng.random(2000)
        correct = rng.random(2000) < 1 - 0.03 * (1 - confidence) ** 2
        threshold = calibration.coverage_threshold(confidence, correct)
        if threshold is not None:
            found += 1
            below += 1 - 0.01 * (1 - threshold) ** 2 < calibration.TARGET
    # 99.5 % are correct above 0.29. One standard error of 0.1 over 300 samples is 0.017.
    assert found > samples / 2
    assert below / samples < 0.1 + 2 * 0.017


def test_no_pictures_are_an_error():
    with pytest.raises(DataError):
        calibration.reliability(np.zeros(0), np.zeros(0, bool))
    with pytest.raises(DataError):
        calibration.coverage_threshold(np.zeros(0), np.zeros(0, bool))


@given(outcomes(), st.sampled_from([0.5, 0.8, 0.9]))
@settings(max_examples=200)
def test_the_threshold_is_that_of_a_loop_over_thresholds(outcome, target):
    confidence, correct = outcome
    confidence = confidence.astype(float)
    expected = None
    for tried in sorted({float(np.floor(each * 1e6)) / 1e6 for each in confidence}, reverse=True):
        accepted = correct[confidence >= tried]
        if not len(accepted) or 0.1 ** (1 / len(accepted)) < target:
            continue
        if stats.binom.sf(accepted.sum() - 1, len(accepted), target) > 0.1:
            break
        expected = tried
    assert calibration.coverage_threshold(confidence, correct, target=target) == (
        None if expected is None else pytest.approx(expected, abs=1e-9)
    )


@given(outcomes())
def test_calibration_error_is_bounded_and_bins_hold_every_picture(outcome):
    confidence, correct = outcome
    bins = calibration.reliability(confidence, correct)
    assert bins.count.sum() == len(correct)
    assert 0 <= bins.ece <= 1
    assert bins.ece >= abs(confidence.astype(float).mean() - correct.mean()) - 1e-9

"""Accuracies against cases worked out by hand, and what holds for all readings."""

import numpy as np
import pytest
from evaluations import rows
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, DIGIT_NAMES, STRIP_NAMES
from pipeline.evaluation import accuracy

SLOTS = st.integers(1, 5)


def slots_of(n, slots, highest=BLANK):
    """A strategy of uint8 (n, slots)."""
    return arrays.arrays(np.uint8, (n, slots), elements=st.integers(0, highest))


@st.composite
def pairs(draw, highest=BLANK):
    """Readings and targets. Most slots agree, as they do in practice; independent draws would hardly ever."""
    n, slots = draw(st.integers(1, 12)), draw(SLOTS)
    targets = draw(slots_of(n, slots, highest))
    wrong = draw(arrays.arrays(bool, (n, slots), elements=st.sampled_from([False, False, False, True])))
    return np.where(wrong, draw(slots_of(n, slots, highest)), targets), targets


def test_a_sequence_is_correct_when_its_digits_and_their_number_are_wherever_the_blanks_are():
    targets = rows("1_2__", "12345", "_____", "1____", "11___")
    read = rows("__12_", "12354", "_____", "11___", "1____")
    assert accuracy.sequence_correct(read, targets, BLANK).tolist() == [True, False, True, False, False]
    assert accuracy.sequence_accuracy(read, targets, BLANK) == 0.4


def test_without_a_blank_class_nothing_is_removed():
    assert accuracy.blank_of(DIGIT_NAMES) is None
    assert accuracy.blank_of(STRIP_NAMES) == BLANK
    ten = np.full((1, 1), BLANK, np.uint8)
    assert accuracy.sequence_accuracy(ten, np.zeros((1, 1), np.uint8), None) == 0


def test_readings_of_another_width_are_filled_up_with_blanks():
    assert accuracy.sequence_accuracy(rows("12___", "1234_"), rows("12__", "123_"), BLANK) == 0.5
    assert accuracy.sequence_accuracy(rows("12"), rows("12_"), BLANK) == 1
    with pytest.raises(DataError, match="2 slots and the targets 3"):
        accuracy.sequence_accuracy(rows("12"), rows("123"), None)


def test_slot_accuracy_counts_blanks_and_digit_accuracy_does_not():
    targets, read = rows("12___", "345__"), rows("1_2__", "345__")
    assert accuracy.per_slot_accuracy(read, targets).tolist() == [1, 0.5, 0.5, 1, 1]
    assert accuracy.slot_accuracy(read, targets) == 0.8
    assert accuracy.digit_accuracy(read, targets, BLANK) == 0.8
    assert accuracy.digit_accuracy(read, targets, BLANK, positional=False) == 1
    assert accuracy.digit_accuracy(rows("__"), rows("__"), BLANK) is None


def test_without_positions_one_digit_too_many_costs_only_itself():
    assert accuracy.digit_accuracy(rows("71234"), rows("1234_"), BLANK, positional=False) == 1
    assert accuracy.digit_accuracy(rows("13245"), rows("12345"), BLANK, positional=False) == 0.8
    assert accuracy.digit_accuracy(rows("71234"), rows("1234_"), BLANK) == 0


def test_accuracy_power_n_is_the_sequence_accuracy_of_independent_errors():
    labels = rows("12345", "12___", "_____")
    assert accuracy.accuracy_power_n(0.9, labels, BLANK) == pytest.approx((0.9**5 + 0.9**2 + 1) / 3)
    assert accuracy.accuracy_power_n(0.9, labels[:, :1], None) == pytest.approx(0.9)
    assert accuracy.accuracy_power_n(None, labels, BLANK) is None


def test_digits_are_counted_whichever_they_are():
    targets = rows("12345", "12___", "12___", "_____")
    read = rows("54321", "_3_4_", "123__", "_____")
    assert accuracy.count_accuracy(read, targets, BLANK) == 0.75
    assert accuracy.count_accuracy(read, targets, None) is None


def test_wilson_gives_the_published_interval():
    # Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (correct, n), interval in published.items():
        assert accuracy.wilson(correct, n) == pytest.approx(interval, abs=5e-5)


@pytest.mark.parametrize("score", [accuracy.sequence_accuracy, accuracy.digit_accuracy, accuracy.count_accuracy])
def test_no_pictures_are_an_error(score):
    with pytest.raises(DataError):
        score(np.zeros((0, 5), np.uint8), np.zeros((0, 5), np.uint8), BLANK)


@given(pairs(highest=9))
def test_without_blanks_sequence_accuracy_is_at_most_slot_accuracy(pair):
    read, targets = pair
    assert accuracy.sequence_accuracy(read, targets, BLANK) <= accuracy.slot_accuracy(read, targets) + 1e-12
    assert accuracy.digit_accuracy(read, targets, BLANK) == pytest.approx(accuracy.slot_accuracy(read, targets))


@given(pairs())
def test_slots_that_all_agree_make_a_correct_sequence(pair):
    read, targets = pair
    agree = np.all(read == targets, axis=1)
    assert np.all(accuracy.sequence_correct(read, targets, BLANK)[agree])
    assert agree.mean() <= accuracy.slot_accuracy(read, targets) + 1e-12


@given(pairs())
def test_matching_in_order_finds_at_least_the_digits_in_their_slots(pair):
    read, targets = pair
    by_slot = accuracy.digit_accuracy(read, targets, BLANK)
    in_order = accuracy.digit_accuracy(read, targets, BLANK, positional=False)
    assert by_slot is None if in_order is None else by_slot <= in_order <= 1


@given(st.integers(1, 5000), st.data())
def test_wilson_contains_the_share_and_stays_within_0_and_1(n, data):
    correct = data.draw(st.integers(0, n))
    low, high = accuracy.wilson(correct, n)
    assert 0 <= low <= correct / n <= high <= 1

"""Every score against a case worked out by hand, and what must hold for all readings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline import scoring
from pipeline.errors import DataError
from pipeline.images import BLANK, DIGIT_NAMES, STRIP_NAMES, ImageSet
from pipeline.readings import Readings

SIZES = st.integers(1, 12)
SLOTS = st.integers(1, 5)


def slots_of(n, slots, highest=BLANK):
    return arrays.arrays(np.uint8, (n, slots), elements=st.integers(0, highest))


@st.composite
def pairs(draw, highest=BLANK):
    n, slots = draw(SIZES), draw(SLOTS)
    truth = draw(slots_of(n, slots, highest))
    # Most slots agree, as they do in readings; independent draws would hardly ever.
    wrong = draw(arrays.arrays(bool, (n, slots), elements=st.sampled_from([False, False, False, True])))
    return np.where(wrong, draw(slots_of(n, slots, highest)), truth), truth


@st.composite
def outcomes(draw):
    n = draw(st.integers(1, 60))
    confidence = draw(arrays.arrays(np.float32, n, elements=st.floats(0, 1, width=32)))
    return confidence, draw(arrays.arrays(bool, n))


def rows(*texts):
    return np.array([[BLANK if c == "_" else int(c) for c in text] for text in texts], np.uint8)


def readings(classes, confidence, size=11):
    classes = np.asarray(classes, np.uint8)
    return Readings(np.eye(size, dtype=np.float32)[classes], classes, np.asarray(confidence, np.float32))


def pictures(labels, names=STRIP_NAMES):
    return ImageSet(np.zeros((len(labels), 4, 20, 1), np.uint8), labels, names, "mnist")


def test_a_sequence_is_right_when_its_digits_and_their_number_are_wherever_the_blanks_stand():
    truth = rows("1_2__", "12345", "_____", "1____", "11___")
    read = rows("__12_", "12354", "_____", "11___", "1____")
    assert scoring.sequence_correct(read, truth, BLANK).tolist() == [True, False, True, False, False]
    assert scoring.sequence_accuracy(read, truth, BLANK) == 0.4


def test_without_a_blank_class_nothing_is_removed():
    assert scoring.blank_of(DIGIT_NAMES) is None
    assert scoring.blank_of(STRIP_NAMES) == BLANK
    ten = np.full((1, 1), BLANK, np.uint8)
    assert scoring.sequence_accuracy(ten, np.zeros((1, 1), np.uint8), None) == 0


def test_readings_of_another_width_are_filled_up_with_blanks():
    assert scoring.sequence_accuracy(rows("12___", "1234_"), rows("12__", "123_"), BLANK) == 0.5
    assert scoring.sequence_accuracy(rows("12"), rows("12_"), BLANK) == 1
    with pytest.raises(DataError, match="readings have 2 slots and the truth 3"):
        scoring.sequence_accuracy(rows("12"), rows("123"), None)


def test_slots_count_blanks_and_digits_do_not():
    truth, read = rows("12___", "345__"), rows("1_2__", "345__")
    assert scoring.per_slot_accuracy(read, truth).tolist() == [1, 0.5, 0.5, 1, 1]
    assert scoring.slot_accuracy(read, truth) == 0.8
    assert scoring.digit_accuracy(read, truth, BLANK) == 0.8
    assert scoring.digit_accuracy(read, truth, BLANK, positional=False) == 1
    assert scoring.digit_accuracy(rows("__"), rows("__"), BLANK) is None


def test_without_positions_one_digit_too_many_costs_only_itself():
    assert scoring.digit_accuracy(rows("71234"), rows("1234_"), BLANK, positional=False) == 1
    assert scoring.digit_accuracy(rows("13245"), rows("12345"), BLANK, positional=False) == 0.8
    assert scoring.digit_accuracy(rows("71234"), rows("1234_"), BLANK) == 0


def test_wilson_gives_the_published_interval():
    # Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (correct, n), interval in published.items():
        assert scoring.wilson(correct, n) == pytest.approx(interval, abs=5e-5)


def test_calibration_error_is_the_weighted_gap_of_the_bins():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.5, 0.5], np.float32)
    correct = np.array([True, True, True, False, True, False])
    bins = scoring.reliability(confidence, correct)
    assert bins.count.tolist() == [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 4]
    assert bins.ece == pytest.approx(4 / 6 * 0.2 + 2 / 6 * 0, abs=1e-6)
    assert scoring.ece(np.array([0.0, 1.0]), np.array([False, True])) == 0


def test_an_edge_belongs_to_the_bin_below_it():
    assert scoring.reliability(np.array([0.5, 0.500001]), np.array([True, True]), bins=2).count.tolist() == [1, 1]


def test_the_threshold_is_the_lowest_that_keeps_the_target():
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    correct = np.array([True, False, True, True, False])
    assert scoring.coverage_threshold(confidence, correct, target=0.75) == 0.6
    assert scoring.coverage(confidence, correct, 0.6) == (0.8, 0.75)
    assert scoring.coverage_threshold(confidence, correct) == 0.9
    assert scoring.coverage_threshold(confidence, ~correct) is None
    assert scoring.coverage(confidence, correct, None) == (None, None)
    assert scoring.coverage(confidence, correct, 0.95) == (0, None)


def test_199_of_200_are_enough():
    correct = np.arange(200) > 0
    assert scoring.coverage_threshold(np.linspace(0.1, 0.9, 200), correct) == 0.1
    correct[1] = False
    assert scoring.coverage_threshold(np.linspace(0.1, 0.9, 200), correct) > 0.1


def test_equal_confidences_are_accepted_together_or_not_at_all():
    confidence, correct = np.full(100, 0.5), np.arange(100) > 9
    assert scoring.coverage_threshold(confidence, correct) is None


def test_confusion_has_the_truth_in_its_rows():
    counts = scoring.confusion(rows("112"), rows("122"), 11)
    assert (counts[1, 1], counts[2, 1], counts[2, 2], counts.sum()) == (1, 1, 1, 3)


def test_one_slot_without_a_blank_is_plain_accuracy():
    labels = np.array([[1], [2], [3], [4]], np.uint8)
    score = scoring.measure(
        readings([[1], [2], [3], [5]], [0.9, 0.9, 0.9, 0.1], 10), pictures(labels, DIGIT_NAMES), 0.5
    )
    assert score["sequence_accuracy"] == score["digit_accuracy"] == score["slot_accuracy"] == 0.75
    assert (score["coverage_995"], score["accuracy_at_coverage"], score["map50"]) == (0.75, 1, None)


def test_a_model_of_eleven_classes_can_read_pictures_of_ten():
    score = scoring.measure(readings([[1], [BLANK]], [0.5, 0.5]), pictures(rows("1", "2"), DIGIT_NAMES), None)
    assert score["sequence_accuracy"] == 0.5


def test_no_score_of_slots_where_there_are_no_positions():
    score = scoring.measure(readings(rows("_12"), [0.5]), pictures(rows("12_")), None, positional=False)
    assert (score["sequence_accuracy"], score["digit_accuracy"], score["slot_accuracy"]) == (1, 1, None)


def test_measured_and_model_columns_make_a_row():
    measured = scoring.measure(readings(rows("12"), [0.123456789]), pictures(rows("12")), None)
    assert tuple(measured) == scoring.MEASURED
    assert measured["ece"] == 0.876543
    row = scoring.Score("s", "plain", "test", parameters=1, deployable=True, pretrained="not_applicable", **measured)
    assert row.origin == "mnist"


def test_the_columns_of_the_leaderboard_stay():
    assert ",".join(scoring.COLUMNS) == (
        "strategy,suite,split,origin,n,digit_accuracy,slot_accuracy,sequence_accuracy,ci_low,ci_high,map50,"
        "coverage_995,accuracy_at_coverage,ece,parameters,deployable,pretrained"
    )


def test_an_evaluation_chooses_on_valid_and_pools_the_suites():
    truth = rows("12", "34")
    right, wrong = readings(truth, [0.9, 0.8]), readings(rows("12", "33"), [0.6, 0.7])
    found = scoring.evaluation(
        {"plain": {"valid": right, "test": wrong}, "blanks": {"valid": wrong, "test": right}},
        {suite: {"valid": pictures(truth), "test": pictures(truth)} for suite in ("plain", "blanks")},
    )
    plain, blanks = found["suites"]["plain"], found["suites"]["blanks"]
    assert (plain["valid"]["threshold"], plain["test"]["threshold"]) == (0.8, 0.8)
    assert (plain["test"]["coverage_995"], plain["test"]["accuracy_at_coverage"]) == (0, None)
    assert blanks["valid"]["threshold"] is None
    assert blanks["test"]["slots"] == [1, 1]
    assert found["coverage"] == {
        "target": 0.995,
        "threshold": 0.8,
        "valid": {"share": 0.5, "accuracy": 1},
        "test": {"share": 0.5, "accuracy": 1},
    }


@pytest.mark.parametrize(
    ("said", "labels", "expected"),
    [
        pytest.param(readings(rows("1"), [np.nan]), rows("1"), "no numbers", id="NaN"),
        pytest.param(readings(rows("1"), [1.5]), rows("1"), "outside 0 to 1", id="above one"),
        pytest.param(readings(rows("1", "1"), [1, 1]), rows("1"), "2 readings of 1 pictures", id="too many"),
        pytest.param(readings(np.zeros((0, 1)), []), np.zeros((0, 1), np.uint8), "no pictures", id="none"),
    ],
)
def test_what_cannot_be_scored_is_an_error_of_one_line(said, labels, expected):
    with pytest.raises(DataError, match=expected) as caught:
        scoring.measure(said, pictures(labels), None)
    assert "\n" not in str(caught.value)


@given(pairs(highest=9))
def test_with_positions_and_no_blanks_whole_sequences_are_rarer_than_slots(pair):
    read, truth = pair
    assert scoring.sequence_accuracy(read, truth, BLANK) <= scoring.slot_accuracy(read, truth) + 1e-12
    assert scoring.digit_accuracy(read, truth, BLANK) == pytest.approx(scoring.slot_accuracy(read, truth))


@given(pairs())
def test_slots_that_all_agree_make_a_right_sequence(pair):
    read, truth = pair
    agree = np.all(read == truth, axis=1)
    assert np.all(scoring.sequence_correct(read, truth, BLANK)[agree])
    assert agree.mean() <= scoring.slot_accuracy(read, truth) + 1e-12


@given(pairs())
def test_matching_in_order_finds_at_least_what_stands_in_its_slot(pair):
    read, truth = pair
    by_slot = scoring.digit_accuracy(read, truth, BLANK)
    in_order = scoring.digit_accuracy(read, truth, BLANK, positional=False)
    assert by_slot is None if in_order is None else by_slot <= in_order <= 1


@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_the_pictures_does_not_matter(pair, random):
    read, truth = pair
    order = list(range(len(read)))
    random.shuffle(order)
    confidence = np.linspace(0, 1, len(read))
    found, shuffled = (
        scoring.measure(readings(read[index], confidence[index]), pictures(truth[index]), 0.5)
        for index in (np.arange(len(read)), np.array(order))
    )
    assert found == pytest.approx(shuffled, abs=2e-6)


@given(st.integers(1, 5000), st.data())
def test_wilson_contains_the_point_and_stays_within_0_and_1(n, data):
    correct = data.draw(st.integers(0, n))
    low, high = scoring.wilson(correct, n)
    assert 0 <= low <= correct / n <= high <= 1


@given(outcomes())
@settings(max_examples=200)
def test_the_threshold_keeps_the_target_and_no_lower_one_does(outcome):
    confidence, correct = outcome
    threshold = scoring.coverage_threshold(confidence, correct, target=0.8)
    tried = [t for t in np.unique(np.floor(confidence.astype(float) * 1e6) / 1e6) if correct[confidence >= t].size]
    reach = [t for t in tried if correct[confidence.astype(float) >= t].mean() >= 0.8 - 1e-9]
    if threshold is None:
        assert not reach
        return
    assert threshold == pytest.approx(min(reach), abs=1e-9)
    share, accuracy = scoring.coverage(confidence, correct, threshold)
    assert share > 0
    assert accuracy >= 0.8 - 1e-9


@given(outcomes())
def test_calibration_error_is_bounded_and_bins_hold_every_picture(outcome):
    confidence, correct = outcome
    bins = scoring.reliability(confidence, correct)
    assert bins.count.sum() == len(correct)
    assert 0 <= bins.ece <= 1
    assert bins.ece >= abs(confidence.astype(float).mean() - correct.mean()) - 1e-9

"""All scores of a split and of a model together."""

import evaluations
import numpy as np
import pytest
from evaluations import SPLITS, boxed, boxed_pictures, pictures, readings, rows
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.core.images import BLANK, DIGIT_NAMES
from pipeline.core.readings import left_to_right
from pipeline.evaluation import scores
from pipeline.evaluation.evaluated import Evaluated
from pipeline.records.evaluation import Accepted, Evaluation

NOWHERE = (0, 0, 0, 0)


def square(x, y=0, side=10):
    """A box."""
    return (x, y, x + side, y + side)


def measure(read, targets, threshold=None, positional=True):
    """The scores of readings."""
    return scores.measure(Evaluated.of(read, targets, positional), threshold)


def test_one_slot_without_a_blank_has_the_plain_accuracy():
    read = readings([[1], [2], [3], [5]], [0.9, 0.9, 0.9, 0.1], 10)
    score = measure(read, pictures(np.array([[1], [2], [3], [4]], np.uint8), DIGIT_NAMES), 0.5)
    assert score.sequence_accuracy == score.digit_accuracy == score.slot_accuracy == 0.75
    assert (score.coverage_995, score.accuracy_at_coverage, score.threshold) == (0.75, 1, 0.5)
    assert (score.map50, score.count_accuracy, score.slots) == (None, None, (0.75,))


def test_without_positions_there_is_no_score_of_slots():
    score = measure(readings(rows("_12"), [0.5]), pictures(rows("12_")), positional=False)
    assert (score.sequence_accuracy, score.digit_accuracy) == (1, 1)
    assert (score.slot_accuracy, score.slots) == (None, None)


def test_without_positions_the_longest_common_subsequence_follows_the_boxes():
    read = left_to_right(boxed(["43215"], [[square(x) for x in (60, 40, 20, 0, 80)]]), BLANK)
    targets = boxed_pictures(["1234_"], [[square(x) for x in (0, 20, 40, 60)] + [NOWHERE]])
    assert measure(read, targets, positional=False).digit_accuracy == 1


def test_scores_are_rounded_to_six_decimals():
    score = measure(readings(rows("12345", "12344"), [0.123456789, 0.5]), pictures(rows("12345", "12345")))
    assert score.accuracy_power_n == round(0.9**5, 6)
    assert score.ece == round((1 - 0.123456789) / 2 + 0.5 / 2, 6)


def test_digits_are_counted():
    targets = rows("12345", "12___", "12___", "_____")
    score = measure(readings(rows("54321", "_3_4_", "123__", "_____"), [0.5] * 4), pictures(targets))
    assert score.count_accuracy == 0.75


def test_thresholds_are_chosen_on_valid_by_suite_and_for_all_suites_together():
    targets = rows("12", "34")
    right = Evaluated.of(readings(targets, [0.9, 0.8]), pictures(targets))
    wrong = Evaluated.of(readings(rows("12", "33"), [0.6, 0.7]), pictures(targets))
    results = {
        "plain": {"valid": right, "gate": right, "test": wrong},
        "blanks": {"valid": wrong, "gate": wrong, "test": right},
    }
    suites = scores.by_suite(results)
    assert {split: score.threshold for split, score in suites["plain"].items()} == dict.fromkeys(SPLITS, 0.8)
    assert (suites["plain"]["test"].coverage_995, suites["plain"]["test"].accuracy_at_coverage) == (0, None)
    assert suites["blanks"]["valid"].threshold is None
    assert suites["blanks"]["test"].slots == (1, 1)
    coverage = scores.pooled_coverage(results)
    assert (coverage.target, coverage.threshold) == (0.995, 0.8)
    assert coverage.valid == coverage.gate == coverage.test == Accepted(share=0.5, accuracy=1)


def test_an_evaluation_describes_its_model_and_can_be_read_back(tmp_path):
    record = evaluations.record(pretrained="imagenet", deployable=False)
    evaluation = scores.evaluation(record, evaluations.results())
    assert (evaluation.strategy, evaluation.sha256) == ("bands", record.model.sha256)
    assert (evaluation.pretrained, evaluation.deployable) == ("imagenet", False)
    evaluation.write(tmp_path / "bands.json")
    assert Evaluation.read(tmp_path / "bands.json") == evaluation


@given(st.integers(1, 12), st.integers(1, 5), st.data(), st.randoms(use_true_random=False))
def test_the_order_of_the_pictures_does_not_matter(n, slots, data, random):
    classes, labels = (data.draw(arrays.arrays(np.uint8, (n, slots), elements=st.integers(0, BLANK))) for _ in range(2))
    order = list(range(n))
    random.shuffle(order)
    confidence = np.linspace(0, 1, n)
    found, shuffled = (
        measure(readings(classes[index], confidence[index]), pictures(labels[index]), 0.5).as_json()
        for index in (np.arange(n), np.array(order))
    )
    assert found.pop("slots") == pytest.approx(shuffled.pop("slots"), abs=2e-6)
    assert found == pytest.approx(shuffled, abs=2e-6)

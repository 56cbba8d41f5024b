"""All scores of a split and of a model together."""

from dataclasses import replace

import evaluations
import numpy as np
import pytest
from evaluations import SPLITS, boxed, boxed_pictures, pictures, readings, rows
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.core.images import BLANK, DIGIT_NAMES, STRIP_NAMES, ImageSet
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
    assert (score.ap, score.count_accuracy, score.slots) == (None, None, (0.75,))


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


def of_ones(n, seed, wrong=(), first=0.99):
    """Readings of n strips of ones, as sure as `first` down to 0.5; those at `wrong` are twos."""
    classes = np.full((n, 1), 1, np.uint8)
    classes[list(wrong)] = 2
    images = np.random.default_rng(seed).integers(0, 256, (n, 2, 2, 1), dtype=np.uint8)
    targets = ImageSet(images, np.full((n, 1), 1, np.uint8), STRIP_NAMES, "mnist")
    return Evaluated.of(readings(classes, np.linspace(first, 0.5, n)), targets)


def test_one_threshold_is_chosen_on_the_valid_splits_of_all_suites_together():
    # Alone, each suite has fewer than the 460 pictures that a threshold needs.
    results = {
        "plain": {"valid": of_ones(300, 1), "gate": of_ones(100, 2), "test": of_ones(100, 3, wrong=(0,), first=0.9)},
        "blanks": {"valid": of_ones(300, 4), "gate": of_ones(100, 5), "test": of_ones(100, 6, first=0.4)},
    }
    coverage = scores.pooled_coverage(results)
    assert (coverage.target, coverage.level, coverage.threshold) == (0.995, 0.9, 0.5)
    assert coverage.valid == Accepted(share=1, accuracy=1)
    assert coverage.test == Accepted(share=0.505, accuracy=round(100 / 101, 6))
    suites = scores.by_suite(results, coverage.threshold)
    assert {split: score.threshold for split, score in suites["plain"].items()} == dict.fromkeys(SPLITS, 0.5)
    assert (suites["plain"]["test"].coverage_995, suites["plain"]["test"].accuracy_at_coverage) == (1, 0.99)
    assert suites["blanks"]["test"].coverage_995 == 0.01
    assert scores.pooled_coverage({"plain": results["plain"]}).threshold is None


def test_gate_and_test_do_not_move_the_threshold():
    valid, good, bad = of_ones(500, 1), of_ones(50, 2), of_ones(50, 2, wrong=range(50))
    chosen = {
        scores.pooled_coverage({"plain": {"valid": valid, "gate": gate, "test": test}}).threshold
        for gate, test in ((good, good), (bad, bad), (good, bad))
    }
    assert chosen == {0.5}


def test_without_a_threshold_nothing_is_accepted():
    few = of_ones(100, 1)
    coverage = scores.pooled_coverage({"plain": dict.fromkeys(SPLITS, few)})
    assert coverage.threshold is None
    assert coverage.valid == coverage.gate == coverage.test == Accepted(share=0, accuracy=None)
    score = scores.by_suite({"plain": {"test": few}}, None)["plain"]["test"]
    assert (score.coverage_995, score.accuracy_at_coverage, score.threshold) == (0, None, None)


def test_the_same_pictures_under_two_lists_of_labels_count_once():
    published = of_ones(300, 1)
    reviewed = Evaluated.of(published.readings, published.pictures)
    results = {"published": dict.fromkeys(SPLITS, published), "reviewed": dict.fromkeys(SPLITS, reviewed)}
    assert scores.pooled_coverage(results).threshold is None, "600 readings would be enough, and 300 are not"
    results["others"] = dict.fromkeys(SPLITS, of_ones(300, 2))
    assert scores.pooled_coverage(results).threshold == 0.5
    labels = published.pictures.labels.copy()
    labels[0] = 3
    corrected = Evaluated.of(published.readings, replace(published.pictures, labels=labels))
    results["reviewed"] = dict.fromkeys(SPLITS, corrected)
    assert scores.pooled_coverage(results).threshold is None, "the surest reading is wrong by one list"


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

"""Every score against a case worked out by hand, and what must hold for all readings."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, DIGIT_NAMES, STRIP_NAMES, ImageSet
from pipeline.core.readings import Readings, left_to_right
from pipeline.evaluation import scoring

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


def boxed(texts, boxes, scores=None, confidence=None):
    """Readings of two slots and more whose classes have the given probabilities."""
    classes = rows(*texts)
    scores = np.full(classes.shape, 0.9) if scores is None else np.asarray(scores)
    probabilities = np.repeat((1 - scores)[..., None] / 10, 11, axis=2).astype(np.float32)
    np.put_along_axis(probabilities, classes[..., None].astype(int), scores[..., None].astype(np.float32), axis=2)
    sure = np.full(len(classes), 0.5, np.float32) if confidence is None else confidence
    return Readings(probabilities, classes, sure, np.asarray(boxes, np.float32))


def scenes(texts, boxes):
    labels = rows(*texts)
    return ImageSet(
        np.zeros((len(labels), 112, 112, 1), np.uint8), labels, STRIP_NAMES, "mnist", np.asarray(boxes, np.float32)
    )


NOWHERE = (0, 0, 0, 0)


def square(x, y=0, side=10):
    return (x, y, x + side, y + side)


def test_what_knows_boxes_and_no_positions_is_put_from_left_to_right():
    # By falling confidence, a blank in between whose box lies further left than all digits.
    said = boxed(["3_12"], [[square(60), square(-50), square(5), square(30, y=80)]], [[0.9, 0.8, 0.7, 0.6]])
    ordered = left_to_right(said, BLANK)
    assert ordered.classes.tolist() == rows("123_").tolist()
    assert ordered.boxes[0, :, 0].tolist() == [5, 30, 60, -50]
    assert np.array_equal(scoring.scores_of_slots(ordered), np.array([[0.7, 0.6, 0.9, 0.8]], np.float32))
    truth = scenes(["123_"], [[square(4), square(31, y=80), square(61), NOWHERE]])
    assert scoring.correctness(ordered, truth).tolist() == [True]
    assert scoring.correctness(said, truth).tolist() == [False]
    measured = scoring.measure(ordered, truth, None, positional=False)
    assert (measured["sequence_accuracy"], measured["digit_accuracy"], measured["slot_accuracy"]) == (1, 1, None)


def test_without_boxes_the_order_stays():
    said = readings(rows("21"), [0.5])
    assert left_to_right(said, BLANK) is said


def test_the_longest_common_subsequence_follows_the_boxes():
    said = left_to_right(boxed(["43215"], [[square(x) for x in (60, 40, 20, 0, 80)]]), BLANK)
    truth = scenes(["1234_"], [[square(x) for x in (0, 20, 40, 60)] + [NOWHERE]])
    assert scoring.measure(said, truth, None, positional=False)["digit_accuracy"] == 1


def test_average_precision_of_a_case_worked_out_by_hand():
    # Ones: three in the truth. By falling score: hit, miss (a second box on the same digit), hit, miss (nothing there).
    # Precision 1, 1/2, 2/3, 2/4 at recalls 1/3, 1/3, 2/3, 2/3; interpolated 1 up to 1/3 and 2/3 up to 2/3: 5/9.
    # Twos: one in the truth, found by a box of exactly half the union: 1. Threes: one, its box too far off: 0.
    # Sevens are not in the truth: what is read as one costs no class anything.
    truth = scenes(
        ["11__", "1___", "23__"],
        [
            [square(0), square(50), NOWHERE, NOWHERE],
            [square(20), NOWHERE, NOWHERE, NOWHERE],
            [square(0), square(40), NOWHERE, NOWHERE],
        ],
    )
    said = boxed(
        ["11__", "11__", "237_"],
        [
            [square(0), square(1), NOWHERE, NOWHERE],
            [square(21), square(90), NOWHERE, NOWHERE],
            [(0, 0, 10, 5), square(46), square(80), NOWHERE],
        ],
        [[0.9, 0.8, 0.5, 0.5], [0.7, 0.6, 0.5, 0.5], [0.9, 0.9, 0.9, 0.5]],
    )
    assert scoring.found(said, truth).tolist() == [
        [True, False, False, False],
        [True, False, False, False],
        [True, False, False, False],
    ]
    assert scoring.map50(said, truth) == pytest.approx((5 / 9 + 1 + 0) / 3)


def test_boxes_of_the_truth_are_half_open_pixels():
    truth = scenes(["1"], [[(0, 0, 3, 1)]])
    # Two of three pixels shared, of four in all: one half. As if both ends belonged to a box it would be 6 / 10.
    assert scoring.map50(boxed(["1"], [[(1, 0, 4, 1)]]), truth) == 1
    assert scoring.map50(boxed(["1"], [[(1.1, 0, 4.1, 1)]]), truth) == 0


def test_there_is_no_map_without_boxes_or_digits():
    truth = scenes(["1_"], [[square(0), NOWHERE]])
    assert scoring.map50(readings(rows("1_"), [1]), truth) is None
    assert scoring.map50(boxed(["1_"], [[square(0), NOWHERE]]), pictures(rows("1_"))) is None
    assert scoring.map50(boxed(["__"], [[NOWHERE, NOWHERE]]), scenes(["__"], [[NOWHERE, NOWHERE]])) is None
    assert scoring.map50(boxed(["__"], [[NOWHERE, NOWHERE]]), truth) == 0
    with pytest.raises(DataError, match="boxes hold NaN"):
        scoring.map50(boxed(["1_"], [[(np.nan, 0, 1, 1), NOWHERE]]), truth)


def brute_force_map50(said, truth):
    """As PASCAL VOC's development kit goes about it: one detection after the other, then the area under the steps."""
    areas = []
    for name in range(BLANK):
        boxes = [
            [b for b, c in zip(*pair, strict=True) if c == name] for pair in zip(truth.boxes, truth.labels, strict=True)
        ]
        total = sum(map(len, boxes))
        if not total:
            continue
        detections = [
            (-float(said.probabilities[i, slot, name]), i, slot)
            for i, slot in zip(*np.nonzero(said.classes == name), strict=True)
        ]
        used, curve, hits = set(), [], 0
        for place, (_, i, slot) in enumerate(sorted(detections), 1):
            best, which = 0.0, None
            for index, box in enumerate(boxes[i]):
                x0, y0, x1, y1 = (
                    float(f(a, b)) for f, a, b in zip((max, max, min, min), said.boxes[i, slot], box, strict=True)
                )
                shared = max(x1 - x0, 0) * max(y1 - y0, 0)
                sizes = [float((b[2] - b[0]) * (b[3] - b[1])) for b in (said.boxes[i, slot], box)]
                if shared / (sum(sizes) - shared) > best:
                    best, which = shared / (sum(sizes) - shared), index
            if best >= 0.5 and (i, which) not in used:
                used.add((i, which))
                hits += 1
            curve.append((hits / total, hits / place))
        area, before = 0.0, 0.0
        for recall, _ in curve:
            area += (recall - before) * max((p for r, p in curve if r >= recall), default=0)
            before = recall
        areas.append(area)
    return sum(areas) / len(areas) if areas else None


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_mean_average_precision_is_that_of_a_loop_over_detections(seed, n, slots):
    rng = np.random.default_rng(seed)
    # Corners on whole pixels and few classes: boxes often overlap, also with several of their class.
    corner, size = rng.integers(0, 20, (n, slots, 2)), rng.integers(8, 16, (n, slots, 2))
    true = np.concatenate([corner, corner + size], axis=-1).astype(np.float32)
    labels = rng.choice([1, 2, BLANK], (n, slots)).astype(np.uint8)
    classes = np.where(rng.random((n, slots)) < 0.7, labels, rng.choice([1, 2, 3, BLANK], (n, slots))).astype(np.uint8)
    said = true + rng.integers(-2, 3, true.shape)
    probabilities = rng.dirichlet(np.ones(11), (n, slots)).astype(np.float32)
    readings = Readings(probabilities, classes, np.ones(n, np.float32), said.astype(np.float32))
    truth = ImageSet(np.zeros((n, 4, 4, 1), np.uint8), labels, STRIP_NAMES, "mnist", true)
    expected = brute_force_map50(readings, truth)
    assert scoring.map50(readings, truth) == (None if expected is None else pytest.approx(expected))


def test_equal_scores_count_together_whatever_the_order_of_the_pictures():
    truth = scenes(["1", "1"], [[square(0)], [square(0)]])
    hit_first = boxed(["1", "1"], [[square(0)], [square(90)]])
    miss_first = boxed(["1", "1"], [[square(90)], [square(0)]])
    # One of two found, one of two detections right.
    assert scoring.map50(hit_first, truth) == scoring.map50(miss_first, truth) == 0.25


def test_two_thousand_scenes_are_scored_in_a_second():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 11, (2200, 8)).astype(np.uint8)
    corner = rng.uniform(0, 80, (2200, 8, 2))
    boxes = np.concatenate([corner, corner + 30], axis=-1).astype(np.float32)
    said = Readings(rng.dirichlet(np.ones(11), (2200, 8)).astype(np.float32), labels, np.ones(2200, np.float32), boxes)
    truth = ImageSet(np.zeros((2200, 1, 1, 1), np.uint8), labels, STRIP_NAMES, "mnist", boxes)
    start = time.perf_counter()
    assert scoring.map50(said, truth) > 0.9
    assert time.perf_counter() - start < 1


def test_whole_sequences_if_digits_failed_independently():
    labels = rows("12345", "12___", "_____")
    assert scoring.sequence_if_independent(0.9, labels, BLANK) == pytest.approx((0.9**5 + 0.9**2 + 1) / 3)
    assert scoring.sequence_if_independent(0.9, labels[:, :1], None) == pytest.approx(0.9)
    assert scoring.sequence_if_independent(None, labels, BLANK) is None
    # A digit in one of two strips is wrong: read whole 1/2, each digit right 9/10.
    score = scoring.measure(readings(rows("12345", "12344"), [0.5, 0.5]), pictures(rows("12345", "12345")), None)
    assert score["sequence_if_independent"] == round(0.9**5, 6)


def test_digits_are_counted_whichever_they_are():
    truth = rows("12345", "12___", "12___", "_____")
    said = rows("54321", "_3_4_", "123__", "_____")
    assert scoring.count_accuracy(said, truth, BLANK) == 0.75
    assert scoring.count_accuracy(said, truth, None) is None
    assert scoring.measure(readings(said, [0.5] * 4), pictures(truth), None)["count_accuracy"] == 0.75


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
        "strategy,suite,split,origin,n,digit_accuracy,slot_accuracy,sequence_accuracy,ci_low,ci_high,"
        "sequence_if_independent,count_accuracy,map50,coverage_995,accuracy_at_coverage,ece,parameters,deployable,pretrained"
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

"""Boxes: true positives and mean average precision, against cases worked out by hand and against a plain loop."""

import numpy as np
import pytest
from evaluations import boxed, boxed_pictures, pictures, readings, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, STRIP_NAMES, ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation import detection

NOWHERE = (0, 0, 0, 0)


def square(x, y=0, side=10):
    """A box."""
    return (x, y, x + side, y + side)


def test_average_precision_of_a_case_worked_out_by_hand():
    # Ones: three in the targets. By falling score: hit, miss (second box on a digit), hit, miss (nothing there).
    # Precision 1, 1/2, 2/3, 2/4 at recalls 1/3, 1/3, 2/3, 2/3; interpolated 1 up to 1/3 and 2/3 up to 2/3: 5/9.
    # Twos: one in the targets, found by a box of exactly half the union: 1. Threes: one, its box too far off: 0.
    # Sevens are not in the targets: reading one costs no class anything.
    targets = boxed_pictures(
        ["11__", "1___", "23__"],
        [
            [square(0), square(50), NOWHERE, NOWHERE],
            [square(20), NOWHERE, NOWHERE, NOWHERE],
            [square(0), square(40), NOWHERE, NOWHERE],
        ],
    )
    read = boxed(
        ["11__", "11__", "237_"],
        [
            [square(0), square(1), NOWHERE, NOWHERE],
            [square(21), square(90), NOWHERE, NOWHERE],
            [(0, 0, 10, 5), square(46), square(80), NOWHERE],
        ],
        [[0.9, 0.8, 0.5, 0.5], [0.7, 0.6, 0.5, 0.5], [0.9, 0.9, 0.9, 0.5]],
    )
    assert detection.true_positives(read, targets).tolist() == [
        [True, False, False, False],
        [True, False, False, False],
        [True, False, False, False],
    ]
    assert detection.map50(read, targets) == pytest.approx((5 / 9 + 1 + 0) / 3)


def test_boxes_are_half_open_pixels():
    targets = boxed_pictures(["1"], [[(0, 0, 3, 1)]])
    # Two of three pixels shared, of four in all: one half. As if both ends belonged to a box it would be 6 / 10.
    assert detection.map50(boxed(["1"], [[(1, 0, 4, 1)]]), targets) == 1
    assert detection.map50(boxed(["1"], [[(1.1, 0, 4.1, 1)]]), targets) == 0


def test_there_is_no_map_without_boxes_or_digits():
    targets = boxed_pictures(["1_"], [[square(0), NOWHERE]])
    assert detection.map50(readings(rows("1_"), [1]), targets) is None
    assert detection.map50(boxed(["1_"], [[square(0), NOWHERE]]), pictures(rows("1_"))) is None
    assert detection.map50(boxed(["__"], [[NOWHERE, NOWHERE]]), boxed_pictures(["__"], [[NOWHERE, NOWHERE]])) is None
    assert detection.map50(boxed(["__"], [[NOWHERE, NOWHERE]]), targets) == 0
    with pytest.raises(DataError, match="NaN"):
        detection.map50(boxed(["1_"], [[(np.nan, 0, 1, 1), NOWHERE]]), targets)


def test_pictures_with_unknown_boxes_are_left_out():
    boxes = [[square(0), square(20)], [NOWHERE, NOWHERE], [square(0), NOWHERE], [NOWHERE, NOWHERE]]
    targets = boxed_pictures(["12", "12", "1_", "__"], boxes)
    read = boxed(["12", "12", "1_", "2_"], [boxes[0], boxes[0], boxes[0], boxes[0]])
    # The second picture does not count; a detection where there is no digit does.
    assert detection.map50(read, targets) == pytest.approx((1 + 0.5) / 2)
    assert detection.map50(read.take([1]), targets.take(slice(1, 2))) is None


def test_true_positives_need_boxes_on_both_sides():
    read, targets = boxed(["1"], [[square(0)]]), boxed_pictures(["1"], [[square(0)]])
    for pair in ((readings(rows("1"), [1]), targets), (read, pictures(rows("1")))):
        with pytest.raises(DataError):
            detection.true_positives(*pair)


def brute_force_map50(read, targets):
    """The score as the development kit of PASCAL VOC computes it: one detection after the other."""
    areas = []
    for name in range(BLANK):
        boxes = [
            [b for b, c in zip(*pair, strict=True) if c == name]
            for pair in zip(targets.boxes, targets.labels, strict=True)
        ]
        total = sum(map(len, boxes))
        if not total:
            continue
        detections = [
            (-float(read.probabilities[i, slot, name]), i, slot)
            for i, slot in zip(*np.nonzero(read.classes == name), strict=True)
        ]
        used, curve, hits = set(), [], 0
        for place, (_, i, slot) in enumerate(sorted(detections), 1):
            best, which = 0.0, None
            for index, box in enumerate(boxes[i]):
                x0, y0, x1, y1 = (
                    float(f(a, b)) for f, a, b in zip((max, max, min, min), read.boxes[i, slot], box, strict=True)
                )
                shared = max(x1 - x0, 0) * max(y1 - y0, 0)
                sizes = [float((b[2] - b[0]) * (b[3] - b[1])) for b in (read.boxes[i, slot], box)]
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
    read = true + rng.integers(-2, 3, true.shape)
    probabilities = rng.dirichlet(np.ones(11), (n, slots)).astype(np.float32)
    readings = Readings(probabilities, classes, np.ones(n, np.float32), read.astype(np.float32))
    targets = ImageSet(np.zeros((n, 4, 4, 1), np.uint8), labels, STRIP_NAMES, "mnist", true)
    expected = brute_force_map50(readings, targets)
    assert detection.map50(readings, targets) == (None if expected is None else pytest.approx(expected))


def test_equal_scores_count_together_whatever_the_order_of_the_pictures():
    targets = boxed_pictures(["1", "1"], [[square(0)], [square(0)]])
    hit_first = boxed(["1", "1"], [[square(0)], [square(90)]])
    miss_first = boxed(["1", "1"], [[square(90)], [square(0)]])
    # One of two found, one of two detections right.
    assert detection.map50(hit_first, targets) == detection.map50(miss_first, targets) == 0.25


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(square(0), square(0), 1, id="equal"),
        pytest.param(square(0), (0, 0, 10, 5), 0.5, id="half"),
        pytest.param(square(0), square(10), 0, id="side by side"),
        pytest.param(NOWHERE, NOWHERE, 0, id="empty"),
    ],
)
def test_intersection_over_union(first, second, expected):
    assert detection.iou(np.array(first, float), np.array(second, float)) == expected

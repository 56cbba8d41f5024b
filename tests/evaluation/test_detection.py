"""Boxes: true positives and average precision, against cases worked out by hand and against pycocotools."""

from dataclasses import replace

import numpy as np
import pytest
from evaluations import boxed, boxed_pictures, pictures, readings, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, STRIP_NAMES, ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation import detection

NOWHERE = (0, 0, 0, 0)


def square(x, y=0, side=10):
    """A box."""
    return (x, y, x + side, y + side)


def ap50(read, targets):
    """The average precision at an IoU of 0.5."""
    found = detection.average_precision(read, targets)
    return None if found is None else found.ap50


def test_average_precision_of_a_case_worked_out_by_hand():
    # Ones: three in the targets. By falling score: hit, miss (second box on a digit), hit, miss (nothing there).
    # Precision 1, 1/2, 2/3, 2/4 at recalls 1/3, 1/3, 2/3, 2/3. Of 101 recalls, 34 are up to 1/3 and have the precision
    # 1, 33 are up to 2/3 and have 2/3, and 34 have 0.
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
    ones = (34 + 33 * 2 / 3) / 101
    assert ap50(read, targets) == pytest.approx((ones + 1 + 0) / 3)


def test_boxes_are_half_open_pixels():
    targets = boxed_pictures(["1"], [[(0, 0, 3, 1)]])
    # Two of three pixels shared, of four in all: one half. As if both ends belonged to a box it would be 6 / 10.
    assert ap50(boxed(["1"], [[(1, 0, 4, 1)]]), targets) == 1
    assert ap50(boxed(["1"], [[(1.1, 0, 4.1, 1)]]), targets) == 0


def test_there_is_no_map_without_boxes_or_digits():
    targets = boxed_pictures(["1_"], [[square(0), NOWHERE]])
    assert ap50(readings(rows("1_"), [1]), targets) is None
    assert ap50(boxed(["1_"], [[square(0), NOWHERE]]), pictures(rows("1_"))) is None
    assert ap50(boxed(["__"], [[NOWHERE, NOWHERE]]), boxed_pictures(["__"], [[NOWHERE, NOWHERE]])) is None
    assert ap50(boxed(["__"], [[NOWHERE, NOWHERE]]), targets) == 0
    with pytest.raises(DataError, match="NaN"):
        ap50(boxed(["1_"], [[(np.nan, 0, 1, 1), NOWHERE]]), targets)


def test_pictures_with_unknown_boxes_are_left_out():
    boxes = [[square(0), square(20)], [NOWHERE, NOWHERE], [square(0), NOWHERE], [NOWHERE, NOWHERE]]
    targets = boxed_pictures(["12", "12", "1_", "__"], boxes)
    scores = [[0.9, 0.8], [0.9, 0.8], [0.9, 0.8], [0.9, 0.8]]
    read = boxed(["12", "12", "1_", "2_"], [boxes[0], boxes[0], boxes[0], boxes[0]], scores)
    # The second picture does not count; a detection where there is no digit does.
    assert ap50(read, targets) == pytest.approx((1 + 0.5) / 2)
    assert ap50(read.take([1]), targets.take(slice(1, 2))) is None


def test_true_positives_need_boxes_on_both_sides():
    read, targets = boxed(["1"], [[square(0)]]), boxed_pictures(["1"], [[square(0)]])
    for pair in ((readings(rows("1"), [1]), targets), (read, pictures(rows("1")))):
        with pytest.raises(DataError):
            detection.true_positives(*pair)


def coco(read, targets):
    """AP@[.5:.95], AP50 and AP75 by pycocotools; None where it has none. Equal scores stay in the order they are in."""
    images = [{"id": i + 1, "width": 100, "height": 100} for i in range(len(read))]
    boxes, found = [], []
    for i, slot in zip(*np.nonzero(targets.labels != BLANK), strict=True):
        x0, y0, x1, y1 = targets.boxes[i, slot].astype(float)
        box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
        boxes.append({**box, "id": len(boxes) + 1, "image_id": i + 1, "category_id": int(targets.labels[i, slot]) + 1})
    for i, slot in zip(*np.nonzero(read.classes != BLANK), strict=True):
        x0, y0, x1, y1 = read.boxes[i, slot].astype(float)
        name = int(read.classes[i, slot])
        score = float(read.probabilities[i, slot, name])
        found.append({"image_id": i + 1, "category_id": name + 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score})
    truth = COCO()
    categories = [{"id": name + 1} for name in range(BLANK)]
    truth.dataset = {"info": {}, "images": images, "annotations": boxes, "categories": categories}
    truth.createIndex()
    # `loadRes` refuses an empty list.
    results = truth.loadRes(found) if found else COCO()
    if not found:
        results.dataset = {"images": images, "annotations": [], "categories": categories}
        results.createIndex()
    evaluation = COCOeval(truth, results, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    figures = evaluation.stats[:3]
    return None if figures[0] == -1 else tuple(figures)


def drawn(seed, n, slots, *, shares=(0.35, 0.35, 0.1, 0.2), ties=False):
    """Random targets of the classes 1 and 2, and readings of 1, 2 and 3 near them.

    Args:
        seed, n, slots: of the draw, pictures, and slots of each.
        shares: of the classes 1, 2, 3 and blank among what is read at random.
        ties: whether all scores are of four values.
    """
    rng = np.random.default_rng(seed)
    # Corners on whole pixels and few classes: boxes often overlap, also with several of their class.
    corner, size = rng.integers(0, 20, (n, slots, 2)), rng.integers(8, 16, (n, slots, 2))
    true = np.concatenate([corner, corner + size], axis=-1).astype(np.float32)
    labels = rng.choice([1, 2, BLANK], (n, slots)).astype(np.uint8)
    anew = rng.choice([1, 2, 3, BLANK], (n, slots), p=shares)
    classes = np.where(rng.random((n, slots)) < 0.7, labels, anew).astype(np.uint8)
    near = true + rng.integers(-2, 3, true.shape)
    probabilities = rng.dirichlet(np.ones(11), (n, slots)).astype(np.float32)
    if ties:
        probabilities = np.ceil(probabilities * 4) / 4
    boxes = np.where((labels != BLANK)[..., None], true, 0).astype(np.float32)
    targets = ImageSet(np.zeros((n, 4, 4, 1), np.uint8), labels, STRIP_NAMES, "mnist", boxes)
    return Readings(probabilities.astype(np.float32), classes, np.ones(n, np.float32), near.astype(np.float32)), targets


def expect_equal(read, targets):
    """The average precisions are those of pycocotools."""
    found, expected = detection.average_precision(read, targets), coco(read, targets)
    if expected is None:
        assert found is None
    else:
        assert (found.ap, found.ap50, found.ap75) == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_average_precision_is_that_of_pycocotools(seed, n, slots, ties):
    expect_equal(*drawn(seed, n, slots, ties=ties))


def test_average_precision_of_crowded_classes_is_that_of_pycocotools():
    read, targets = drawn(3, 200, 10)
    assert 0.5 < ap50(read, targets) < 0.9
    expect_equal(read, targets)
    one = ImageSet(targets.images, np.full_like(targets.labels, 1), STRIP_NAMES, "mnist", read.boxes - 1)
    expect_equal(replace(read, classes=np.full_like(read.classes, 1)), one)


def test_average_precision_with_many_ties_is_that_of_pycocotools():
    expect_equal(*drawn(4, 100, 8, ties=True))


def test_a_class_without_targets_counts_in_neither():
    read, targets = drawn(5, 50, 6, shares=(0, 0, 1, 0))
    assert np.any(read.classes == 3)
    assert not np.any(targets.labels == 3)
    expect_equal(read, targets)


def test_readings_without_detections_have_the_precision_0_in_both():
    read, targets = drawn(6, 20, 5)
    nothing = replace(read, classes=np.full_like(read.classes, BLANK))
    assert detection.average_precision(nothing, targets) == detection.AveragePrecision(0, 0, 0)
    expect_equal(nothing, targets)


def test_pictures_without_digits_have_no_precision_in_either():
    read, targets = drawn(7, 20, 5)
    labels = np.full_like(targets.labels, BLANK)
    expect_equal(read, ImageSet(targets.images, labels, STRIP_NAMES, "mnist", np.zeros_like(targets.boxes)))


def test_a_detection_takes_the_next_box_where_a_better_one_took_the_best():
    targets = boxed_pictures(["11"], [[square(0), square(3)]])
    read = boxed(["11"], [[square(0), square(1)]], [[0.9, 0.8]])
    # Both come closest to the first box. The less sure one still has an IoU of 2/3 with the second.
    assert detection.true_positives(read, targets).tolist() == [[True, True]]
    expect_equal(read, targets)


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

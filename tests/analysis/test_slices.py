"""Slices of suites: which digits were read, what a share of them says, and that a weakness that was put in is found."""

from dataclasses import replace

import evaluations
import numpy as np
import pytest
from scipy import stats

from pipeline.analysis import slices
from pipeline.core.images import DIGIT_NAMES, STRIP_NAMES, ImageSet
from pipeline.evaluation.accuracy import digit_accuracy, wilson
from pipeline.evaluation.evaluated import Evaluated


def by_name(parts):
    return {(part.factor, part.name): part for part in parts}


def bars(n=400, seed=0):
    """Strips of five upright bars, 2 or 5 pixels wide; those of slot 5 lean to the right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, (n, 5), dtype=np.uint8)
    wide = rng.integers(0, 2, (n, 5)).astype(bool)
    images, boxes = np.zeros((n, 28, 140, 1), np.uint8), np.zeros((n, 5, 4), np.float32)
    for picture in range(n):
        for slot in range(5):
            width = 5 if wide[picture, slot] else 2
            for row in range(4, 24):
                left = 28 * slot + 8 + ((24 - row) // 3 if slot == 4 else 0)
                images[picture, row, left : left + width] = 255
            box = images[picture, :, 28 * slot : 28 * slot + 28, 0]
            x = np.flatnonzero(box.any(axis=0)) + 28 * slot
            boxes[picture, slot] = (x[0], 4, x[-1] + 1, 24)
    return ImageSet(images, labels, STRIP_NAMES, "mnist", boxes), wide


@pytest.fixture(scope="module")
def drawn():
    return bars()


def test_strips_are_divided_by_what_was_drawn(drawn):
    pictures, wide = drawn
    parts = by_name(slices.slices(pictures))
    assert {factor for factor, _ in parts} == {"digit", "slot", "thickness", "slant"}
    assert ("digits", "5 digits") not in parts, "every picture has as many"
    edges = [name for factor, name in parts if factor == "thickness"]
    thin = parts["thickness", edges[0]]
    assert np.array_equal(thin.inside, ~wide[thin.picture, thin.slot])
    leaning = parts["slant", [name for factor, name in parts if factor == "slant"][-1]]
    assert set(leaning.slot[leaning.inside].tolist()) == {4}
    seven = parts["digit", "7"]
    assert np.array_equal(seven.inside, pictures.labels[seven.picture, seven.slot] == 7)
    assert (seven.unit, parts["slot", "slot 3"].inside.sum()) == ("digit", len(pictures))


def test_the_number_of_digits_overlap_and_unknown_boxes():
    pictures = evaluations.lines(60).pictures
    parts = by_name(slices.slices(pictures))
    assert parts["digits", "1 digit"].unit == "picture"
    assert parts["digits", "1 digit"].inside.sum() == np.sum((pictures.labels != 10).sum(axis=1) == 1)
    assert not {"overlap"} & {factor for factor, _ in parts}, "none overlaps"
    close = replace(pictures, boxes=pictures.boxes + np.float32([0, 0, 8, 0]) * (pictures.boxes[..., 2:3] > 0))
    touching = by_name(slices.slices(close))["overlap", "none"]
    assert 0 < touching.inside.sum() < len(touching.inside)
    unknown = by_name(slices.slices(evaluations.lines(60, known=False).pictures))
    assert {factor for factor, _ in unknown} == {"digits", "digit", "slot"}


def test_photographs_are_divided_by_class_brightness_and_contrast():
    pictures = evaluations.singles(300)
    dark = replace(
        pictures, images=(pictures.images // np.arange(1, 5).repeat(75)[:, None, None, None]).astype(np.uint8)
    )
    parts = by_name(slices.slices(dark))
    assert {factor for factor, _ in parts} == {"class", "brightness", "contrast"}
    darkest = next(
        part for (factor, name), part in parts.items() if factor == "brightness" and name.startswith("below")
    )
    assert set(darkest.picture[darkest.inside].tolist()) <= set(range(225, 300))
    assert all(part.unit == "picture" for part in parts.values())


def test_single_digits_have_the_box_of_their_ink():
    pictures = evaluations.singles(50, DIGIT_NAMES)
    sides = np.arange(50) % 2 * 8 + 6
    images = np.zeros_like(pictures.images)
    for image, side in zip(images, sides, strict=True):
        image[4 : 4 + side, 6:9] = 255
    parts = by_name(slices.slices(replace(pictures, images=images)))
    large = [part for (factor, _), part in parts.items() if factor == "size"][-1]
    assert np.array_equal(large.inside, sides == 14)


@pytest.mark.parametrize(
    "make", [evaluations.scenes, evaluations.lines, lambda: evaluations.results()["plain"]["test"]]
)
def test_the_digits_that_were_read_are_those_that_the_digit_accuracy_counts(make):
    evaluated = make()
    held = evaluated.pictures.labels != 10
    read = slices.digits_read(evaluated)
    assert not (read & ~held).any()
    expected = digit_accuracy(
        evaluated.readings.classes, evaluated.pictures.labels, evaluated.blank, evaluated.positional
    )
    assert read.sum() / held.sum() == pytest.approx(expected)


def test_a_missing_digit_is_the_one_that_is_missing():
    pictures = evaluations.pictures(evaluations.rows("12345", "12345"))
    evaluated = Evaluated.of(evaluations.readings(evaluations.rows("1245_", "91234"), [1, 1]), pictures, False)
    assert slices.digits_read(evaluated).astype(int).tolist() == [[1, 1, 0, 1, 1], [1, 1, 1, 1, 0]]


def test_a_share_of_pictures_has_wilsons_interval_and_a_test_close_to_fishers():
    rng = np.random.default_rng(2)
    inside = np.arange(2000) < 500
    happened = rng.random(2000) < np.where(inside, 0.12, 0.05)
    found = slices.estimate(happened, np.arange(2000), inside)
    # The effective number is (n - 1) / n of the pictures.
    assert (found.low, found.high) == pytest.approx(wilson(happened[inside].sum(), 500), abs=2e-4)
    table = [[np.sum(happened & part), np.sum(~happened & part)] for part in (inside, ~inside)]
    exact = stats.fisher_exact(table, alternative="greater").pvalue
    # Wald's test is conservative: its p is the larger one.
    assert exact < found.p < 1e3 * exact
    assert slices.estimate(~happened, np.arange(2000), inside).p > 0.99


def test_digits_of_one_picture_count_as_what_they_tell():
    """Five digits that are always wrong together say no more than one."""
    rng = np.random.default_rng(1)
    wrong = np.repeat(rng.random(600) < 0.1, 5)
    inside = np.repeat(np.arange(600) < 200, 5)
    together = slices.estimate(wrong, np.repeat(np.arange(600), 5), inside)
    alone = slices.estimate(wrong, np.arange(3000), inside)
    once = slices.estimate(wrong[::5], np.arange(600), inside[::5])
    assert together.high - together.low == pytest.approx(once.high - once.low, rel=0.01)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert together.p == pytest.approx(once.p, rel=0.02)


def test_the_test_holds_its_level_where_nothing_differs():
    rng = np.random.default_rng(8)
    picture, below = np.repeat(np.arange(400), 5), 0
    for _ in range(400):
        wrong = (rng.random(400) < 0.08)[picture] & (rng.random(2000) < 0.7)
        below += slices.estimate(wrong, picture, rng.random(2000) < 0.2).p < 0.05
    assert below / 400 < 0.09


def test_nothing_and_everything_happened():
    none = slices.estimate(np.zeros(100, bool), np.arange(100), np.arange(100) < 30)
    assert (none.share, none.low, none.rest, none.p) == (0.0, 0.0, 0.0, 1.0)
    assert 0 < none.high < 0.15
    apart = slices.estimate(np.arange(100) < 30, np.arange(100), np.arange(100) < 30)
    assert (apart.share, apart.high, apart.rest, apart.p) == (1.0, 1.0, 0.0, 0.0)


def test_a_weakness_is_found_and_named_with_what_was_accepted(drawn):
    """A model that misreads a third of the wide bars, confidently, and everything else at random."""
    pictures, wide = drawn
    rng = np.random.default_rng(3)
    slips = rng.random(wide.shape) < np.where(wide, 0.3, 0.01)
    classes = np.where(slips, (pictures.labels + 1) % 10, pictures.labels).astype(np.uint8)
    evaluated = Evaluated.of(evaluations.readings(classes, np.full(400, 0.9)), pictures)
    parts = slices.slices(pictures)
    rows = slices.corrected(slices.scores("net", "plain", evaluated, parts, 0.5, 50))
    assert [(row.factor, by) for row, by in slices.worst(rows, 0.05)] == [
        ("thickness", "accuracy"),
        ("thickness", "accepted_wrong"),
    ]
    row = slices.worst(rows, 0.05)[0][0]
    assert row.low < row.accuracy < row.high < row.rest
    assert row.accepted_wrong == pytest.approx(1 - row.accuracy)
    # Nothing is accepted without a threshold.
    nothing = slices.corrected(slices.scores("net", "plain", evaluated, parts, None, 50))
    assert {by for _, by in slices.worst(nothing, 0.05)} == {"accuracy"}
    # And small slices are not judged.
    small = slices.corrected(slices.scores("net", "plain", evaluated, parts, 0.5, 401))
    assert {row.accuracy_p for row in small} == {None}
    assert slices.worst(small, 0.05) == []

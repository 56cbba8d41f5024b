"""Composed lines: their digits are where their boxes say; labelled pictures become lines of the same form."""

from dataclasses import replace

import numpy as np
import pytest
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.core.images import INK, ImageSet
from pipeline.core.lines import LINE_SHAPE, LINE_SLOTS, Picture, PictureSet
from pipeline.data import lines

COUNT = 60


@pytest.fixture(scope="module")
def digits(embedded):
    return embedded["mnist/mnist"]["train"]


@pytest.fixture(scope="module")
def composed(digits):
    return lines.compose(digits, lines=COUNT, seed=3)


def equal(one: ImageSet, other: ImageSet) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("images", "labels", "boxes", "sources")
    )


def test_lines_have_the_form_of_the_model(composed, digits):
    assert (len(composed), composed.shape, composed.slots) == (COUNT, LINE_SHAPE, LINE_SLOTS)
    assert composed.origin == digits.origin
    drawn = composed.labels < 10
    assert (np.diff(drawn.astype(int), axis=1) <= 0).all(), "a digit after a blank"
    assert set(drawn.sum(axis=1)) <= set(range(1, LINE_SLOTS + 1))
    assert len(set(drawn.sum(axis=1))) > 4


def test_every_digit_is_of_the_source_that_its_id_says(composed, digits):
    drawn = composed.labels < 10
    label_of = dict(zip(digits.sources[:, 0].tolist(), digits.labels[:, 0].tolist(), strict=True))
    assert [label_of[source] for source in composed.sources[drawn].tolist()] == composed.labels[drawn].tolist()
    assert (composed.sources[~drawn] == -1).all()


def test_boxes_hold_most_of_the_ink_and_are_in_reading_order(composed):
    drawn = composed.labels < 10
    x0, y0, x1, y1 = np.moveaxis(composed.boxes, -1, 0)
    assert ((x0 < x1) & (y0 < y1))[drawn].all()
    assert (composed.boxes[~drawn] == 0).all()
    assert x1.max() <= LINE_SHAPE[1]
    assert y1.max() <= LINE_SHAPE[0]
    centres = np.where(drawn, (x0 + x1) / 2, np.inf)
    assert (centres[:, 1:] >= centres[:, :-1]).all()
    inside = np.zeros(composed.images.shape[:3], bool)
    for row, slot in zip(*np.nonzero(drawn), strict=True):
        left, top, right, bottom = composed.boxes[row, slot].round().astype(int)
        inside[row, top:bottom, left:right] = True
    ink = composed.images[..., 0] >= 4 * INK
    assert (ink & inside).sum() > 0.8 * ink.sum(), "signs, rules and patterns are little of the ink"


def test_one_seed_gives_one_set_however_many_chunks_are_drawn_at_a_time(digits, composed, monkeypatch):
    assert equal(lines.compose(digits, lines=COUNT, seed=3), composed)
    assert not equal(lines.compose(digits, lines=COUNT, seed=4), composed)
    monkeypatch.setattr(lines, "_CHUNK", 5)
    parts = [lines._chunk(digits, count, digits.origin, (3, index)) for index, count in enumerate((5, 5, 2))]
    assert equal(lines.compose(digits, lines=12, seed=3), lines.joined(parts))


def test_a_hand_repeats_itself(digits):
    rows = [np.flatnonzero(digits.labels[:, 0] == value) for value in range(10)]
    rng = np.random.default_rng(0)
    repeated = total = 0
    for _ in range(40):
        drawn = lines.written(digits, rows, rng)
        for value in set(drawn.digits.tolist()):
            sources = drawn.sources[drawn.digits == value]
            repeated += len(sources) - len(set(sources.tolist()))
            total += len(sources) - 1
    assert repeated > total / 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda digits: digits.take(digits.labels[:, 0] != 7), "no digits 7"),
        (lambda digits: replace(digits, sources=None), "without ids"),
        (lambda digits: replace(digits, images=digits.images[:, :20]), "(20, 28, 1)"),
    ],
)
def test_digits_that_no_line_can_be_composed_of_are_refused(digits, change, said):
    with refuses(DataError, said):
        lines.compose(change(digits), lines=1, seed=0)


@pytest.fixture(scope="module")
def labelled(digits):
    """Ten pictures of lines, and an empty sheet as the fourth."""
    rows = [np.flatnonzero(digits.labels[:, 0] == value) for value in range(10)]
    rng = np.random.default_rng(1)
    drawn = [lines.written(digits, rows, rng) for _ in range(10)]
    pictures = [Picture(f"{row}.png", each.pixels, each.digits, each.boxes) for row, each in enumerate(drawn)]
    sheet = np.full((40, 160), 230, np.uint8)
    pictures.insert(
        3, Picture("sheet.png", sheet, np.array([4, 2], np.uint8), np.array([[8, 4, 40, 36]] * 2, np.float32))
    )
    return PictureSet(tuple(pictures), "folder:mine")


def test_a_picture_without_a_line_is_left_out_or_stays_empty(labelled):
    ids = list(range(100, 111))
    kept, empty = lines.ingested(labelled, ids, keep_empty=True)
    assert (len(kept), empty, kept.origin) == (11, 1, "folder:mine")
    assert not kept.images[3].any()
    assert kept.labels[3, :3].tolist() == [4, 2, 10]
    np.testing.assert_allclose(kept.boxes[3, 0], [6.4, 3.2, 32, 28.8], rtol=1e-5)
    left_out, empty = lines.ingested(labelled, ids, keep_empty=False)
    assert (len(left_out), empty) == (10, 1)
    assert left_out.sources[:, 0].tolist() == [each for each in ids if each != 103]
    assert left_out.images.any(axis=(1, 2, 3)).all()


def test_pictures_without_boxes_are_lines_without_boxes(labelled):
    some = PictureSet((replace(labelled.pictures[0], boxes=None), labelled.pictures[1]), labelled.origin)
    made, _ = lines.ingested(some, [0, 1], keep_empty=True)
    assert not made.boxes[0].any()
    assert made.boxes[1].any()
    made, _ = lines.ingested(some.take([0]), [0], keep_empty=True)
    assert made.boxes is None


def test_more_digits_than_slots_are_refused(labelled):
    long = replace(labelled.pictures[0], digits=np.zeros(11, np.uint8), boxes=None)
    with refuses(DataError, "0.png", "11 digits", "1 to 10"):
        lines.ingested(PictureSet((long,), "folder:mine"), [0], keep_empty=True)

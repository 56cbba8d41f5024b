"""Every expectation, met and broken, on tiny sets; a broken one must name its rows."""

from dataclasses import replace

import numpy as np
import pytest
from noise_suites import (
    PER_SPLIT,
    STRIPS,
    composed_scenes,
    composed_strips,
    failures,
    singles,
    spec,
    suite_of,
    validate,
)

from pipeline.core.images import DIGIT_NAMES, ImageSet
from pipeline.records.data import Duplicates
from pipeline.validation import data_docs


@pytest.fixture(autouse=True)
def without_pages(monkeypatch):
    """Half of a validation's time is writing its pages; test_validator.py looks at them."""
    monkeypatch.setattr(data_docs, "write_pages", lambda context, folder: folder.mkdir())


@pytest.mark.parametrize("suite", ["mnist", "cifar10", "scenes", *STRIPS])
def test_sound_data_meets_every_expectation(suite, tmp_path):
    splits = suite_of(suite)
    report = validate(splits, spec(suite), tmp_path / "docs")
    assert failures(report) == {}
    assert report.success
    assert report.splits["gate"].pictures == len(splits["gate"])


def test_each_broken_rule_names_its_rows(tmp_path):
    splits = singles()
    splits["train"].images[[3, 8]] = 77
    splits["valid"].images[2] = splits["train"].images[5]
    splits["test"].images[4] = splits["test"].images[6]
    splits["gate"].sources[1] = splits["train"].sources[0]
    splits["test"].sources[9] = -1
    splits["valid"].labels[splits["valid"].labels == 7] = 1
    report = validate(splits, spec("mnist", class_share=(0.5, 1.9)), tmp_path / "docs")

    assert failures(report) == {
        "deviation": [("train row 3", "0"), ("train row 8", "0")],
        "duplicate_across_splits": [("train row 5", "valid row 2"), ("valid row 2", "train row 5")],
        "source_fault": [("test row 9", "slot 1: a picture without an id")],
        "source_across_splits": [
            ("train row 0", "id 0, also in gate row 1"),
            ("gate row 1", "id 0, also in train row 0"),
        ],
        "count": [("valid class 7", "0")],
        "share": [("valid class 1", "2"), ("valid class 7", "0")],
    }
    # The two constant pictures are copies of each other; copies inside a split are counted, not refused.
    assert report.duplicates == Duplicates(across_splits=2, within_splits=2)
    assert not report.success


def test_each_broken_rule_of_strips_names_its_rows(tmp_path):
    splits = composed_strips("blanks")
    train = splits["train"]
    blank_at = {
        row: int(np.flatnonzero(train.labels[row] == 10)[0]) for row in range(len(train)) if 10 in train.labels[row]
    }
    digit_at = {
        row: int(np.flatnonzero(train.labels[row] < 10)[0]) for row in range(len(train)) if train.labels[row].min() < 10
    }
    mixed = [row for row in blank_at if row in digit_at]
    pairs = [row for row in digit_at if (train.labels[row] < 10).sum() == 5]
    inked, unboxed, ghost, outside, reversed_ = *mixed[:4], pairs[0]
    assert len({inked, unboxed, ghost, outside, reversed_}) == 5
    train.images[inked, 3:5, 28 * blank_at[inked] + 6] = 200
    train.boxes[unboxed, digit_at[unboxed]] = 0
    train.boxes[ghost, blank_at[ghost]] = (28 * blank_at[ghost], 0, 28 * blank_at[ghost] + 3, 3)
    train.boxes[outside, digit_at[outside], 3] = 29
    train.boxes[reversed_, [0, 1]] = train.boxes[reversed_, [1, 0]]
    found = failures(validate(splits, spec("blanks"), tmp_path / "docs"))

    assert dict(found["box_fault"]) == {
        f"train row {unboxed}": f"slot {digit_at[unboxed] + 1}: a digit without a box",
        f"train row {ghost}": f"slot {blank_at[ghost] + 1}: a blank with a box",
        f"train row {outside}": f"slot {digit_at[outside] + 1}: a box that leaves the picture",
        f"train row {reversed_}": "slot 2: a box to the left of the previous one",
    }
    assert found["cell_fault"] == [(f"train row {reversed_}", "slot 1: a box outside its cell")]
    assert found["blank_ink"] == [(f"train row {inked}", "2")]
    assert {row for row, _ in found["stray_ink"]} == {f"train row {inked}", f"train row {unboxed}"}
    assert [row for row, _ in found["min_box_ink"]] == [f"train row {unboxed}"]
    assert set(found) == {"box_fault", "cell_fault", "blank_ink", "stray_ink", "min_box_ink"}


def draw_boxes(pictures: ImageSet, row: int, boxes: list[tuple[int, int, int, int]]) -> None:
    """Replace a scene by one of filled boxes, in this order, whose ids are of the same split."""
    pictures.images[row] = 0
    for x0, y0, x1, y1 in boxes:
        pictures.images[row, y0:y1, x0:x1] = 200
    pictures.boxes[row] = 0
    pictures.boxes[row, : len(boxes)] = boxes
    pictures.labels[row] = 10
    pictures.labels[row, : len(boxes)] = row % 10
    some = pictures.sources[pictures.sources >= 0][0]
    pictures.sources[row] = -1
    pictures.sources[row, : len(boxes)] = some


def resize(*box: int):
    def change(pictures: ImageSet, row: int) -> None:
        pictures.boxes[row, 0] = box

    return change


def move_to_the_third_slot(pictures: ImageSet, row: int) -> None:
    for array in (pictures.labels, pictures.boxes, pictures.sources):
        array[row, [1, 2]] = array[row, [2, 1]]


def box_a_blank(pictures: ImageSet, row: int) -> None:
    pictures.boxes[row, 7] = (0, 0, 20, 20)


def remove_the_first(pictures: ImageSet, row: int) -> None:
    pictures.labels[row, 0], pictures.boxes[row, 0], pictures.sources[row, 0] = 10, 0, -1


ONE = [(40, 40, 60, 70)]
TWO = [(10, 10, 30, 40), (60, 10, 80, 40)]
"""Sound scenes of one digit and of two."""
BROKEN_SCENES = [
    (ONE, None, {}),
    (TWO, None, {}),
    ([(10, 10, 20, 23)], None, {"min_side": "13"}),
    ([(10, 10, 20, 24)], None, {}),
    ([(10, 10, 30, 53)], None, {"max_side": "43"}),
    ([(10, 10, 30, 52)], None, {}),
    ([(10, 10, 30, 40), (13, 60, 33, 90)], None, {"min_x_distance": "3"}),
    ([(10, 10, 30, 40), (14, 60, 34, 90)], None, {}),
    (TWO[::-1], None, {"min_x_distance": "-50"}),
    # 7 of 25 columns: 0.28 of each box, and 210 of 1290 pixels of both.
    ([(10, 10, 35, 40), (28, 10, 53, 40)], None, {"max_iou": "0.1628"}),
    ([(10, 10, 35, 40), (29, 10, 54, 40)], None, {}),
    # 5 of 14 columns of the small one, little of both.
    ([(10, 10, 50, 50), (45, 20, 59, 34)], None, {"max_overlap": "0.3571"}),
    ([(10, 10, 50, 50), (46, 20, 60, 34)], None, {}),
    (ONE, resize(39, 40, 60, 70), {"bare_sides": "1"}),
    (ONE, resize(39, 39, 61, 71), {"bare_sides": "4"}),
    (ONE, resize(5, 5, 25, 25), {"bare_sides": "4", "min_box_ink": "0"}),
    ([(100, 10, 112, 40)], resize(100, 10, 113, 40), {"box_fault": "slot 1: a box that leaves the picture"}),
    (TWO, box_a_blank, {"box_fault": "slot 8: a blank with a box"}),
    (TWO, move_to_the_third_slot, {"box_fault": "slot 3: a digit after a blank"}),
    (TWO, remove_the_first, {"box_fault": "slot 2: a digit after a blank", "slot_1": "blank"}),
]
"""Per scene its boxes, what is then done to it, and what must be found, by column; at most five of a column."""


def broken_scenes():
    """Splits with every broken scene in gate, and what must be found in which row, by column."""
    splits = composed_scenes()
    expected: dict[str, list[tuple[str, str]]] = {}
    for row, (boxes, change, faults) in enumerate(BROKEN_SCENES):
        # A pixel of its own at the edge keeps the scene from being a copy of another.
        draw_boxes(splits["gate"], row, boxes)
        splits["gate"].images[row, 111, row] = 9
        if change:
            change(splits["gate"], row)
        for column, value in faults.items():
            expected.setdefault(column, []).append((f"gate row {row}", value))
    return splits, expected


def test_each_broken_rule_of_scenes_names_its_row(tmp_path):
    splits, expected = broken_scenes()
    assert failures(validate(splits, spec("scenes"), tmp_path / "docs")) == expected


COUNTED = {"min_side", "max_side", "bare_sides", "max_iou", "max_overlap"}
"""What people do not keep to who draw boxes."""


def test_sizes_and_overlaps_of_labelled_scenes_are_counted_and_everything_else_is_refused(tmp_path):
    splits, broken = broken_scenes()
    expected = {column: rows for column, rows in broken.items() if column not in COUNTED}
    report = validate(splits, spec("scenes", labelled=True), tmp_path / "docs")
    assert failures(report) == expected
    assert {"min_x_distance", "min_box_ink", "box_fault"} <= set(expected)
    assert {each.column for each in report.expectations if each.success and each.unexpected} >= COUNTED


def test_a_box_that_ends_between_pixels_has_the_ink_of_those_it_reaches_into(tmp_path):
    splits = composed_scenes()
    draw_boxes(splits["gate"], 0, [(40, 40, 41, 70)])
    splits["gate"].boxes[0, 0] = (40.2, 40.5, 40.9, 69.5)
    assert failures(validate(splits, spec("scenes"), tmp_path / "docs")) == {}


def test_scenes_of_too_many_digits_or_one_value_or_twice_are_refused(tmp_path):
    splits = composed_scenes()
    gate = splits["gate"]
    draw_boxes(gate, 3, ONE)
    gate.images[3] = 200
    draw_boxes(gate, 4, TWO)
    draw_boxes(gate, 5, TWO)
    found = failures(validate(splits, spec("scenes", digits=(1, 7)), tmp_path / "docs"))
    assert set(found) == {"digits", "deviation", "duplicate_within_split"}
    assert {value for _, value in found["digits"]} == {"8"}
    assert found["deviation"] == [("gate row 3", "0")]
    assert found["duplicate_within_split"] == [("gate row 5", "gate row 4")]


def test_scenes_without_boxes_or_of_another_size_are_refused(tmp_path):
    splits = composed_scenes()
    splits["gate"] = replace(splits["gate"], boxes=None)
    splits["test"] = replace(splits["test"], images=splits["test"].images[:, :100])
    found = failures(validate(splits, spec("scenes"), tmp_path / "docs"))
    assert set(found) == {"shape", "box_fault"}
    assert found["box_fault"][0] == ("gate row 0", "no boxes")
    assert found["shape"][0] == ("test row 0", "100×112×1")


def test_a_digit_of_a_scene_that_is_in_two_splits_is_refused(tmp_path):
    splits = composed_scenes()
    splits["gate"].sources[2, 0] = splits["train"].sources[4, 0]
    found = failures(validate(splits, spec("scenes"), tmp_path / "docs"))
    assert set(found) == {"source_across_splits"}
    assert "gate row 2" in {row for row, _ in found["source_across_splits"]}


def test_strips_cut_in_the_wrong_place_have_ink_at_the_seams(tmp_path):
    splits = composed_strips("plain")
    splits = {
        split: replace(pictures, images=np.roll(pictures.images, 14, axis=2)) for split, pictures in splits.items()
    }
    report = validate(splits, spec("plain"), tmp_path / "docs")
    assert {"stray_ink", "seam_ink"} <= set(failures(report))
    seams = next(result for result in report.expectations if result.column == "seam_ink")
    assert seams.unexpected == sum(len(pictures) for pictures in splits.values())


def test_digits_of_another_origin_may_reach_the_seams(tmp_path):
    splits = composed_strips("plain", origin="embedded")
    for pictures in splits.values():
        pictures.images[:, 10, 28] = 255
        pictures.boxes[:, 1, 0] = 28
    report = validate(splits, spec("plain"), tmp_path / "docs")
    assert failures(report) == {}
    assert any("no ink at the seams" in note for note in report.notes)


def test_neighbours_overlap_by_six_columns_at_most(tmp_path):
    splits = composed_strips("jitter")
    boxes = splits["gate"].boxes
    boxes[7, 2, 0] = boxes[7, 1, 2] - 7
    found = failures(validate(splits, spec("jitter"), tmp_path / "docs"))
    assert set(found) == {"box_fault"}
    assert [row for row, _ in found["box_fault"]] == ["gate row 7"]


def test_a_strip_without_digits_is_refused_only_where_digits_are_required(tmp_path):
    splits = composed_strips("blanks")
    empty = [row for row in range(len(splits["test"])) if (splits["test"].labels[row] == 10).all()]
    assert len(empty) > 1, "the suite must hold empty strips for this test to say anything"
    assert failures(validate(splits, spec("blanks"), tmp_path / "docs")) == {}
    found = failures(validate(splits, spec("blanks", digits=(1, 5)), tmp_path / "docs"))
    assert set(found) == {"digits"}
    assert {value for _, value in found["digits"]} == {"0"}


def test_what_cifar10_holds_twice_is_counted_but_one_id_in_two_splits_is_refused(tmp_path):
    splits = singles((32, 32, 3), origin="cifar10")
    splits["gate"].images[4] = splits["train"].images[6]
    report = validate(splits, spec("cifar10"), tmp_path / "docs")
    assert report.success
    assert report.duplicates == Duplicates(across_splits=2, within_splits=0)
    assert any("train row 6 (gate row 4)" in note for note in report.notes)

    splits["gate"].sources[4] = splits["train"].sources[6]
    found = failures(validate(splits, spec("cifar10"), tmp_path / "docs"))
    assert set(found) == {"source_across_splits"}


@pytest.mark.parametrize(("origin", "refused"), [("mnist", True), ("folder:mine", True), ("embedded", False)])
def test_imbalance_is_refused_except_of_the_stand_in(origin, refused, tmp_path):
    splits = singles(origin=origin)
    splits["valid"].labels[0:40:10] = 9
    report = validate(splits, spec("mnist"), tmp_path / "docs")
    assert report.success is not refused
    share = next(result for result in report.expectations if result.column == "share")
    assert share.first == (("valid class 0", "0.3333"),)
    assert refused or any("valid class 0 (0.3333)" in note for note in report.notes)


def test_constant_pictures_are_allowed_up_to_the_share_of_each_split(tmp_path):
    splits = singles()
    for value, row in enumerate((1, 20, 30)):
        splits["valid"].images[row] = 100 + value
    assert validate(splits, spec("mnist", constant_share=0.05), tmp_path / "docs").success
    splits["valid"].images[40] = 200
    # 4 of 60 are too many of valid, though few of all 240.
    found = failures(validate(splits, spec("mnist", constant_share=0.05), tmp_path / "docs"))
    assert [row for row, _ in found["deviation"]] == [f"valid row {row}" for row in (1, 20, 30, 40)]


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("shape", lambda pictures: replace(pictures, images=pictures.images[:, :26])),
        ("classes", lambda pictures: replace(pictures, class_names=DIGIT_NAMES[::-1])),
        ("origin", lambda pictures: replace(pictures, origin="embedded")),
    ],
)
def test_one_split_that_is_of_another_kind_is_named(column, change, tmp_path):
    splits = singles()
    splits["gate"] = change(splits["gate"])
    report = validate(splits, spec("mnist"), tmp_path / "docs")
    assert [row for row, _ in failures(report)[column]] == [f"gate row {row}" for row in range(5)]
    assert next(result for result in report.expectations if result.column == column).unexpected == PER_SPLIT


def test_pictures_on_the_scale_0_to_1_are_refused(tmp_path):
    splits = {split: replace(pictures, images=pictures.images // 255) for split, pictures in singles().items()}
    found = failures(validate(splits, spec("mnist"), tmp_path / "docs"))
    assert found["maximum"] == []


def test_an_empty_split_lacks_every_class(tmp_path):
    splits = singles()
    splits["gate"] = splits["gate"].take(slice(0, 0))
    found = failures(validate(splits, spec("mnist"), tmp_path / "docs"))
    assert found["count"] == [(f"gate class {digit}", "0") for digit in range(5)]


def test_a_folder_brings_its_own_classes_and_size(tmp_path):
    splits = {
        split: replace(pictures, class_names=tuple("abcdefghij"), origin="folder:letters")
        for split, pictures in singles((48, 40, 3)).items()
    }
    assert failures(validate(splits, spec("cifar10"), tmp_path / "docs")) == {}


def test_strips_without_boxes_or_ids_are_refused(tmp_path):
    sound = composed_strips("plain")
    splits = {split: replace(pictures, boxes=None, sources=None) for split, pictures in sound.items()}
    found = failures(validate(splits, spec("plain"), tmp_path / "docs"))
    assert {"box_fault", "source_fault"} <= set(found)
    assert found["box_fault"][0] == ("train row 0", "no boxes")

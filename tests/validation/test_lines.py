"""Lines: sound ones pass, and each broken rule names its row. Of labelled ones, what ingestion missed is counted."""

from dataclasses import replace

import numpy as np
import pytest
from noise_suites import failures, spec, validate

from pipeline.core.images import BLANK, SPLITS, STRIP_NAMES, ImageSet
from pipeline.core.lines import LINE_SHAPE

PER_SPLIT = 24


def drawn_lines(origin: str = "mnist") -> dict[str, ImageSet]:
    """Four splits of lines of 1 to 10 bars, each in a box that it fills, with a pixel of noise of its own."""
    rng, splits = np.random.default_rng(5), {}
    for number, split in enumerate(SPLITS):
        images = np.zeros((PER_SPLIT, *LINE_SHAPE), np.uint8)
        labels = np.full((PER_SPLIT, 10), BLANK, np.uint8)
        boxes = np.zeros((PER_SPLIT, 10, 4), np.float32)
        sources = np.full((PER_SPLIT, 10), -1, np.int32)
        for row in range(PER_SPLIT):
            count = 10 if row < 12 else row % 10 + 1
            labels[row, :count] = (np.arange(count) + row) % 10
            for slot in range(count):
                box = (4 + 20 * slot, 4, 16 + 20 * slot, 28)
                images[row, box[1] : box[3], box[0] : box[2]] = 200
                boxes[row, slot] = box
            sources[row, :count] = 1000 * number + row
            images[row, 0, :30, 0] = rng.integers(1, 20, 30)
        splits[split] = ImageSet(images, labels, STRIP_NAMES, origin, boxes=boxes, sources=sources)
    return splits


def lines_spec(**changes):
    return spec("lines", digits=(1, 10), **changes)


def test_sound_lines_pass(tmp_path):
    report = validate(drawn_lines(), lines_spec(), tmp_path / "docs")
    assert (failures(report), report.notes) == ({}, ())


def box_outside(lines: ImageSet) -> None:
    lines.boxes[1, 9, 2] = 225


def boxes_exchanged(lines: ImageSet) -> None:
    lines.boxes[2, [0, 1]] = lines.boxes[2, [1, 0]]


def blank_before_a_digit(lines: ImageSet) -> None:
    for array, value in ((lines.labels, BLANK), (lines.boxes, 0), (lines.sources, -1)):
        array[3, 4] = value


def boxed_blank(lines: ImageSet) -> None:
    lines.boxes[12, 9] = (1, 1, 5, 5)


BROKEN = [
    (box_outside, {"box_fault": ("gate row 1", "slot 10: a box that leaves the picture")}),
    (boxes_exchanged, {"box_fault": ("gate row 2", "slot 2: a box to the left of the previous one")}),
    (blank_before_a_digit, {"box_fault": ("gate row 3", "slot 6: a digit after a blank")}),
    (boxed_blank, {"box_fault": ("gate row 12", "slot 10: a blank with a box")}),
]


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize(("change", "expected"), BROKEN)
def test_each_broken_rule_names_its_row(tmp_path, change, expected, labelled):
    splits = drawn_lines()
    change(splits["gate"])
    found = failures(validate(splits, lines_spec(labelled=labelled), tmp_path / "docs"))
    assert {column: rows[0] for column, rows in found.items()} == expected


def test_a_picture_in_two_splits_is_refused(tmp_path):
    splits = drawn_lines()
    splits["gate"].sources[2, :10] = splits["train"].sources[4, 0]
    splits["test"].images[5] = splits["valid"].images[7]
    found = failures(validate(splits, lines_spec(labelled=True), tmp_path / "docs"))
    assert set(found) == {"source_across_splits", "duplicate_across_splits"}
    assert "gate row 2" in {row for row, _ in found["source_across_splits"]}
    assert found["duplicate_across_splits"] == [("valid row 7", "test row 5"), ("test row 5", "valid row 7")]


def test_what_ingestion_missed_is_counted_in_labelled_pictures_and_refused_in_composed_ones(tmp_path):
    splits = drawn_lines(origin="folder:mine")
    gate, test = splits["gate"], splits["test"]
    gate.boxes[0] = 0
    gate.boxes[4, 9] = (224, 0, 224, 8)
    gate.boxes[5, 9] = (205, 0, 224, 3)
    # The empty lines of two splits are equal, and are no copies of each other.
    gate.images[6] = test.images[6] = 0
    counted = validate(splits, lines_spec(labelled=True), tmp_path / "counted")
    assert failures(counted) == {}
    assert sum("counted only" in note for note in counted.notes) == 2
    found = failures(validate(splits, lines_spec(), tmp_path / "refused"))
    assert [row for row, _ in found["missing_box"]] == ["gate row 0", "gate row 4"]
    assert [row for row, _ in found["min_box_ink"]] == ["gate row 5", "gate row 6", "test row 6"]
    assert set(found) == {"missing_box", "min_box_ink", "deviation"}


def test_many_labelled_pictures_without_a_line_are_refused(tmp_path):
    splits = drawn_lines()
    splits["valid"].images[:3] = 0
    found = failures(validate(splits, lines_spec(labelled=True), tmp_path / "docs"))
    assert [row for row, _ in found["deviation"]] == ["valid row 0", "valid row 1", "valid row 2"]


def test_labelled_pictures_need_neither_boxes_nor_every_class(tmp_path):
    splits = {split: replace(lines, boxes=None) for split, lines in drawn_lines("folder:mine").items()}
    splits["test"] = splits["test"].take(np.arange(12, 14))
    report = validate(splits, lines_spec(labelled=True), tmp_path / "docs")
    assert failures(report) == {}
    assert any("every class is in every split" in note for note in report.notes)
    assert "missing_box" in failures(validate(splits, lines_spec(), tmp_path / "composed"))


def test_lines_of_another_size_are_refused(tmp_path):
    splits = drawn_lines()
    splits["test"] = replace(splits["test"], images=splits["test"].images[:, :, :200])
    found = failures(validate(splits, lines_spec(), tmp_path / "docs"))
    assert set(found) == {"shape", "box_fault", "missing_box"}

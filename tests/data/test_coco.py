"""Documents in COCO's format: the digits of each picture in order, or every fault by its place."""

import json

import numpy as np
import pytest
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.data import coco


def document(**changes):
    return {
        "info": {"year": "2021"},
        "images": [
            {"id": 7, "file_name": "one.png", "width": 100, "height": 40},
            {"id": 3, "file_name": "two.png", "width": 50, "height": 40},
        ],
        "annotations": [
            {"id": 0, "image_id": 7, "category_id": 12, "bbox": [60, 5, 20, 30], "area": 600},
            {"id": 1, "image_id": 7, "category_id": 13, "bbox": [5.5, 5, 20, 30], "iscrowd": 0},
            {"id": 2, "image_id": 3, "category_id": 10, "bbox": [-0.5, 5, 51, 30.25], "segmentation": []},
        ],
        "categories": [{"id": 0, "name": "digits"}, *({"id": digit + 10, "name": str(digit)} for digit in range(10))],
    } | changes


def parse(**changes):
    return coco.parse(json.dumps(document(**changes)).encode(), "my.json")


def annotation(**changes):
    return {
        "annotations": [*document()["annotations"], {"image_id": 7, "category_id": 11, "bbox": [1, 1, 2, 2]} | changes]
    }


def test_digits_are_in_the_order_of_their_centres_and_boxes_are_cut_at_the_border():
    one, two = parse()
    assert (one.file, one.size, one.digits.tolist()) == ("one.png", (40, 100), [3, 2])
    assert one.boxes.tolist() == [[5.5, 5, 25.5, 35], [60, 5, 80, 35]]
    assert (two.digits.tolist(), two.boxes.tolist()) == ([0], [[0, 5, 50, 35.25]])
    assert (one.digits.dtype, one.boxes.dtype) == (np.uint8, np.float32)


def test_a_byte_order_mark_is_no_fault():
    assert len(coco.parse(b"\xef\xbb\xbf" + json.dumps(document()).encode(), "my.json")) == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"images": []}, ["images", "at least 1"]),
        ({"categories": None}, ["categories"]),
        (
            {"images": [*document()["images"], {"id": 9, "file_name": "x.png", "width": 0}]},
            ["images[2].width", "height"],
        ),
        ({"images": [*document()["images"], document()["images"][0]]}, ["id 7 2 times", "file_name one.png 2 times"]),
        (
            {"images": [*document()["images"], {"id": 9, "file_name": "x.png", "width": 5, "height": 5}]},
            ["x.png: 0 digits"],
        ),
        ({"categories": [{"id": 12, "name": "2"}] * 2}, ["categories: id 12 2 times"]),
        (annotation(image_id=8), ["annotations[3]: image_id 8"]),
        (annotation(image_id="7"), ["annotations[3].image_id"]),
        (annotation(category_id=20), ["annotations[3] of one.png: category_id 20"]),
        (annotation(category_id=0), ["annotations[3] of one.png: category 'digits'", "0 to 9"]),
        (annotation(iscrowd=1), ["annotations[3] of one.png: iscrowd"]),
        (annotation(bbox=[1, 1, 2]), ["annotations[3].bbox"]),
        (annotation(bbox=[1, 1, 0, 2]), ["annotations[3] of one.png", "0×2"]),
        (annotation(bbox=[1, 1, 2, -2]), ["annotations[3] of one.png", "2×-2"]),
        (annotation(bbox=[98, 1, 4, 2]), ["annotations[3] of one.png", "98, 1, 102, 3", "100×40"]),
        (annotation(bbox=[-1, 1, 0.5, 2]), ["annotations[3] of one.png", "nothing of the box"]),
        (annotation(bbox=[float("nan"), 1, 4, 2]), ["annotations[3].bbox"]),
        (annotation(category_id=12, bbox=[60, 5, 20, 30]), ["annotations[3] of one.png", "twice"]),
        (
            {"annotations": [{"image_id": 7, "category_id": 11, "bbox": [x, 1, 2, 2]} for x in range(11)]},
            ["2 to correct", "images[0] one.png: 11 digits", "images[1] two.png: 0 digits", "1 to 10"],
        ),
        (
            {"annotations": [{"image_id": 0, "category_id": 11, "bbox": [x, 1, 2, 2]} for x in range(30)]},
            ["32 to correct", "annotations[0]", "annotations[9]", "and 22 more"],
        ),
    ],
)
def test_faults_are_named_by_their_places(changes, named):
    with refuses(DataError, "my.json", *named):
        parse(**changes)


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'"text"', b"null", b"[]"])
def test_what_is_no_document_is_refused(data):
    with refuses(DataError, "my.json"):
        coco.parse(data, "my.json")


def test_a_document_has_a_largest_size(monkeypatch):
    monkeypatch.setattr(coco, "MAX_BYTES", 100)
    with refuses(DataError, "my.json", "at most 100"):
        parse()

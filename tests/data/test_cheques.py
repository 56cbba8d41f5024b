"""The amounts of cheques: exactly the listed pictures, each verified, with published or reviewed labels."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_files import tar
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.core.lines import Picture, PictureSet
from pipeline.data import cheques

REAL = os.environ.get("DATASETS_MIRROR", "")
TOP = "Labeled_ORAND-CAR-A-0123/"
LABELS = {"b.png": "70", "a.png": "123"}


def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 60), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def document(labels):
    annotations = [
        {"image_id": image, "category_id": int(digit) + 5, "bbox": [10 * place + 1, 2, 8, 15], "iscrowd": 0}
        for image, label in enumerate(labels.values())
        # From right to left, as annotators are free to.
        for place, digit in reversed(list(enumerate(label)))
    ]
    return {
        "images": [
            {"id": image, "file_name": name, "width": 60, "height": 20, "license": 1}
            for image, name in enumerate(labels)
        ],
        "annotations": annotations,
        "categories": [{"id": digit + 5, "name": str(digit)} for digit in range(10)],
    }


@pytest.fixture
def content():
    """The files of an archive that holds more than the list does."""
    files = {cheques.PICTURES + name: picture(seed) for seed, name in enumerate(LABELS)}
    files[cheques.PICTURES + "other.png"] = b"of no interest"
    files["a.png"] = b"elsewhere"
    files[cheques.ANNOTATIONS] = json.dumps(document(LABELS | {"other.png": "5"})).encode()
    return files


@pytest.fixture
def listed(content, tmp_path, monkeypatch):
    """The list of the pictures of `content`, and the digest of their boxes."""
    rows = [
        f"{name},{hashlib.sha256(content[cheques.PICTURES + name]).hexdigest()},{label}"
        for name, label in LABELS.items()
    ]
    (tmp_path / "cheques.csv").write_text("\n".join(["file,sha256,label", *rows, ""]))
    monkeypatch.setattr(cheques, "PUBLISHED", tmp_path / "cheques.csv")
    boxes = np.array([[10 * place + 1, 2, 10 * place + 9, 17] for place in (0, 1, 2, 0, 1)], "<f4")
    monkeypatch.setattr(cheques, "BOXES_SHA256", hashlib.sha256(boxes.tobytes()).hexdigest())


def fetch(content, tmp_path, extra=()):
    file = tmp_path / "mirror" / cheques.ARCHIVE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(tar([*((TOP + name, data) for name, data in content.items()), *extra])))
    return cheques.fetch(str(tmp_path / "mirror"), tmp_path / "cache")


@pytest.mark.usefixtures("listed")
def test_the_listed_pictures_are_read_and_all_others_ignored(content, tmp_path):
    link = tarfile.TarInfo(TOP + "link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    pictures = fetch(content, tmp_path, [(link, b""), ("../outside", b"")])
    assert pictures.origin == "cheques"
    assert [(each.name, each.digits.tolist()) for each in pictures] == [("a.png", [1, 2, 3]), ("b.png", [7, 0])]
    assert pictures.pictures[1].boxes.tolist() == [[1, 2, 9, 17], [11, 2, 19, 17]]
    assert np.array_equal(pictures.pictures[0].pixels, np.random.default_rng(1).integers(0, 256, (20, 60), np.uint8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cheques.csv", "mirror"]


def edited(change):
    def edit(content):
        text = json.loads(content[cheques.ANNOTATIONS])
        change(text)
        content[cheques.ANNOTATIONS] = json.dumps(text).encode()

    return edit


def replaced(name, data):
    return lambda content: content.update({cheques.PICTURES + name: data})


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda content: content.pop(cheques.PICTURES + "b.png"), ["b.png is missing", "get the file again"]),
        (replaced("b.png", picture(9)), ["b.png", "another SHA-256", "cheques.csv"]),
        (lambda content: content.update(dict.fromkeys(content, b"")), ["a.png", "and 1 more"]),
        (lambda content: content.pop(cheques.ANNOTATIONS), ["instances_train2017.json is missing"]),
        (edited(lambda text: text["annotations"].pop(0)), ["b.png", "label 7 found", "expected 70"]),
        (edited(lambda text: text["annotations"][0].update(category_id=9)), ["b.png", "label 74", "expected 70"]),
        (edited(lambda text: text["annotations"][0].update(bbox=[11, 2, 9, 15])), ["SHA-256", "another data set"]),
        (edited(lambda text: text["annotations"][0].update(bbox=[55, 2, 8, 15])), ["annotations[0] of b.png", "60×20"]),
        (edited(lambda text: text["images"][0].update(width=61)), ["b.png", "60×20", "61×20"]),
        (replaced("a.png", bytes(17 << 20)), ["a.png", "17,825,792", "16,777,216"]),
    ],
    ids=[
        *("missing", "different", "more-than-one", "no-labels", "a-digit-less", "another-label", "another-box"),
        *("a-box-outside", "another-size", "too-large"),
    ],
)
def test_what_is_not_as_listed_is_refused_by_name(content, tmp_path, change, named):
    change(content)
    with refuses(DataError, "mirror/cheques/cheques.tar.gz", *named):
        fetch(content, tmp_path)


@pytest.mark.usefixtures("listed")
def test_a_picture_that_is_a_link_or_there_twice_is_refused(content, tmp_path):
    twice = (TOP + cheques.PICTURES + "a.png", b"again")
    with refuses(DataError, "a.png", "duplicate"):
        fetch(content, tmp_path, [twice])
    link = tarfile.TarInfo(TOP + cheques.PICTURES + "a.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    del content[cheques.PICTURES + "a.png"]
    with refuses(DataError, "a.png", "a link"):
        fetch(content, tmp_path, [(link, b"")])


SET = PictureSet(
    tuple(
        Picture(name, np.zeros((4, 4), np.uint8), np.array([int(digit) for digit in label], np.uint8), boxes)
        for name, label, boxes in [
            ("a.png", "123", np.zeros((3, 4), np.float32)),
            ("b.png", "70", np.ones((2, 4), np.float32)),
            ("c.png", "5", None),
        ]
    ),
    "cheques",
)


@pytest.fixture
def corrections(tmp_path, monkeypatch):
    """Writes the list of corrections."""
    (tmp_path / "cheques.csv").write_text(
        "file,sha256,label\n"
        + "".join(f"{name},{'0' * 64},{label}\n" for name, label in [("a.png", 123), ("b.png", 70)])
    )
    monkeypatch.setattr(cheques, "PUBLISHED", tmp_path / "cheques.csv")
    monkeypatch.setattr(cheques, "REVIEWED", tmp_path / "cheques_reviewed.csv")
    return lambda rows: cheques.REVIEWED.write_text("file,published,reviewed,reason\n" + rows)


def test_reviewed_labels_replace_the_published_ones(corrections):
    corrections('a.png,123,129,"3 is 9, with a loop"\nb.png,70,705,a digit more\n')
    first, second, third = cheques.reviewed(SET)
    assert (first.digits.tolist(), first.boxes is SET.pictures[0].boxes) == ([1, 2, 9], True)
    assert (second.digits.tolist(), second.digits.dtype, second.boxes) == ([7, 0, 5], np.uint8, None)
    assert third is SET.pictures[2]
    assert cheques.reviewed(SET.take([2])).pictures == (third,)


def test_pictures_of_another_origin_keep_their_labels(corrections):
    corrections("a.png,123,129,3 is 9\n")
    other = PictureSet(SET.pictures, "embedded")
    assert cheques.reviewed(other) is other


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ("z.png,1,2,no\n", ["cheques_reviewed.csv:2", "'z.png'", "cheques.csv"]),
        ("a.png,123,129,3 is 9\na.png,123,128,3 is 8\n", ["cheques_reviewed.csv:3", "duplicate", "a.png"]),
        ("a.png,124,129,3 is 9\n", ["cheques_reviewed.csv:2", "'124'", "'123'"]),
        ("a.png,123,123,the same\n", ["cheques_reviewed.csv:2", "'123'", "1 to 10 digits"]),
        ("a.png,123,12a,no digit\n", ["cheques_reviewed.csv:2", "'12a'"]),
        ("a.png,123,,nothing\n", ["cheques_reviewed.csv:2", "''"]),
        ("a.png,123,129, \n", ["cheques_reviewed.csv:2", "reason"]),
        ("a.png,123,129\n", ["cheques_reviewed.csv:2", "3 values", "4"]),
        ('a.png,123,"129,x\n', ["cheques_reviewed.csv", "git"]),
    ],
)
def test_a_wrong_correction_is_refused_with_its_line(corrections, rows, named):
    corrections(rows)
    with refuses(DataError, *named):
        cheques.reviewed(SET)


def test_a_label_that_is_not_as_published_is_refused(corrections):
    corrections("a.png,123,129,3 is 9\n")
    other = Picture("a.png", np.zeros((4, 4), np.uint8), np.array([1, 2], np.uint8), None)
    with refuses(DataError, "a.png", "12 found", "expected 123"):
        cheques.reviewed(PictureSet((other,), "cheques"))


def test_the_lists_that_are_committed_agree():
    listed = cheques.published()
    assert (len(listed), list(listed) == sorted(listed)) == (808, True)
    pictures = [
        Picture(name, np.zeros((1, 1), np.uint8), np.array([int(digit) for digit in each.label], np.uint8), None)
        for name, each in listed.items()
    ]
    corrected = cheques.reviewed(PictureSet(tuple(pictures), "cheques"))
    changed = sum(old.digits.tolist() != new.digits.tolist() for old, new in zip(pictures, corrected, strict=True))
    assert changed == len(cheques.REVIEWED.read_text().splitlines()) - 1 > 0


@pytest.mark.skipif(not REAL and os.environ.get("CI") != "true", reason="DATASETS_MIRROR is not set")
def test_the_real_data_from_the_mirror(tmp_path):
    assert REAL, "CI needs DATASETS_MIRROR, a folder or a URL that holds the real data"
    pictures = cheques.fetch(str(Path(REAL)) if "://" not in REAL else REAL, tmp_path / "cache")
    assert len(pictures) == 808
    for picture in pictures:
        centres = picture.boxes[:, [0, 2]].mean(axis=1)
        assert (np.diff(centres) >= 0).all()
        height, width = picture.pixels.shape
        assert (picture.boxes >= 0).all()
        assert (picture.boxes <= [width, height, width, height]).all()
    assert sum(len(picture.digits) for picture in pictures) == 3660

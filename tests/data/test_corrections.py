"""Corrected pictures in a suite: three of four are trained on, the others are for the gate, none is one of the source."""

import csv
import hashlib

import cv2
import numpy as np
import pytest
from barred_lines import write

from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT_NAMES, ImageSet
from pipeline.core.lines import Picture
from pipeline.data import corrections
from pipeline.data import splits as splitting


def encoded(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def digit(value, size=60):
    """A digit as a person draws it: dark on white, of any size."""
    pixels = np.full((size, size), 255, np.uint8)
    cv2.putText(pixels, str(value), (size // 4, size * 3 // 4), cv2.FONT_HERSHEY_SIMPLEX, size / 35, 0, 3)
    return pixels


def scrawl(seed):
    """Strokes that no other seed draws."""
    pixels = np.full((60, 60), 255, np.uint8)
    points = np.random.default_rng(seed).integers(10, 50, (5, 1, 2), np.int32)
    return cv2.polylines(pixels, [points], isClosed=False, color=0, thickness=4)


def labelled(folder, pictures):
    """A folder as `make label` writes it."""
    (folder / "pictures").mkdir(parents=True)
    rows = []
    for content, label in pictures:
        name = f"pictures/{hashlib.sha256(content).hexdigest()}.png"
        (folder / name).write_bytes(content)
        rows.append([name, label, "1", "corrected", "editor"])
    with (folder / corrections.LABELS).open("w", newline="") as file:
        csv.writer(file).writerows([corrections.COLUMNS, *rows])
    return folder


def a_set(images, first=0):
    images = np.asarray(images, np.uint8).reshape(-1, 28, 28, 1)
    ids = np.arange(first, first + len(images), dtype=np.int32)[:, None]
    return ImageSet(images, np.zeros((len(images), 1), np.uint8), DIGIT_NAMES, "mnist", sources=ids)


@pytest.fixture
def splits():
    rng = np.random.default_rng(1)
    return {
        split: a_set(rng.integers(0, 255, (4, 28, 28)), 10 * at)
        for at, split in enumerate(("train", "valid", "gate", "test"))
    }


def test_pictures_go_to_train_and_gate_by_their_digest_and_keep_their_place(splits, tmp_path):
    pictures = [(encoded(scrawl(seed)), "7") for seed in range(30)]
    folder = labelled(tmp_path / "mnist", pictures)
    made = corrections.with_singles(splits, [folder], copies=3, seed=5)
    gate = sum(each.for_gate for each in corrections.read(folder))
    assert 3 <= gate <= 14
    assert len(made["gate"]) == 4 + gate
    assert len(made["train"]) == 4 + 3 * (30 - gate)
    assert made["valid"] is splits["valid"]
    assert made["test"] is splits["test"]
    new = made["train"].take(slice(4, None))
    assert set(new.labels[:, 0]) == {7}
    assert (new.sources >= splitting.CORRECTED).all()
    # A picture and its copies have one id, and no two are alike.
    assert len(np.unique(new.sources)) == 30 - gate
    assert len(np.unique(new.images.reshape(len(new), -1), axis=0)) == len(new)
    assert not set(new.sources[:, 0]) & set(made["gate"].sources[:, 0])
    again = corrections.with_singles(splits, [folder], copies=3, seed=5)
    assert np.array_equal(again["train"].images, made["train"].images)


def test_a_picture_of_the_source_is_left_out(splits, tmp_path, capsys):
    folder = labelled(tmp_path / "mnist", [(encoded(splits["test"].images[0, ..., 0]), "7")])
    made = corrections.with_singles(splits, [folder], copies=3, seed=5)
    assert {split: len(each) for split, each in made.items()} == dict.fromkeys(splits, 4)
    assert "left out: 1 that the source has already" in capsys.readouterr().err


def test_strips_are_cut_into_their_digits(splits, tmp_path, capsys):
    separate = np.hstack([digit(value) for value in (3, 0, 8)])
    touching = np.hstack([digit(1)[:, 18:40], digit(1)[:, 18:40]])
    touching[30:33] = 0
    folder = labelled(tmp_path / "strips", [(encoded(separate), "308"), (encoded(touching), "11")])
    made = corrections.with_singles(splits, [folder], copies=1, seed=5)
    new = [each.take(slice(4, None)) for each in made.values()]
    assert [sorted(each.labels[:, 0].tolist()) for each in new if len(each)] == [[0, 3, 8]]
    assert "1 whose digits could not be told apart" in capsys.readouterr().err


def test_boxes_are_those_of_the_ink(tmp_path):
    pixels = np.full((40, 90), 255, np.uint8)
    for left in (5, 40, 70):
        pixels[10:30, left : left + 8] = 0
    assert corrections.boxes_of(pixels, 3).tolist() == [[5, 10, 13, 30], [40, 10, 48, 30], [70, 10, 78, 30]]
    assert np.array_equal(corrections.boxes_of(255 - pixels, 3), corrections.boxes_of(pixels, 3))
    assert corrections.boxes_of(pixels, 4) is None


def test_lines_without_boxes_are_for_the_gate_alone_where_the_source_has_boxes(tmp_path, capsys):
    texts = [f"{100 + index}" for index in range(24)]
    folder = labelled(tmp_path / "lines", [(encoded(write(text)), text) for text in texts])
    known = Picture("known", write("777"), np.array([7, 7, 7], np.uint8), np.zeros((3, 4), np.float32))
    boxed = corrections.with_lines([known], folder, boxed=True)
    assert all(picture.boxes.shape == (3, 4) for picture in boxed["train"])
    free = corrections.with_lines([known], folder, boxed=False)
    assert len(free["train"]) + len(free["gate"]) == 24
    assert all(picture.boxes is None for picture in free["train"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "labels.csv").unlink(), "dvc checkout"),
        (lambda folder: next(folder.glob("pictures/*")).unlink(), "no such file, expected the picture of labels.csv:2"),
        (lambda folder: next(folder.glob("pictures/*")).write_bytes(b"no picture"), "not a"),
        (lambda folder: (folder / "labels.csv").write_text("file,label\n../x.png,7\n"), "expected file, label, reading"),
        (
            lambda folder: (folder / "labels.csv").write_text(
                (folder / "labels.csv").read_text().replace(",7,", ",seven,")
            ),
            "label 'seven' found",
        ),
    ],
)
def test_a_damaged_folder_is_refused_by_name(splits, tmp_path, spoil, said):
    folder = labelled(tmp_path / "mnist", [(encoded(digit(7)), "7")])
    spoil(folder)
    with pytest.raises(DataError, match=said):
        corrections.with_singles(splits, [folder], copies=1, seed=1)


def test_without_a_folder_there_is_nothing_to_correct(splits, tmp_path):
    assert corrections.with_singles(splits, [tmp_path / "mnist"], copies=1, seed=1) == splits

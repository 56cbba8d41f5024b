"""Pictures that a list leaves out: of train and valid alone, with the label that was published, or an error."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.config.sections import LabelledSuite, SplitSuite
from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT_NAMES, SPLITS, ImageSet
from pipeline.core.lines import Picture, PictureSet
from pipeline.data import exclusions, suites

SIZES = {"train": 50, "valid": 10, "gate": 10, "test": 10}


def pictures(n, seed, origin="mnist"):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 28, 28, 1), dtype=np.uint8)
    return ImageSet(images, rng.integers(0, 10, (n, 1), dtype=np.uint8), DIGIT_NAMES, origin)


def write(path, rows, header="sha256,label,reason"):
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "raw"
    pictures(70, 1).save(folder / "pool.npz")
    pictures(10, 2).save(folder / "test.npz")
    return folder


def composed(source, path=""):
    entry = {"task": "mnist", "from": "raw/mnist", **SIZES, "leave_out": str(path)}
    return suites.compose("mnist", SplitSuite.model_validate(entry), source, 7)


def row_of(images, index):
    return exclusions.pixel_digest(images.images[index]), DIGIT_NAMES[images.labels[index, 0]], "blurred"


def test_train_and_valid_leave_pictures_out_and_gate_and_test_keep_theirs(source, tmp_path, capsys):
    whole = composed(source)
    chosen = {"train": (4, 17), "valid": (3,), "gate": (2,), "test": (5,)}
    listed = [row_of(whole[split], index) for split, indices in chosen.items() for index in indices]
    rest = composed(source, write(tmp_path / "list.csv", listed))
    assert {split: len(rest[split]) for split in SPLITS} == {"train": 48, "valid": 9, "gate": 10, "test": 10}
    assert np.array_equal(rest["train"].images, np.delete(whole["train"].images, [4, 17], axis=0))
    assert np.array_equal(rest["train"].sources, np.delete(whole["train"].sources, [4, 17], axis=0))
    assert np.array_equal(rest["test"].images, whole["test"].images)
    assert "left out 2 of train, 1 of valid; 2 of gate and test stay" in capsys.readouterr().err


def test_an_empty_list_changes_nothing(source, tmp_path):
    rest, whole = composed(source, write(tmp_path / "list.csv", [])), composed(source)
    assert all(np.array_equal(rest[split].images, whole[split].images) for split in SPLITS)


def test_another_label_than_the_published_one_is_an_error(source, tmp_path):
    digest, label, reason = row_of(composed(source)["train"], 0)
    other = DIGIT_NAMES[(int(label) + 1) % 10]
    with pytest.raises(DataError, match=f"label '{other}' found, expected '{label}' as published"):
        composed(source, write(tmp_path / "list.csv", [(digest, other, reason)]))


def test_a_picture_that_is_not_there_is_an_error_but_for_the_stand_in(source, tmp_path):
    path = write(tmp_path / "list.csv", [("0" * 64, "3", "blurred")])
    with pytest.raises(DataError, match=r"list\.csv: 000000000000… .*no pictures of this source"):
        composed(source, path)
    pictures(70, 1, "embedded").save(source / "pool.npz")
    pictures(10, 2, "embedded").save(source / "test.npz")
    assert len(composed(source, path)["train"]) == 50


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([], "sha256,label", "expected the columns sha256, label, reason"),
        ([("12", "3", "blurred")], "sha256,label,reason", "list.csv:2: expected 64 hexadecimal digits"),
        ([("0" * 64, "3", " ")], "sha256,label,reason", "and a reason"),
        ([("0" * 64, "3", "a"), ("0" * 64, "3", "b")], "sha256,label,reason", "list.csv:3: duplicate picture"),
    ],
)
def test_a_damaged_list_is_an_error_that_names_the_line(tmp_path, rows, header, message):
    with pytest.raises(DataError, match=message):
        exclusions.read(write(tmp_path / "list.csv", rows, header))
    with pytest.raises(DataError, match="no such file"):
        exclusions.read(Path("none.csv"))


def test_lines_leave_out_by_the_digest_of_their_picture(tmp_path):
    rng = np.random.default_rng(3)
    made = []
    for number in range(60):
        pixels = np.full((40, 60), 255, np.uint8)
        pixels[8:32, 10:14] = pixels[8:32, 40:44] = rng.integers(0, 60)
        pixels[0, number] = 200
        made.append(Picture(f"{number}.png", pixels, np.array([1, 1], np.uint8)))
    PictureSet(tuple(made), "folder:mine").save(tmp_path / "raw/pictures.npz")
    entry = {"task": "lines", "from": "raw/mine", "labels": "published", "recomposed": 0}
    whole = suites.compose("mine", LabelledSuite.model_validate(entry), tmp_path / "raw", 7)
    listed = [(exclusions.pixel_digest(each.pixels), "11", "smudged") for each in made]
    path = write(tmp_path / "list.csv", listed[:30])
    rest = suites.compose("mine", LabelledSuite.model_validate(entry | {"leave_out": str(path)}), tmp_path / "raw", 7)
    assert len(rest["train"]) + len(rest["valid"]) < len(whole["train"]) + len(whole["valid"])
    assert [len(rest[split]) for split in ("gate", "test")] == [len(whole[split]) for split in ("gate", "test")]
    kept = {exclusions.pixel_digest(made[int(row)].pixels) for row in rest["train"].sources[:, 0]}
    assert not kept & {digest for digest, *_ in listed[:30]}

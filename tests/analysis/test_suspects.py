"""Labels that were changed are among the suspects, out of fold, and what a page needs to leave them out is right."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.analysis import suspects
from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT_NAMES, ImageSet
from pipeline.core.lines import Picture, PictureSet
from pipeline.data.exclusions import pixel_digest
from stages import suspects as stage

ROOT = Path(__file__).parents[2]


def drawn(label, rng, side=28):
    """A bar whose place and direction say the class, with noise."""
    picture = rng.integers(0, 40, (side, side, 1), dtype=np.uint8)
    at = 4 + 4 * (label % 5)
    if label < 5:
        picture[at : at + 3, 4:24] = 255
    else:
        picture[4:24, at : at + 3] = 255
    return picture


def singles(n, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.uint8)[:, None] % 10
    return ImageSet(np.stack([drawn(int(label), rng) for label in labels[:, 0]]), labels, DIGIT_NAMES, "mnist")


@pytest.fixture
def raw(tmp_path):
    """Two raw sets in which five labels were changed, and where: set and index."""
    pool, test = singles(160, 1), singles(40, 2)
    changed = [("pool", 3), ("pool", 77), ("pool", 140), ("test", 9), ("test", 30)]
    for name, index in changed:
        labels = {"pool": pool, "test": test}[name].labels
        labels[index, 0] = (labels[index, 0] + 3) % 10
    pool.save(tmp_path / "raw/mnist/pool.npz")
    test.save(tmp_path / "raw/mnist/test.npz")
    return tmp_path / "raw/mnist", changed


def test_changed_labels_are_the_suspects(raw):
    folder, changed = raw
    labelled = suspects.load("mnist", folder)
    found = suspects.find(labelled, folds=4, seed=7)
    named = [(str(labelled.part[each.row]), int(labelled.index[each.row])) for each in found]
    assert set(changed) <= set(named)
    assert len(named) <= len(changed) + 3
    assert [each.quality for each in found] == sorted(each.quality for each in found)
    right = {(name, index): str(index % 10) for name, index in changed}
    assert all(each.predicted == right[where] for each, where in zip(found, named, strict=True) if where in right)


def test_a_picture_is_predicted_by_a_model_that_did_not_see_it():
    """Features that tell each picture apart from all others, and nothing of its class, predict nothing out of fold."""
    targets = np.arange(60) % 2
    probabilities = suspects.out_of_fold(np.eye(60, dtype=np.float32), targets, folds=5, seed=1)
    assert np.allclose(probabilities, 0.5, atol=0.05)
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_digits_of_lines_are_cut_out_with_the_split_of_their_picture():
    rng = np.random.default_rng(4)
    made = []
    for number in range(40):
        digits = rng.integers(0, 10, 3).astype(np.uint8)
        pixels = 255 - np.concatenate([drawn(int(digit), rng)[..., 0] for digit in digits], axis=1)
        boxes = np.array([[28 * slot, 0, 28 * slot + 28, 28] for slot in range(3)], np.float32)
        made.append(Picture(f"{number}.png", pixels, digits, None if number == 0 else boxes))
    labelled = suspects._digits(PictureSet(tuple(made), "folder:mine"), Path("data/raw/mine"))
    assert labelled.images.shape == (39 * 3, 28, 28, 1)
    assert (labelled.index[0], labelled.place[:3].tolist()) == (1, [1, 2, 3])
    assert labelled.labels[:3].tolist() == made[1].digits.tolist()
    assert set(labelled.part.tolist()) <= {"train", "valid", "gate", "test"}
    assert labelled.sha256[0] == pixel_digest(made[1].pixels)
    # Dark ink on light paper becomes light on dark.
    assert labelled.images.mean() < 128
    without = PictureSet(tuple(Picture(each.name, each.pixels, each.digits) for each in made), "folder:mine")
    with pytest.raises(DataError, match="no picture with boxes"):
        suspects._digits(without, Path("data/raw/mine"))


def test_a_class_that_is_too_small_is_an_error_that_names_it():
    few = singles(12, 3)
    labelled = suspects._singles({"pool": few})
    with pytest.raises(DataError, match=r"class \d has 1 pictures; expected .* 2 pictures"):
        suspects.find(labelled, folds=2, seed=1)


def test_the_page_has_what_a_list_needs_and_is_the_same_twice(raw, tmp_path, monkeypatch):
    folder, changed = raw
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    document = params.read(ROOT / "params.yaml") | {"suspects": {"mnist": {"from": "raw/mnist", "folds": 4}}}
    Path("params.yaml").write_text(json.dumps(document))
    stage.main(source="mnist", data=folder, out=Path("a"))
    stage.main(source="mnist", data=folder, out=Path("b"))
    for name in ("index.html", "suspects.csv"):
        assert (Path("a") / name).read_bytes() == (Path("b") / name).read_bytes()
    with Path("a/suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pool = ImageSet.load(folder / "pool.npz")
    row = next(row for row in rows if (row["part"], row["index"]) == ("pool", str(changed[0][1])))
    assert row["sha256"] == pixel_digest(pool.images[changed[0][1]])
    assert row["label"] == row["given"] == str(pool.labels[changed[0][1], 0])
    page = Path("a/index.html").read_text()
    assert row["sha256"] in page
    assert "http" not in page

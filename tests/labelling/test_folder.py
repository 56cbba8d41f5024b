"""The folder of corrections: it is what `compose` reads, one process writes it, and a picture can be forgotten."""

import label_project
import numpy as np
import pytest
from label_project import png

from pipeline.core.errors import ConfigurationError
from pipeline.data import corrections as composed
from pipeline.labelling.folder import Corrections

ROW = {"label": "7", "reading": "1\n2", "reason": "declined", "by": "ada"}


@pytest.fixture
def folder(tmp_path):
    return Corrections(tmp_path / "corrections", tmp_path / "reviews")


@pytest.fixture
def pictures(tmp_path):
    """Files of pictures, named as in quarantine, by digest."""
    found = {}
    for value in range(3):
        content = png(np.full((28, 28), value, np.uint8))
        found[label_project.digest(content)] = path = tmp_path / f"{label_project.digest(content)}.png"
        path.write_bytes(content)
    return found


def test_compose_reads_what_was_labelled(folder, pictures):
    for digest, path in pictures.items():
        folder.label("mnist", digest, path, ROW)
    read = composed.read(folder.folder / "mnist")
    assert [(each.name, each.content, each.label) for each in read] == [
        (digest, pictures[digest].read_bytes(), "7") for digest in sorted(pictures)
    ]
    assert folder.pictures() == {("mnist", digest) for digest in pictures}


def test_a_label_that_cannot_be_written_leaves_no_picture(folder, pictures):
    digest, path = next(iter(pictures.items()))
    # A folder cannot be replaced by a file: so it is for root, too.
    (folder.folder / "mnist/labels.csv").mkdir(parents=True)
    with pytest.raises(OSError, match=r"labels\.csv"):
        folder.label("mnist", digest, path, ROW)
    assert not list(folder.folder.rglob("*.png"))


def test_two_wrong_digits_of_one_picture_are_one_review(folder):
    undo = [folder.exclude("cheques", "ab" * 32, "12", f"digit {place} labelled 9 by hand") for place in (1, 2)]
    row = folder.excluded_table("cheques").get(("ab" * 32,))
    assert row["reason"] == "digit 1 labelled 9 by hand; digit 2 labelled 9 by hand"
    undo[1]()
    assert folder.excluded_table("cheques").get(("ab" * 32,))["reason"] == "digit 1 labelled 9 by hand"


def test_a_picture_that_was_there_before_stays_when_its_label_is_taken_back(folder, pictures):
    digest, path = next(iter(pictures.items()))
    folder.label("mnist", digest, path, ROW)
    folder.label("mnist", digest, path, ROW | {"label": "3"})()
    assert [each.label for each in composed.read(folder.folder / "mnist")] == ["7"]


def test_a_forgotten_picture_leaves_no_trace(folder, pictures):
    first, second, third = pictures
    for task in ("mnist", "lines"):
        folder.label(task, first, pictures[first], ROW)
    folder.label("mnist", second, pictures[second], ROW)
    folder.judge("picture", "cifar10", first, 0, "unusable", "ada")
    assert folder.forget(first) == (5, ["lines", "mnist"])
    for path in folder.folder.rglob("*"):
        assert first not in path.name
        assert path.is_dir() or first.encode() not in path.read_bytes()
    assert folder.pictures() == {("mnist", second)}
    assert folder.forget(third) == (0, [])


def test_one_process_at_a_time_labels(folder):
    with folder.locked(), pytest.raises(ConfigurationError, match="make label"), folder.locked():
        pass
    with folder.locked():
        assert list(folder.folder.iterdir()) == []

"""Answers are written at once, can be taken back, and nothing is kept of one that is not possible."""

import csv
import errno

import label_project
import numpy as np
import pytest
from label_project import png

from pipeline.labelling import queue
from pipeline.labelling.folder import Corrections
from pipeline.labelling.session import AnswerError, Session


@pytest.fixture
def clone(tmp_path, monkeypatch):
    root = label_project.make(tmp_path / "clone")
    monkeypatch.chdir(root)
    return root


def session(root, user="grace"):
    found = queue.collect(root / "log", label_project.settings(), Corrections())
    return Session(found.items, Corrections(), user)


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def files(root):
    """Everything that answers change."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in ("corrections", "reviews")
        for path in (root / folder).rglob("*")
        if path.is_file()
    }


def test_an_answer_keeps_the_picture_and_its_row(clone):
    content = png(np.full((40, 30), 200, np.uint8))
    digest = label_project.correct(clone / "log", content, "7", reading="1")
    one = session(clone)
    assert one.state()["item"] | {"proposal": "7", "reading": "1", "by": "ada", "size": (40, 30)} == one.state()["item"]
    assert one.answer(0, "label", "7")["item"] is None
    assert (clone / f"corrections/mnist/pictures/{digest}.png").read_bytes() == content
    row = {"file": f"pictures/{digest}.png", "label": "7", "reading": "1", "reason": "corrected", "by": "ada"}
    assert table(clone / "corrections/mnist/labels.csv") == [row]
    one.undo()
    one.answer(0, "label", "2")
    # Someone else than who corrected it says so.
    assert table(clone / "corrections/mnist/labels.csv") == [row | {"label": "2", "by": "grace"}]


def test_suspects_become_reviews_or_are_remembered_as_right(clone):
    wrong, right, unusable = label_project.suspect(clone, [(1, "9"), (2, "9"), (3, "9")])
    given = [str(label) for label in label_project.digits().labels[1:4, 0]]
    one = session(clone)
    one.answer(0, "label", "9")
    one.answer(1, "label", given[1])
    assert one.answer(2, "unusable")["saved"] == 3
    assert table(clone / "reviews/mnist.csv") == [
        {"sha256": wrong, "label": given[0], "reason": "labelled 9 by hand"},
        {"sha256": unusable, "label": given[2], "reason": "unusable by hand"},
    ]
    verdicts = {
        row["digest"]: (row["of"], row["verdict"], row["by"]) for row in table(clone / "corrections/reviewed.csv")
    }
    assert verdicts == {
        wrong: ("mnist", "wrong", "grace"),
        right: ("mnist", "right", "grace"),
        unusable: ("mnist", "unusable", "grace"),
    }
    assert session(clone).state()["item"] is None


@pytest.mark.parametrize("kind", ["label", "no digits", "unusable", "skip"])
@pytest.mark.parametrize("reason", ["declined", "suspect"])
def test_every_answer_can_be_taken_back(clone, kind, reason):
    if reason == "declined":
        label_project.decline(clone / "log", png(np.full((28, 28), 9, np.uint8)), "1")
    else:
        label_project.suspect(clone, [(1, "9")])
    before = files(clone)
    one = session(clone)
    one.answer(0, kind, "9" if kind == "label" else "")
    assert (files(clone) == before) == (kind == "skip")
    assert one.undo()["item"]["number"] == 0
    left = {name: content for name, content in files(clone).items() if content.count(b"\n") != 1}
    assert left == {name: content for name, content in before.items() if content.count(b"\n") != 1}
    with pytest.raises(AnswerError):
        one.undo()


@pytest.mark.parametrize(
    ("task", "label"),
    [("mnist", ""), ("mnist", "12"), ("mnist", "x"), ("strips", "123456"), ("lines", "1" * 11), ("cifar10", "fish")],
)
def test_an_impossible_label_is_not_kept(clone, task, label):
    label_project.decline(clone / "log", png(np.full((28, 28), 9, np.uint8)), "1", task=task)
    one, before = session(clone), files(clone)
    with pytest.raises(AnswerError, match=r"found|class|digit"):
        one.answer(0, "label", label)
    assert files(clone) == before
    assert one.state()["saved"] == 0


@pytest.mark.parametrize("kind", ["no digits", "unusable"])
def test_a_picture_that_is_no_example_is_not_kept_and_not_asked_again(clone, kind):
    digest = label_project.decline(clone / "log", png(np.full((28, 28), 9, np.uint8)), "1")
    session(clone).answer(0, kind)
    row = {"kind": "picture", "of": "mnist", "digest": digest, "place": "0", "verdict": kind, "by": "grace"}
    assert table(clone / "corrections/reviewed.csv") == [row]
    assert not (clone / "corrections/mnist").exists()
    assert session(clone).state()["item"] is None


def test_an_answer_to_another_picture_than_the_one_that_is_asked_is_refused(clone):
    for value in range(2):
        label_project.decline(clone / "log", png(np.full((28, 28), value, np.uint8)), "1")
    one = session(clone)
    one.answer(0, "skip")
    for number in (0, 2, -1):
        with pytest.raises(AnswerError):
            one.answer(number, "label", "1")


def test_a_damaged_picture_can_be_left_out_and_not_labelled(clone):
    digest = label_project.decline(clone / "log", png(label_project.digits().images[0])[:150], "1")
    one = session(clone)
    assert f"{digest}.png" in one.state()["item"]["problem"]
    with pytest.raises(AnswerError, match="cannot be shown"):
        one.answer(0, "label", "1")
    one.answer(0, "unusable")
    assert session(clone).state()["item"] is None


def test_a_picture_that_cannot_be_opened_is_shown_as_one(clone, monkeypatch):
    digest = label_project.decline(clone / "log", png(label_project.digits().images[0]), "1")

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("pipeline.labelling.session.read_file", refuse)
    one = session(clone)
    assert one.state()["item"]["problem"].endswith(f"{digest}.png: Permission denied")
    one.answer(0, "skip")
    assert one.state()["item"] is None


def test_a_suspect_whose_picture_is_another_one_now_says_what_to_do(clone):
    label_project.suspect(clone, [(1, "9")])
    pictures = label_project.digits().take(slice(5, 20))
    pictures.save(clone / "data/raw/mnist/pool.npz")
    assert "dvc repro suspects@mnist" in session(clone).state()["item"]["problem"]


def test_an_answer_that_cannot_be_written_is_asked_still(clone, monkeypatch):
    label_project.suspect(clone, [(1, "9")])
    one, before = session(clone), files(clone)
    # A folder cannot be replaced by a file: so it is for root, too.
    (clone / "corrections/reviewed.csv").mkdir(parents=True)
    with pytest.raises(OSError, match=r"reviewed\.csv"):
        one.answer(0, "label", "9")
    assert files(clone) == before
    assert one.state()["item"]["number"] == 0

"""What is asked, in which order, and what is not asked again."""

import label_project
import numpy as np
import pytest
from label_project import png

from pipeline.core.errors import DataError
from pipeline.labelling import queue
from pipeline.labelling.folder import Corrections


@pytest.fixture
def clone(tmp_path, monkeypatch):
    root = label_project.make(tmp_path / "clone")
    monkeypatch.chdir(root)
    return root


def pictures(count):
    return [png(np.full((28, 28), value, np.uint8)) for value in range(count)]


def collect(root, task="", known=None):
    return queue.collect(root / "log", label_project.settings(), known or Corrections(), task)


def test_corrections_come_first_then_declined_pictures_then_suspects(clone):
    log, (first, second, old, new, both) = clone / "log", pictures(5)
    label_project.correct(log, second, "7", time=2e9)
    label_project.correct(log, first, "", task="lines", reading="12", time=1e9)
    label_project.decline(log, old, "3", time=1e9)
    label_project.decline(log, new, "cat", task="cifar10", time=2e9)
    # A picture that was declined and then corrected is asked once.
    label_project.decline(log, both, "4", time=3e9)
    label_project.correct(log, both, "9", reading="4", time=3e9)
    label_project.suspect(clone, [(3, "7"), (5, "1")])
    found = collect(clone)
    said = [(item.reason, item.task, item.reading, item.proposal) for item in found.items]
    given = label_project.digits().labels[:, 0]
    assert said == [
        ("corrected", "lines", "12", ""),
        ("corrected", "mnist", "1", "7"),
        ("corrected", "mnist", "4", "9"),
        ("declined", "cifar10", "cat", "cat"),
        ("declined", "mnist", "3", "3"),
        ("suspect", "mnist", "7", str(given[3])),
        ("suspect", "mnist", "1", str(given[5])),
    ]
    # The confidence is that of the reading that was corrected.
    assert [item.confidence for item in found.items] == [None, None, 0.61, 0.61, 0.61, 0.98, 0.98]
    assert found.left_out == []
    assert [item.task for item in collect(clone, "lines").items] == ["lines"]


def test_what_needs_no_label_is_not_asked(clone):
    log, (right, accepted, scene, without, unknown) = clone / "log", pictures(5)
    label_project.correct(log, right, "1", reading="1")
    label_project.decline(log, accepted, "3", time=1e9)
    # Another model accepted it later.
    label_project.decline(log, accepted, "3", time=2e9, accepted=True)
    label_project.decline(log, scene, "3", task="scenes")
    label_project.correct(log, without, "7", kept=False)
    (log / f"quarantine/{label_project.digest(unknown)}.png").write_bytes(unknown)
    found = collect(clone)
    assert found.items == []
    assert [sentence.split()[0] for sentence in found.left_out] == ["1", "1"]


def test_what_was_looked_at_is_not_asked_again(clone, tmp_path):
    log, (first, second, third) = clone / "log", pictures(3)
    known = Corrections()
    digests = [label_project.decline(log, each, "1", time=1e9 + at) for at, each in enumerate((first, second, third))]
    suspects = label_project.suspect(clone, [(1, "9"), (2, "9"), (4, "9")])
    assert len(collect(clone).items) == 6
    row = {"label": "3", "reading": "1", "reason": "declined", "by": "ada"}
    known.label("mnist", digests[0], log / f"quarantine/{digests[0]}.png", row)
    known.judge("picture", "mnist", digests[1], 0, "unusable", "ada")
    known.judge("suspect", "mnist", suspects[0], 0, "right", "ada")
    known.exclude("mnist", suspects[1], "5", "labelled 9 by hand")
    assert [item.digest for item in collect(clone).items] == [digests[2], suspects[2]]


def test_many_suspects_are_asked_in_several_sittings(clone, monkeypatch):
    monkeypatch.setattr(queue, "MOST", 2)
    digests = label_project.suspect(clone, [(1, "9"), (2, "9"), (4, "9")])
    found = collect(clone)
    assert [item.digest for item in found.items] == digests[:2]
    assert "2 worst of 3" in found.left_out[0]


@pytest.mark.parametrize("damage", [b"no table", b"rank\n1\n"])
def test_a_damaged_table_of_suspects_is_named(clone, damage):
    label_project.suspect(clone, [(1, "9")])
    path = clone / "reports/suspects/mnist/suspects.csv"
    path.write_bytes(damage)
    with pytest.raises(DataError, match=r"suspects\.csv"):
        collect(clone)


def test_a_value_that_is_no_number_is_named(clone):
    label_project.suspect(clone, [(1, "9")])
    path = clone / "reports/suspects/mnist/suspects.csv"
    path.write_text(path.read_text().replace(",pool,1,", ",pool,one,"))
    with pytest.raises(DataError, match=r"dvc repro suspects@mnist"):
        collect(clone)

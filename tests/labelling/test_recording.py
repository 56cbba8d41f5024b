"""After labelling: DVC tracks the labels, params.yaml takes them in, feedback makes room, and nothing is lost."""

import shutil

import label_project
import numpy as np
import pytest
from label_project import png

from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.labelling import recording
from pipeline.labelling.folder import Corrections
from pipeline.labelling.labels import LABELLED
from pipeline.monitoring import feedback

ROW = {"label": "7", "reading": "1", "reason": "corrected", "by": "ada"}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    return label_project.make(tmp_path_factory.mktemp("tracked") / "clone", tracked=True)


@pytest.fixture
def clone(tracked, tmp_path, monkeypatch):
    root = tmp_path / "clone"
    shutil.copytree(tracked, root, symlinks=True)
    monkeypatch.chdir(root)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    return root


def test_reviewed_pictures_that_no_suite_leaves_out_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = label_project.settings()
    assert recording.unused_reviews(settings, Corrections()) == []
    Corrections().exclude("mnist", "ab" * 32, "4", "labelled 9 by hand")
    said = recording.unused_reviews(settings, Corrections())
    assert len(said) == 1
    assert "`leave_out: reviews/mnist.csv`" in said[0]


def label(root, value):
    """Label a picture that was corrected; its digest."""
    digest = label_project.correct(root / "log", png(np.full((28, 28), value, np.uint8)), "7")
    Corrections().label("mnist", digest, root / f"log/feedback/mnist/{digest}.png", ROW)
    return digest


def test_labels_are_tracked_and_taken_in_and_a_clean_folder_is_left_alone(clone):
    label(clone, 1)
    waiting = label_project.correct(clone / "log", png(np.full((28, 28), 2, np.uint8)), "7")
    said = recording.record(clone / "log", Corrections())
    assert [sentence.split(":")[0] for sentence in said] == ["corrections/mnist.dvc", "params.yaml"]
    assert params.load(clone / "params.yaml").suites["mnist"].corrections > 0
    assert (clone / "corrections/.gitignore").read_text() == "/mnist\n"
    # Feedback on the picture that was labelled makes room for more.
    assert [each.digest for each in feedback.corrections(clone / "log")] == [waiting]
    assert recording.record(clone / "log", Corrections()) == []
    recording.expect_checked_out(LABELLED)
    shutil.rmtree(clone / "corrections/mnist")
    # To track the folder anew would drop what is not checked out.
    with pytest.raises(DataError, match=r"dvc checkout corrections/mnist\.dvc"):
        recording.expect_checked_out(LABELLED)


def test_answers_that_are_right_make_room(tmp_path, monkeypatch):
    monkeypatch.chdir(label_project.make(tmp_path / "clone"))
    wrong = label_project.correct(tmp_path / "log", b"a", "7", reading="1")
    label_project.correct(tmp_path / "log", b"b", "7", reading="7")
    # Nobody can label pictures of scenes here, but they can be called right.
    label_project.correct(tmp_path / "log", b"c", "12", reading="12", task="scenes")
    assert recording.record(tmp_path / "log", Corrections()) == []
    assert [each.digest for each in feedback.corrections(tmp_path / "log")] == [wrong]


@pytest.mark.slow
def test_labels_of_a_killed_process_are_tracked_by_the_next(clone):
    label(clone, 1)
    recording.record(clone / "log", Corrections())
    before = (clone / "corrections/mnist.dvc").read_text()
    label(clone, 2)
    # Nothing recorded it. The next call finds labels that are newer than what DVC tracks, and goes on.
    recording.expect_checked_out(LABELLED)
    assert len(recording.record(clone / "log", Corrections())) == 1
    assert (clone / "corrections/mnist.dvc").read_text() != before


@pytest.mark.slow
def test_the_version_of_another_branch_is_not_overwritten(clone):
    label(clone, 1)
    recording.record(clone / "log", Corrections())
    file = clone / "corrections/mnist.dvc"
    other = file.read_text()
    label(clone, 2)
    recording.record(clone / "log", Corrections())
    # As `git checkout` writes it: newer than the labels, which are of another version.
    file.write_text(other)
    with pytest.raises(DataError, match="dvc checkout"):
        recording.expect_checked_out(LABELLED)

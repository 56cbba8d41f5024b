"""Which pictures of a suite the report gets, and that they come back from the disk with every strategy's reading."""

from dataclasses import replace

import evaluations
import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.evaluation.evaluated import Evaluated
from pipeline.reports import excerpts


@pytest.fixture
def read():
    pictures = evaluations.strips(200)
    return {
        name: Evaluated.of(evaluations.noisy(pictures, wrong, seed), pictures)
        for name, wrong, seed in (("poor", 0.2, 1), ("good", 0.02, 2))
    }


def test_every_error_of_every_strategy_is_taken(read):
    taken = excerpts.excerpt("strips", "plain", read)
    indices = set(taken.record.indices)
    assert list(taken.record.indices) == sorted(indices)
    for name, evaluated in read.items():
        wrong = np.flatnonzero(~evaluated.correct)
        assert set(wrong.tolist()) <= indices
        described = taken.record.strategies[name]
        assert described.wrong == described.listed == len(wrong)
        assert sum(each.count for each in described.reliability) == 200
    assert len(indices) < 200, "a good strategy does not bring all its correct readings"


def test_of_more_errors_the_most_confident_are_taken_and_of_correct_readings_the_least(read, monkeypatch):
    monkeypatch.setattr(excerpts, "ERRORS", 5)
    monkeypatch.setattr(excerpts, "DOUBTS", 3)
    poor = read["poor"]
    chosen = set(excerpts.choose(poor).tolist())
    confidence, wrong = poor.readings.confidence, np.flatnonzero(~poor.correct)
    errors, doubts = chosen & set(wrong.tolist()), chosen - set(wrong.tolist())
    assert (len(errors), len(doubts)) == (5, 3)
    assert min(confidence[list(errors)]) >= max(confidence[list(set(wrong.tolist()) - errors)])
    other = set(np.flatnonzero(poor.correct).tolist()) - doubts
    assert max(confidence[list(doubts)]) <= min(confidence[list(other)])
    described = excerpts.excerpt("strips", "plain", read).record.strategies["poor"]
    assert (described.wrong, described.listed) == (len(wrong), 5)


def test_what_each_strategy_read_is_of_the_same_pictures(read, tmp_path):
    excerpts.save(excerpts.excerpt("strips", "plain", read), tmp_path)
    taken = excerpts.load(tmp_path, "plain")
    rows = list(taken.record.indices)
    for name, evaluated in read.items():
        assert np.array_equal(taken.pictures.images, evaluated.pictures.images[rows])
        assert np.array_equal(taken.readings[name].readings.classes, evaluated.readings.classes[rows])
        assert np.array_equal(taken.readings[name].correct, evaluated.correct[rows])


def test_equal_excerpts_are_equal_files(read, tmp_path):
    for folder in ("a", "b"):
        excerpts.save(excerpts.excerpt("strips", "plain", read), tmp_path / folder)
    files = [path.name for path in (tmp_path / "a").iterdir()]
    assert sorted(files) == ["plain-good.npz", "plain-poor.npz", "plain.json", "plain.npz"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_a_missing_reading_is_an_error_that_names_the_file(read, tmp_path):
    excerpts.save(excerpts.excerpt("strips", "plain", read), tmp_path)
    (tmp_path / "plain-good.npz").unlink()
    with pytest.raises(DataError, match=r"plain-good\.npz"):
        excerpts.load(tmp_path, "plain")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": np.zeros((200, 5), np.uint8) + 11}, "class 11"),
        ({"classes": np.zeros(200, np.uint8)}, "shape"),
        ({"probabilities": np.float32(1)}, "shape"),
        ({"confidence": np.zeros(199, np.float32)}, "confidence have the shape"),
        ({"confidence": np.full(200, np.nan, np.float32)}, "outside 0 to 1"),
        ({"boxes": np.zeros((200, 5), np.float32)}, "boxes have the shape"),
        ({"boxes": np.full((200, 5, 4), np.inf, np.float32)}, "infinity"),
    ],
)
def test_readings_that_do_not_fit_are_an_error_that_names_the_file(read, tmp_path, changes, message):
    sound = read["good"]
    replace(sound.readings, **changes).save(tmp_path / "readings.npz")
    with pytest.raises(DataError, match=rf"readings\.npz: .*{message}"):
        excerpts.read(tmp_path / "readings.npz", sound.pictures)

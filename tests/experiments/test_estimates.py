"""The time that a run will still take."""

import pytest

from pipeline.experiments.estimates import Estimates

TIMINGS = "strategy,train_seconds,evaluate_seconds,ms\nslice,200.0,10.0,1.5\nctc,100.0,,\n"


@pytest.fixture
def timings(tmp_path):
    path = tmp_path / "timings.csv"
    path.write_text(TIMINGS)
    return path


def test_committed_timings_are_known_and_a_budget_scales_trainings(tmp_path, timings):
    known = Estimates.load(tmp_path / "logs", timings, share=0.1)
    assert known.seconds == {"train@slice": 20.0, "evaluate@slice": 10.0, "train@ctc": 10.0}
    assert known.left({}, ["train@slice", "evaluate@slice"]) == 30.0


def test_an_earlier_run_here_counts_more_than_the_committed_one(tmp_path, timings):
    Estimates({}).save(tmp_path / "logs", {"train@slice": 50.04, "bento": 3.0})
    Estimates({}).save(tmp_path / "logs", {"bento": 4.0})
    known = Estimates.load(tmp_path / "logs", timings)
    assert known.seconds == {"train@slice": 50.0, "evaluate@slice": 10.0, "train@ctc": 100.0, "bento": 4.0}


def test_the_pace_of_this_run_corrects_what_was_known():
    known = Estimates({"train@slice": 100.0, "train@ctc": 40.0})
    assert known.left({"train@slice": 200.0}, ["train@ctc"]) == 80.0


def test_a_stage_without_earlier_seconds_takes_as_long_as_those_of_its_kind():
    known = Estimates({"train@slice": 100.0})
    finished = {"compose@plain": 2.0, "compose@jitter": 4.0, "validate@plain": 9.0, "train@slice": 100.0}
    assert known.left(finished, ["compose@mixed"]) == 3.0
    assert known.left(finished, ["bento"]) == 5.0


def test_nothing_known_is_none():
    assert Estimates({}).left({}, ["bento"]) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "strategy\nslice\n",
        "strategy,train_seconds,evaluate_seconds\nslice,fast,1\n",
        pytest.param(f"strategy,train_seconds,evaluate_seconds\n{'x' * 200_000}\n", id="a cell without an end"),
    ],
)
def test_damaged_files_are_left_out(tmp_path, content):
    (tmp_path / "timings.csv").write_text(content)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/seconds.json").write_text("[1")
    assert Estimates.load(tmp_path / "logs", tmp_path / "timings.csv").seconds == {}

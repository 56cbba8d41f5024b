"""The rollout folder: whole states, workers that live, and lines that do not mix."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest
import rollouts

from pipeline.core.errors import DataError
from pipeline.records.rollout import Bounds, Observation, RolloutState, WorkerState
from pipeline.rollout.follower import conclude
from pipeline.rollout.store import Store
from pipeline.rollout.trial import Trial


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path / "rollout")
    found.make()
    return found


def worker_state(**changes):
    return WorkerState(**({"pid": os.getpid(), "revision": 0, "models": {}, "loaded": None, "problem": None} | changes))


def test_changes_are_counted_and_nothing_is_changed_in_vain(store):
    assert store.read() == RolloutState()
    assert store.change(lambda state: state).revision == 1
    assert store.change(lambda state: None).revision == 1
    assert store.read().revision == 1


def change_often(folder):
    for _ in range(50):
        Store(folder).change(lambda state: state)


def observe_often(folder, number):
    for index in range(200):
        Store(folder).observe("ab", Observation(picture=f"{number}-{index}", served="1" * 400, candidate="1" * 400))


def run_beside(target, *arguments):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=target, args=[*each]) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_of_changes_at_once_none_is_lost_and_lines_do_not_mix(store):
    run_beside(change_often, [store.folder], [store.folder], [store.folder])
    assert store.read().revision == 150
    run_beside(observe_often, [store.folder, 1], [store.folder, 2])
    trial = Trial(Bounds())
    store.follow("ab", trial)
    assert trial.compared == 400


def test_a_line_that_is_not_complete_is_left_for_later(store):
    store.observe("ab", Observation(picture="1", served="1", candidate="1"))
    path = store.folder / "trials/ab.jsonl"
    line = path.read_bytes()
    path.write_bytes(line + b"no line\n" + line.replace(b'"1"', b'"2"', 1)[:-5])
    trial = Trial(Bounds())
    offset = store.follow("ab", trial)
    assert trial.compared == 1
    path.write_bytes(line + b"no line\n" + line.replace(b'"1"', b'"2"', 1))
    store.follow("ab", trial, offset)
    assert trial.compared == 2


def test_a_worker_is_known_while_it_lives(store):
    first, second = store.enter(), store.enter()
    first.say(worker_state(revision=3))
    assert [worker.revision for worker in store.workers()] == [3], "one of them has not said anything yet"
    second.say(worker_state(revision=4))
    first.leave()
    assert [worker.revision for worker in store.workers()] == [4]
    # As after a kill: the lock is gone, and the files are there.
    second._lock.close()
    assert store.workers() == ()
    assert list((store.folder / "workers").iterdir()) == []


def test_a_worker_that_ends_with_a_candidate_is_counted_and_one_that_stops_is_not(store):
    for _ in range(3):
        killed = store.enter()
        killed.say(worker_state(loading="ab" * 8))
        killed._lock.close()
    stopped = store.enter()
    stopped.say(worker_state(loading="ab" * 8))
    stopped.leave()
    assert store.workers() == ()
    assert (store.deaths("ab" * 8), store.deaths("cd" * 8)) == (3, 0)


def test_a_worker_that_stops_is_never_taken_for_one_that_was_killed(store, monkeypatch):
    """Another process looks between any two of the files that it removes."""
    worker = store.enter()
    worker.say(worker_state(loading="ab" * 8))
    unlink = Path.unlink

    def look_and_unlink(path, missing_ok=False):
        monkeypatch.undo()
        assert len(store.workers()) <= 1
        monkeypatch.setattr(Path, "unlink", look_and_unlink)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", look_and_unlink)
    worker.leave()
    monkeypatch.undo()
    assert store.workers() == ()
    assert store.deaths("ab" * 8) == 0
    worker.say(worker_state(revision=1))
    assert list((store.folder / "workers").iterdir()) == []


def test_models_of_which_the_state_says_nothing_any_more_are_removed(store, tmp_path):
    rollout = rollouts.begin(store, rollouts.package(tmp_path / "new"))
    assert store.model_folder(rollout.candidate).is_dir()
    store.change(lambda state: RolloutState())
    assert not store.model_folder(rollout.candidate).exists()


def test_what_is_damaged_is_named(store, tmp_path):
    (store.folder / "state.json").write_text(json.dumps({"revision": "x"}))
    with pytest.raises(DataError, match=r"state.json: revision"):
        store.read()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected a folder that the service can write"):
        Store(tmp_path / "file").make()


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"result": "ended"}'])
def test_a_damaged_outcome_is_set_aside_and_blocks_no_rollback(store, tmp_path, caplog, content):
    (store.folder / f"outcomes/{'ab' * 8}.json").write_bytes(content)
    rollout = rollouts.begin(store, rollouts.package(tmp_path / "new"), "canary")
    assert conclude(store, rollout, "rolled_back", "it is wrong")
    assert store.read().rollout is None
    assert [outcome.result for outcome in store.report().outcomes] == ["rolled_back"]
    assert (store.folder / f"outcomes/{'ab' * 8}.json.damaged").read_bytes() == content
    assert f"{'ab' * 8}.json" in caplog.text


def test_an_outcome_that_cannot_be_moved_is_left_out(store, tmp_path):
    (store.folder / f"outcomes/{'ab' * 8}.json").mkdir()
    (store.folder / f"outcomes/{'ab' * 8}.json.damaged").write_text("")
    rollout = rollouts.begin(store, rollouts.package(tmp_path / "new"), "canary")
    assert conclude(store, rollout, "rolled_back", "it is wrong")
    assert len(store.outcomes()) == 1

"""A worker that follows its rollout folder: swaps, shadows and canaries of the application in this process."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx_models
import pytest
import rollouts
import trap_models
from apps import TestClient
from servers import encoded, wait_for

from pipeline.core.errors import DataError
from pipeline.records.rollout import RolloutState, WorkerState
from pipeline.rollout import follower
from pipeline.rollout.store import Store
from pipeline.runtime.reader import load_readers
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app

STRIPS = ["12345", "90817", "55555", "10293"]


def picture(digits: str, seed: int = 0) -> bytes:
    """A strip of these digits; another seed gives other pixels."""
    pixels = onnx_models.draw([int(each) for each in digits])
    noise = np.random.default_rng(seed).integers(0, 8, pixels.shape, np.uint8)
    return encoded(np.minimum(pixels, 240) + noise)


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path / "rollout")
    found.make()
    return found


@pytest.fixture
def folder(tmp_path):
    onnx_models.package(tmp_path / "artifacts", boxes=True)
    return tmp_path / "artifacts"


@pytest.fixture
def client(folder, store):
    app = create_app(load_readers(folder), Limits(), rollout=store.folder)
    with TestClient(app) as client:
        yield client


def served(client) -> str:
    return client.get("/info").json()["models"]["strips"]["sha256"]


def answer(client, digits, seed=0):
    got = client.post("/read", content=picture(digits, seed))
    assert got.status_code == 200, got.text
    return got.json()


def sha256(model) -> str:
    return hashlib.sha256((model / "model.onnx").read_bytes()).hexdigest()


def test_a_swap_under_requests_loses_none_and_every_answer_is_of_one_model(client, store, folder, tmp_path):
    new = rollouts.package(tmp_path / "new", "bad", version="v0.2.0")
    before, after = sha256(folder / "strips"), sha256(new)
    answers, stop = [], threading.Event()

    def ask(digits):
        while not stop.is_set():
            answers.append((digits, answer(client, digits)))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, digits) for digits in STRIPS]
        wait_for(lambda: len(answers) > 50, "no answers")
        rollout = rollouts.begin(store, new)
        wait_for(lambda: rollouts.ended(store, rollout) == "swapped", "nothing was swapped")
        wait_for(lambda: answers[-1][1]["model"]["sha256"] == after, "the old model answers on")
        stop.set()
        for each in asking:
            each.result()
    # The models read every digit differently: an answer that names the other model would be found here.
    for digits, each in answers:
        turned = "".join(str((int(digit) + 1) % 10) for digit in digits)
        assert each["digits"] == {before: digits, after: turned}[each["model"]["sha256"]]
    assert served(client) == after
    assert answer(client, "12345")["model"]["version"] == "v0.2.0"
    text = client.get("/metrics").text
    assert (
        f'reader_model{{origin="mnist",sha256="{after}",strategy="bands",task="strips",version="v0.2.0"}} 1.0' in text
    )
    assert f'sha256="{before}",strategy="bands",task="strips",version=""}} 0.0' in text
    assert (
        client.post("/compare?task=strips", content=picture("12345")).json()["readings"][0]["answer"]["model"]["sha256"]
        == after
    )


def test_a_model_that_cannot_be_loaded_changes_nothing(client, store, folder, tmp_path):
    for number, change in enumerate(
        [
            lambda model: (model / "model.onnx").write_bytes(b"x" * 100),
            lambda model: (model / "model.onnx").unlink(),
        ]
    ):
        new = rollouts.package(tmp_path / f"new-{number}")
        change(new)
        rollout = rollouts.begin(store, new)
        wait_for(lambda rollout=rollout: rollouts.ended(store, rollout) == "failed", "it did not fail")
    assert served(client) == sha256(folder / "strips")
    assert answer(client, "12345")["digits"] == "12345"
    assert store.read().models == {}


def test_a_model_that_callers_could_not_call_is_refused(client, store, tmp_path):
    new = rollouts.package(tmp_path / "new", class_names=[*"0123456789", "nothing"])
    rollout = rollouts.begin(store, new)
    wait_for(lambda: rollouts.ended(store, rollout) == "failed", "it did not fail")
    assert "class_names" in store.outcomes()[0].reason


def test_a_candidate_that_ends_workers_again_and_again_has_failed(client, store, folder, tmp_path):
    rollout = rollouts.begin(store, rollouts.package(tmp_path / "new"), "shadow")
    wait_for(lambda: rollouts.in_effect(store), "it did not begin")
    for _ in range(3):
        killed = store.enter()
        killed.say(WorkerState(pid=1, revision=0, models={}, loading=rollout.id, loaded=None, problem=None))
        killed._lock.close()
    wait_for(lambda: rollouts.ended(store, rollout) == "failed", "it goes on")
    assert store.outcomes()[0].reason == "3 workers ended while they loaded it or had it"
    assert served(client) == sha256(folder / "strips")


def test_a_shadow_answers_nothing_and_its_disagreements_are_counted(client, store, folder, tmp_path):
    new = rollouts.package(tmp_path / "new", "bad")
    rollout = rollouts.begin(store, new, "shadow", comparisons=20)
    wait_for(lambda: rollouts.in_effect(store), "it did not begin")
    for seed in range(40):
        assert answer(client, STRIPS[seed % 4], seed)["model"]["sha256"] == sha256(folder / "strips")
    wait_for(lambda: rollouts.ended(store, rollout) == "ended", "it did not end")
    outcome = store.outcomes()[0]
    assert outcome.compared >= 20
    assert outcome.tallies[0].mean == 1
    assert 'reader_rollout_pictures_total{result="disagreed",task="strips"}' in client.get("/metrics").text
    assert served(client) == sha256(folder / "strips")


def canary(client, store, model, most=400, **settings):
    """Begin a canary, and send pictures until it has ended; the outcome, and the answers meanwhile."""
    rollout = rollouts.begin(store, model, "canary", **settings)
    wait_for(lambda: rollouts.in_effect(store), "it did not begin")
    answers = []
    while rollouts.ended(store, rollout) is None and len(answers) < most:
        answers.append(answer(client, STRIPS[len(answers) % 4], len(answers)))
    wait_for(lambda: rollouts.ended(store, rollout) is not None, "it did not end")
    return store.outcomes()[0], answers


def test_a_bad_canary_is_taken_back_after_a_few_pictures(client, store, folder, tmp_path):
    outcome, answers = canary(client, store, rollouts.package(tmp_path / "new", "bad"), share=0.5)
    assert outcome.result == "rolled_back"
    assert outcome.reason.startswith("disagreement 1.0000 of ")
    assert {each["model"]["sha256"] for each in answers} == {
        sha256(folder / "strips"),
        outcome.rollout.candidate.sha256,
    }
    wait_for(lambda: store.workers()[0].loaded is None, "the candidate stays loaded")
    assert {answer(client, "12345")["model"]["sha256"] for _ in range(20)} == {sha256(folder / "strips")}


def test_a_canary_that_accepts_less_is_taken_back(client, store, tmp_path):
    outcome, _ = canary(client, store, rollouts.package(tmp_path / "new", "unsure"))
    assert outcome.result == "rolled_back"
    assert outcome.reason.startswith("accepted_loss 1.0000 of ")


def test_a_good_canary_passes_and_takes_over(client, store, tmp_path):
    new = rollouts.package(tmp_path / "new")
    outcome, _ = canary(client, store, new, most=5000, slowdown=100.0, accepted_loss=0.3, disagreement=0.2)
    assert outcome.result == "passed", outcome
    wait_for(lambda: served(client) == sha256(new), "it does not take over")
    assert {each.within >= 100 for each in outcome.tallies} == {True}


def test_a_candidate_that_fails_loses_no_request(client, store, folder, tmp_path):
    """Its pictures are read by the model that is served, whose answer they are."""
    new = rollouts.package(tmp_path / "new")
    trap_models.repackage(new, trap_models.model((new / "model.onnx").read_bytes(), "nan"))
    rollout = rollouts.begin(store, new, "canary")
    wait_for(lambda: rollouts.in_effect(store), "it did not begin")
    trap = encoded(trap_models.trapped(onnx_models.draw([1, 2, 3, 4, 5])))
    got = client.post("/read", content=trap).json()
    assert got["model"]["sha256"] == sha256(folder / "strips")
    wait_for(lambda: store.report().compared == 1, "it was not noted")
    assert store.report().tallies[0].mean == 1
    assert rollout.mode == "canary"


def test_what_was_swapped_is_served_after_a_restart_unless_something_else_was_deployed(client, store, folder, tmp_path):
    new = rollouts.package(tmp_path / "new")
    rollout = rollouts.begin(store, new)
    wait_for(lambda: rollouts.ended(store, rollout) == "swapped", "nothing was swapped")
    with TestClient(create_app(load_readers(folder), Limits(), rollout=store.folder)) as again:
        assert served(again) == sha256(new)
    other = rollouts.package(tmp_path / "other")
    with TestClient(create_app(load_readers(other.parent), Limits(), rollout=store.folder)) as deployed:
        assert served(deployed) == sha256(other)


def test_a_damaged_model_or_state_stops_a_start(store, folder, tmp_path):
    readers = load_readers(folder)
    with TestClient(create_app(readers, Limits(), rollout=store.folder)):
        rollout = rollouts.begin(store, rollouts.package(tmp_path / "new"))
        wait_for(lambda: rollouts.ended(store, rollout) == "swapped", "nothing was swapped")
    path = store.model_folder(store.read().models["strips"].model) / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"SHA-256 .* found, expected .*"):
        create_app(readers, Limits(), rollout=store.folder)
    (store.folder / "state.json").write_text("{")
    with pytest.raises(DataError, match=r"state\.json"):
        create_app(readers, Limits(), rollout=store.folder)


def test_a_state_that_is_set_back_brings_the_packaged_model_back(client, store, folder, tmp_path):
    rollout = rollouts.begin(store, rollouts.package(tmp_path / "new"))
    wait_for(lambda: rollouts.ended(store, rollout) == "swapped", "nothing was swapped")
    store.change(lambda state: RolloutState())
    wait_for(lambda: served(client) == sha256(folder / "strips"), "it does not come back")


def test_feedback_on_answers_of_the_candidate_counts(client, store, folder, tmp_path):
    new = rollouts.package(tmp_path / "new")
    rollout = rollouts.begin(store, new, "canary")
    wait_for(lambda: rollouts.in_effect(store), "it did not begin")
    following = client.app.state.follower
    said = {"wrong": True, "given": lambda since: since == rollout.began}
    following.feedback(sha256(folder / "strips"), picture="0", **said)
    for _ in range(10):
        following.feedback(sha256(new), picture="0", **said)
    wait_for(lambda: store.report().tallies, "it is not counted")
    assert store.report().tallies[0].n == 1, "a picture counts once"
    for number in range(10):
        following.feedback(sha256(new), picture=str(number), **said)
    wait_for(lambda: rollouts.ended(store, rollout) == "rolled_back", "nobody listens")
    assert store.outcomes()[0].reason.startswith("wrong 1.0000 of ")


def test_a_change_that_the_event_loop_was_too_busy_for_is_made_once_and_late_by_nobody(
    client, store, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(follower, "_CALL_SECONDS", 0.2)
    held, go_on = threading.Event(), threading.Event()

    def hold():
        held.set()
        go_on.wait(30)

    loop = client.app.state.follower._loop
    versions = client.app.state.follower._versions
    loop.call_soon_threadsafe(hold)
    assert held.wait(30)
    rollout = rollouts.begin(store, rollouts.package(tmp_path / "new"))
    wait_for(lambda: rollouts.ended(store, rollout) == "swapped", "nothing was swapped")
    wait_for(lambda: client.app.state.follower._said.startswith("the event loop"), "it does not say so")
    changes = []
    replace = versions.replace
    monkeypatch.setattr(versions, "replace", lambda version: (changes.append(version), replace(version)))
    # Taken back before the loop goes on: what was tried meanwhile must not happen now.
    store.change(lambda state: RolloutState())
    wait_for(lambda: client.app.state.follower._state == store.read(), "it does not look")
    go_on.set()
    assert answer(client, "12345")["model"]["sha256"] == sha256(folder / "strips")
    assert changes == []
    assert list(versions._batcher._readers) == ["strips"]

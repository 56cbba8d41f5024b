"""Rollouts in the real service: two workers change over together, and go on where one of them is killed."""

import contextlib
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import onnx_models
import psutil
import pytest
import rollouts
from servers import ROOT, bentoml, encoded, environment, started, wait_for

from pipeline.rollout.store import Store

pytestmark = pytest.mark.slow
STRIPS = {"12345": encoded(onnx_models.draw([1, 2, 3, 4, 5])), "90817": encoded(onnx_models.draw([9, 0, 8, 1, 7]))}


def turned(digits: str) -> str:
    """What the bad model reads."""
    return "".join(str((int(digit) + 1) % 10) for digit in digits)


@pytest.fixture
def settings(tmp_path):
    onnx_models.package(tmp_path / "artifacts", boxes=True)
    return environment(
        tmp_path / "home",
        READER_ARTIFACTS=str(tmp_path / "artifacts"),
        READER_ROLLOUT=str(tmp_path / "rollout"),
        BENTOML_CONFIG_OPTIONS="services.reader.workers=2",
    )


@contextlib.contextmanager
def traffic(port: int, models: dict[str, bool]):
    """Callers until the block is left; yields the outcomes: the hash of the model, or what went wrong."""
    outcomes: list[str] = []
    stop = threading.Event()

    def call(digits: str) -> None:
        # Each on a connection of its own: an idle one may be closed as it is used again, where callers have to wait.
        while not stop.is_set():
            try:
                answer = httpx.post(f"http://127.0.0.1:{port}/read", content=STRIPS[digits], timeout=30)
            except httpx.TransportError as error:
                outcomes.append(f"lost: {type(error).__name__}")
                stop.wait(0.01)
                continue
            if answer.status_code != 200:
                outcomes.append(f"lost: {answer.status_code}")
                continue
            sha256 = answer.json()["model"]["sha256"]
            expected = turned(digits) if models[sha256] else digits
            outcomes.append(sha256 if answer.json()["digits"] == expected else f"wrong: {answer.text}")

    with ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(call, list(STRIPS)[index % 2]) for index in range(6)]
        try:
            yield outcomes
        finally:
            stop.set()
            for each in calls:
                each.result()


def workers(process) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [each for each in children if "_bentoml_impl.worker.service" in " ".join(each.cmdline())]


def served(store: Store) -> set[str]:
    return {worker.models["strips"] for worker in store.workers()}


def test_two_workers_change_over_and_a_killed_one_comes_back_to_the_new_model(settings, tmp_path):
    store = Store(tmp_path / "rollout")
    old = onnx_models.sha256(tmp_path / "artifacts/strips/model.onnx")
    bad, good = rollouts.package(tmp_path / "bad", "bad"), rollouts.package(tmp_path / "good")
    hashes = [onnx_models.sha256(model / "model.onnx") for model in (bad, good)]
    models = {old: False, hashes[0]: True, hashes[1]: False}
    with started(cwd=ROOT, env=settings, log=tmp_path / "log.txt") as server:
        wait_for(lambda: len(store.workers()) == 2, "a worker is missing")
        with traffic(server.port, models) as outcomes:
            wait_for(lambda: len(outcomes) > 50, "no answers")
            rollout = rollouts.begin(store, bad)
            wait_for(lambda: rollouts.ended(store, rollout) == "swapped", "nothing was swapped")
            wait_for(lambda: served(store) == {hashes[0]}, "a worker did not change over")
        assert set(outcomes) == {old, hashes[0]}, "no request was lost, no answer was wrong"
        with traffic(server.port, models) as outcomes:
            rollout = rollouts.begin(store, good)
            workers(server.process)[0].kill()
            wait_for(lambda: rollouts.ended(store, rollout) == "swapped", "nothing was swapped")
            wait_for(lambda: len(store.workers()) == 2 and served(store) == {hashes[1]}, "it does not converge")
            before = len(outcomes)
            wait_for(lambda: len(outcomes) > before + 50, "no answers")
        assert not [outcome for outcome in outcomes if outcome.startswith("wrong")]
        # Each caller had one request in progress, or one that its killed worker had accepted.
        assert len([outcome for outcome in outcomes if outcome.startswith("lost")]) <= 12
        assert set(outcomes[before:]) == {hashes[1]}
    # The packaged model is the old one; what was swapped is served after a restart.
    with started(cwd=ROOT, env=settings, log=tmp_path / "log.txt") as server:
        answer = server.client.post("/read", content=STRIPS["12345"]).json()
        assert answer["model"]["sha256"] == hashes[1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("READER_ROLLOUT", "/proc/rollout", "/proc/rollout: .*expected a folder that the service can write"),
        ("READER_TOKENS", "missing.json", "missing.json: No such file or directory; `make token` makes"),
        ("READER_AUDIT", "audit.jsonl", "READER_AUDIT: audit.jsonl found without READER_TOKENS"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start_with_one_line(settings, tmp_path, name, value, message):
    env = settings | {name: value}
    result = subprocess.run(bentoml("serve"), cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert result.returncode != 0
    assert re.search(message, result.stderr + result.stdout)
    assert "Traceback" not in result.stderr

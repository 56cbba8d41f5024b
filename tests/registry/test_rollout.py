"""`registry rollout` and a service that follows its folder, in this process."""

import contextlib
import re
from pathlib import Path

import pytest
import registry_project as made
from apps import TestClient
from registry_project import ARTIFACT, MODEL, answer, done, lift, refused, run
from servers import encoded, wait_for

from pipeline.core.images import ImageSet
from pipeline.records.registry import RolloutRecord
from pipeline.registry.operations import Registry
from pipeline.rollout.store import Store
from pipeline.runtime.reader import load_readers
from pipeline.scheduling.limits import Limits
from pipeline.serving.app import create_app

FOLDER = "deploy/prod.rollout"


@contextlib.contextmanager
def serving(project: Path):
    """A service of what is in prod."""
    done(project, "deploy", "prod")
    store = Store(project / FOLDER)
    store.make()
    with TestClient(create_app(load_readers(project / "deploy/prod"), Limits(), rollout=store.folder)) as client:
        yield client


def version(client) -> str:
    return client.get("/info").json()["models"]["strips"]["version"]


def send(project, client, count=100, start=0):
    """Pictures of the gate split, some of which only one of two models reads."""
    for image in ImageSet.load(project / MODEL.pictures("plain", "gate")).images[start : start + count]:
        assert client.post("/read", content=encoded(image)).status_code == 200


def test_a_version_in_prod_is_swapped_in_and_that_is_recorded(project):
    with serving(project) as client:
        assert version(client) == "v0.1.0"
        assert "is not in prod by a decision that holds" in refused(project, "rollout", f"{ARTIFACT}@v0.3.0")
        lift(project, "v0.3.0")
        report = answer(project, "rollout", f"{ARTIFACT}@v0.3.0")
        assert (report["outcome"]["result"], report["recorded"]) == ("swapped", [f"rollouts/{ARTIFACT}/prod/1"])
        assert version(client) == "v0.3.0"
        status = answer(project, "rollout", "--status")
        assert status["state"]["models"]["strips"]["model"]["version"] == "v0.3.0"
        assert [worker["problem"] for worker in status["workers"]] == [None]
    history = answer(project, "history", ARTIFACT)
    assert history[0]["kind"] == "rollout"
    assert history[0]["evidence"]["outcome"]["result"] == "swapped"
    assert "swap: swapped" in done(project, "history", ARTIFACT)
    assert made.in_stage(project) == "v0.3.0"
    assert Registry.open(project).problems() == []


def test_without_a_service_there_is_no_rollout(project):
    assert "no service follows this folder" in refused(project, "rollout", f"{ARTIFACT}@v0.1.0")
    assert "no rollout is in progress" in refused(project, "rollout", "--abort")
    assert "expected VERSION" in refused(project, "rollout", code=2)
    assert "--disagreement: 2.0 found" in refused(
        project, "rollout", f"{ARTIFACT}@v0.1.0", "--canary", "0.1", "--disagreement", "2", code=2
    )


def test_one_rollout_at_a_time_and_it_can_be_aborted(project):
    with serving(project) as client:
        assert "running" in done(project, "rollout", f"{ARTIFACT}@v0.2.0", "--shadow")
        assert "began a shadow" in refused(project, "rollout", f"{ARTIFACT}@v0.1.0")
        send(project, client, 30)
        wait_for(lambda: answer(project, "rollout", "--status")["compared"] > 0, "nothing is compared", 30)
        assert "aborted: by Ada" in done(project, "rollout", "--abort")
        assert version(client) == "v0.1.0"
    assert done(project, "rollout", "--record").strip() == "nothing new"
    assert re.search(r"rollout +v0.2.0 +prod .* shadow: aborted, \d+ compared", done(project, "history", ARTIFACT))


@pytest.mark.slow
def test_a_canary_that_is_taken_back_is_rolled_back_in_the_registry_with_its_evidence(project):
    with serving(project) as client:
        lift(project, "v0.3.0")
        done(project, "rollout", f"{ARTIFACT}@v0.3.0", "--canary", "1", "--disagreement", "1e-6")
        store = Store(project / FOLDER)
        for start in range(0, 1000, 50):
            send(project, client, 50, start)
            if store.read().rollout is None:
                break
        wait_for(lambda: store.outcomes() != [], "it goes on", 30)
        wait_for(lambda: version(client) == "v0.1.0", "it is not taken back", 30)
        recorded = done(project, "rollout", "--record")
    assert f"rollouts/{ARTIFACT}/prod/1: canary: rolled_back" in recorded
    assert f"{ARTIFACT}#prod#3: undid {ARTIFACT}#prod#2, v0.3.0" in recorded
    assert made.in_stage(project) == "v0.1.0"
    events = [event for event in Registry.open(project).history.events if event.kind == "rollout"]
    assert isinstance(events[0].document, RolloutRecord)
    assert events[0].document.outcome.tallies[0].against >= 400
    assert Registry.open(project).problems() == []


@pytest.mark.slow
def test_from_the_stage_before_a_canary_may_run_and_not_take_over(project):
    with serving(project):
        lift(project, "v0.3.0", "staging")
        begun = answer(project, "rollout", f"{ARTIFACT}@v0.3.0", "--canary", "0.1")
        assert begun["rollout"]["takes_over"] is False
        done(project, "rollout", "--abort")
        assert "is not in prod or staging" in refused(project, "rollout", f"{ARTIFACT}@v0.2.0", "--canary", "0.1")


def test_a_model_that_was_changed_never_reaches_the_service(project):
    lift(project, "v0.3.0")
    with serving(project):
        made.damage(made.cached(project, MODEL.model))
        assert MODEL.model in refused(project, "rollout", f"{ARTIFACT}@v0.3.0", "--shadow")
        assert run(project, "rollout", "--status")[0] == 0
        assert Store(project / FOLDER).read().rollout is None


@pytest.mark.parametrize("share", ["0", "1.5", "x", "nan"])
def test_a_share_is_above_0_and_at_most_1(project, share):
    code, _, err = run(project, "rollout", f"{ARTIFACT}@v0.1.0", "--canary", share)
    assert (code, err) == (
        2,
        f"configuration: --canary: '{share}' found, expected a share of the requests above 0 and up to 1, as in 0.1\n",
    )


@pytest.mark.parametrize("option", ["--status", "--abort", "--record"])
def test_a_folder_that_is_none_of_a_service_is_an_error(project, option):
    code, _, err = run(project, "rollout", option, "--to", "typo")
    assert (code, err) == (
        2,
        "configuration: rollout: typo: no such folder; expected that of a running service, its READER_ROLLOUT\n",
    )

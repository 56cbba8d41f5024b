"""Registering, judging, promoting and rolling back on a throw-away project, and every way in which that is refused."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import registry_project as made
from registry_project import (
    ARTIFACT,
    BETTER,
    GOOD,
    MODEL,
    answer,
    cached,
    done,
    git,
    in_stage,
    lift,
    package,
    refused,
    run,
    sha256,
    tag,
)

from pipeline.core.errors import RegistryError
from pipeline.registry import operations
from pipeline.registry.operations import Registry


def failed(decision):
    """The criteria of a decision that failed, by name."""
    return {criterion["name"]: criterion for criterion in decision["criteria"] if not criterion["passed"]}


def test_promotion_refusal_and_rollback(project):
    err = refused(project, "promote", f"{ARTIFACT}@v0.2.0", "staging")
    assert f"refused/{ARTIFACT}/staging/1" in err
    assert in_stage(project, "staging") == in_stage(project) == "v0.1.0"
    for stage in ("staging", "prod"):
        promotion = answer(project, "promote", f"{ARTIFACT}@v0.3.0", stage)
        assert promotion["evidence"]["decision"]["passed"]
        assert promotion["evidence"]["decision"]["champion"] == promotion["evidence"]["replaces"] == "v0.1.0"
    assert in_stage(project) == "v0.3.0"
    rollback = answer(project, "rollback", ARTIFACT, "prod")
    assert (rollback["kind"], rollback["version"], rollback["tag"]) == ("rollback", "v0.1.0", f"{ARTIFACT}#prod#3")
    undone = rollback["evidence"]["undone"]
    assert (undone["tag"], undone["who"]) == (f"{ARTIFACT}#prod#2", "Ada <ada@example.org>")
    assert in_stage(project) == "v0.1.0"
    events = answer(project, "history", ARTIFACT)
    assert [event["kind"] for event in events[:4]] == ["rollback", "promotion", "promotion", "refusal"]
    refusal = failed(events[3]["evidence"]["decision"])
    assert refusal["difference"]["figures"]["high"] < 0, "the figures that decided are kept"


def test_the_first_promotions_meet_an_empty_stage(project):
    events = {event["tag"]: event["evidence"] for event in answer(project, "history")}
    assert events[f"{ARTIFACT}#dev#1"]["decision"] is None, "dev has no gate"
    for stage in ("staging", "prod"):
        first = events[f"{ARTIFACT}#{stage}#1"]
        assert first["replaces"] is None
        assert first["decision"]["champion"] is None
        assert "difference" not in {criterion["name"] for criterion in first["decision"]["criteria"]}


def test_rolling_back_twice_goes_two_back_and_no_further(lifted):
    package(lifted, 6.9)
    assert answer(lifted, "register", ARTIFACT, "--bump", "patch")["version"] == "v0.3.1"
    lift(lifted, "v0.3.1")
    for version in ("v0.3.0", "v0.1.0"):
        done(lifted, "rollback", ARTIFACT, "prod")
        assert in_stage(lifted) == version
    refused(lifted, "rollback", ARTIFACT, "prod")
    done(lifted, "promote", f"{ARTIFACT}@v0.3.1", "prod")
    done(lifted, "rollback", ARTIFACT, "prod")
    assert in_stage(lifted) == "v0.1.0", "what was rolled back from does not return by itself"


def test_a_number_is_not_given_again_and_the_latest_version_is_the_highest(project):
    for name in ("v0.10.0-rc.2", "v0.10.0-rc.10", "v0.9.9"):
        tag(project, f"{ARTIFACT}@{name}", "by hand", git(project, "commit-tree", "HEAD^{tree}", "-m", name))
    registry = Registry.open(project)
    assert registry.find(ARTIFACT).version == "v0.10.0-rc.10"
    assert registry.history.next_version(ARTIFACT, "patch") == "v0.10.0"
    assert registry.history.next_version("other", "minor") == "v0.1.0"
    # A tag that cannot be read, and a version that was withdrawn.
    git(project, "tag", f"{ARTIFACT}@v0.11.0")
    assert Registry.open(project).history.next_version(ARTIFACT, "minor") == "v0.12.0"
    tag(project, f"{ARTIFACT}@v0.12.0", "by hand", git(project, "commit-tree", "HEAD^{tree}", "-m", "x"))
    tag(project, f"{ARTIFACT}@v0.12.0!", "withdrawn", f"{ARTIFACT}@v0.12.0")
    registry = Registry.open(project)
    assert registry.find(ARTIFACT).version == "v0.10.0-rc.10"
    assert registry.history.next_version(ARTIFACT, "minor") == "v0.13.0"


def test_a_tag_that_cannot_be_read_takes_its_number_and_stops_nobody(project):
    git(project, "tag", f"{ARTIFACT}#dev#4")
    git(project, "tag", f"{ARTIFACT}#dev#5/x")
    git(project, "tag", f"refused/{ARTIFACT}/prod/1/x/y")
    assert answer(project, "promote", f"{ARTIFACT}@v0.1.0", "dev")["tag"] == f"{ARTIFACT}#dev#6"
    assert f"recorded as refused/{ARTIFACT}/staging/1" in run(project, "promote", f"{ARTIFACT}@v0.2.0", "staging")[2]
    git(project, "tag", f"refused/{ARTIFACT}/staging/2/x")
    assert f"recorded as refused/{ARTIFACT}/staging/3" in run(project, "promote", f"{ARTIFACT}@v0.2.0", "staging")[2]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (ARTIFACT, "v0.3.0"),
        (f"{ARTIFACT}@latest", "v0.3.0"),
        (f"{ARTIFACT}@0.2.0", "v0.2.0"),
        (f"{ARTIFACT}@v0.2.0", "v0.2.0"),
        (f"{ARTIFACT}#prod", "v0.1.0"),
    ],
)
def test_references_to_a_version(base, reference, expected):
    assert Registry.open(base).find(reference).version == expected


@pytest.mark.parametrize("rest", ["@", "#", "@#", "@v0.1.0#dev", "@#dev"])
def test_a_reference_that_ends_early_or_names_two_versions_is_not_the_latest_version(base, rest):
    with pytest.raises(RegistryError, match=f"{ARTIFACT}@VERSION, {ARTIFACT}#STAGE"):
        Registry.open(base).find(f"{ARTIFACT}{rest}")


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("strip-raeder", ARTIFACT),
        (f"{ARTIFACT}@v0.9.0", "v0.1.0, v0.2.0, v0.3.0"),
        (f"{ARTIFACT}#production", "dev, staging, prod"),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(base, reference, named):
    with pytest.raises(RegistryError, match=named):
        Registry.open(base).find(reference)


def test_of_two_promotions_at_once_one_wins_and_the_other_names_it(project):
    # Both have judged before either creates its tag.
    first, second = Registry.open(project), Registry.open(project)
    event, _ = operations.promote(first, f"{ARTIFACT}@v0.3.0", "staging")
    assert event.tag == f"{ARTIFACT}#staging#2"
    with pytest.raises(RegistryError, match=f"Ada <ada@example.org> .*{event.tag}"):
        operations.promote(second, f"{ARTIFACT}@v0.3.0", "staging")


@pytest.mark.parametrize("shared", [False, True], ids=["one-clone", "two-clones"])
def test_of_two_equal_promotions_in_one_second_one_wins(project, clones, shared, monkeypatch):
    # A document without a decision holds nothing measured: both are equal, by one person, at one time.
    places = clones[:2] if shared else (project, project)
    registries = [Registry.open(place) for place in places]
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.5)
    event, _ = operations.promote(registries[0], f"{ARTIFACT}@v0.1.0", "dev")
    with pytest.raises(RegistryError, match=f"Ada <ada@example.org> .*{event.tag}"):
        operations.promote(registries[1], f"{ARTIFACT}@v0.1.0", "dev")


def test_two_refusals_at_once_are_both_recorded(project):
    first, second = Registry.open(project), Registry.open(project)
    for number, registry in enumerate((first, second), 1):
        with pytest.raises(RegistryError, match=f"refused/{ARTIFACT}/staging/{number}"):
            operations.promote(registry, f"{ARTIFACT}@v0.2.0", "staging")


def test_of_two_processes_at_once_exactly_one_wins(project):
    command = [sys.executable, "-m", "pipeline.registry", "promote", f"{ARTIFACT}@v0.3.0", "staging"]
    codes = []

    def promote():
        codes.append(subprocess.run(command, cwd=project, capture_output=True, check=False).returncode)

    threads = [threading.Thread(target=promote) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [0, 4]
    staging = [name for name in git(project, "tag").split() if "#staging#" in name]
    assert staging == [f"{ARTIFACT}#staging#1", f"{ARTIFACT}#staging#2"]


def test_a_killed_promotion_leaves_the_old_champion(project):
    done(project, "promote", f"{ARTIFACT}@v0.3.0", "staging")
    code = f"""
import os, signal
from pathlib import Path
from pipeline.registry import operations
operations._write = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
operations.promote(operations.Registry.open(Path()), "{ARTIFACT}@v0.3.0", "prod")
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=project, check=False)
    assert result.returncode == -signal.SIGKILL
    assert in_stage(project) == "v0.1.0"
    done(project, "promote", f"{ARTIFACT}@v0.3.0", "prod")
    assert in_stage(project) == "v0.3.0"


def test_a_stage_is_not_skipped(project):
    assert "staging" in refused(project, "promote", f"{ARTIFACT}@v0.3.0", "prod")
    assert "nothing was changed" in refused(project, "promote", f"{ARTIFACT}@v0.1.0", "prod")
    assert in_stage(project) == "v0.1.0"


def test_a_version_that_was_rolled_back_passes_the_stage_again_before_it_goes_further(project):
    version = f"{ARTIFACT}@v0.3.0"
    lift(project, "v0.3.0", "staging")
    for stage in ("staging", "dev"):
        done(project, "rollback", ARTIFACT, stage)
    for stage in ("prod", "staging"):
        assert f"{ARTIFACT}#dev#4" in refused(project, "promote", version, stage)
    done(project, "promote", version, "dev")
    assert f"{ARTIFACT}#staging#3" in refused(project, "promote", version, "prod")
    assert in_stage(project) == "v0.1.0"
    lift(project, "v0.3.0")
    done(project, "rollback", ARTIFACT, "prod")
    done(project, "promote", version, "prod")
    assert in_stage(project) == "v0.3.0", "out of prod it has only the gate of prod to pass again"


def test_the_gate_alone_changes_nothing(project):
    tags = git(project, "tag")
    decision = answer(project, "gate", f"{ARTIFACT}@v0.2.0", "staging", code=4)
    assert not decision["passed"]
    assert "difference" in failed(decision)
    assert answer(project, "gate", f"{ARTIFACT}@v0.3.0", "prod")["passed"]
    assert git(project, "tag") == tags
    refused(project, "gate", f"{ARTIFACT}@v0.2.0", "dev")


def test_the_stand_in_enters_no_stage_after_dev(tmp_path):
    folder = made.create(tmp_path / "project", origin="embedded")
    package(folder, GOOD)
    done(folder, "register", ARTIFACT)
    done(folder, "promote", ARTIFACT, "dev")
    assert set(failed(answer(folder, "gate", ARTIFACT, "staging", code=4))) == {"origin"}
    refused(folder, "promote", ARTIFACT, "staging")
    refused(folder, "promote", ARTIFACT, "prod")
    assert in_stage(folder, "staging") is None


def test_a_challenger_that_is_as_good_and_worse_on_corrupted_pictures_is_refused_for_that_reason(project):
    reference = f"{ARTIFACT}@v0.3.0"
    assert not failed(answer(project, "gate", reference, "staging"))
    package(project, BETTER - 0.5, pad=8)
    made.write_robustness(project, sha256(project / MODEL.model), accuracy=0.5, accepted_wrong=0.3)
    made.commit(project, "worse on corrupted pictures")
    done(project, "register", ARTIFACT)
    done(project, "promote", f"{ARTIFACT}@v0.4.0", "dev")
    decision = answer(project, "gate", f"{ARTIFACT}@v0.4.0", "staging", code=4)
    assert set(failed(decision)) == {"shift accuracy", "shift accepted_wrong"}
    assert "0.5000 against 0.6000" in failed(decision)["shift accuracy"]["found"]
    assert "shift accuracy" in refused(project, "promote", f"{ARTIFACT}@v0.4.0", "staging")


def test_figures_of_another_model_are_no_evidence(project):
    package(project, BETTER - 0.5, pad=8)
    made.write_robustness(project, "ab" * 32)
    made.commit(project, "figures of another model")
    assert MODEL.robustness(made.STRATEGY) in refused(project, "register", ARTIFACT)


def test_the_policy_is_that_of_the_workspace(project):
    params = project / "params.yaml"
    params.write_text(params.read_text().replace('"floor": 0.85', '"floor": 0.99'))
    assert set(failed(answer(project, "gate", f"{ARTIFACT}@v0.3.0", "staging", code=4))) == {"sequence_accuracy"}


def test_a_champion_whose_readings_are_gone_cannot_be_compared_with(project):
    path = MODEL.predictions(made.STRATEGY, "plain", "gate")
    cached(project, path, "v0.1.0").unlink()
    err = refused(project, "promote", f"{ARTIFACT}@v0.3.0", "staging")
    assert path in err
    assert git(project, "rev-parse", f"{ARTIFACT}@v0.1.0^{{commit}}")[:12] in err


def test_a_rollback_to_files_that_are_gone_is_refused(lifted):
    cached(lifted, MODEL.model, "v0.1.0").unlink()
    assert MODEL.model in refused(lifted, "rollback", ARTIFACT, "prod")
    assert in_stage(lifted) == "v0.3.0"


def test_a_model_with_other_classes_is_not_compared_with_the_champion(project):
    names = [str(digit) for digit in range(9)]
    package(project, 6.9, class_names=[*names, "nine", "blank"])
    done(project, "register", ARTIFACT)
    assert set(failed(answer(project, "gate", f"{ARTIFACT}@v0.4.0", "staging", code=4))) == {"interface"}


@pytest.mark.parametrize(
    "path",
    ["params.yaml", MODEL.manifest, "dvc.lock", MODEL.evaluation(made.STRATEGY), MODEL.robustness(made.STRATEGY)],
)
def test_only_what_is_committed_becomes_a_version(project, path):
    (project / path).write_text((project / path).read_text() + "\n")
    assert path in refused(project, "register", ARTIFACT)


def test_one_model_and_one_commit_are_one_version(project):
    assert "v0.3.0" in refused(project, "register", ARTIFACT)
    git(project, "commit", "-q", "--allow-empty", "-m", "more")
    assert "v0.3.0" in refused(project, "register", ARTIFACT)
    assert git(project, "tag", "-l", f"{ARTIFACT}@v0.4.0") == ""


def test_without_an_identity_nothing_is_changed(project, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    git(project, "config", "--unset", "user.name")
    git(project, "config", "--unset", "user.email")
    git(project, "config", "user.useConfigOnly", "true")
    for command in (
        ("register", ARTIFACT),
        ("promote", f"{ARTIFACT}@v0.3.0", "staging"),
        ("rollback", ARTIFACT, "prod"),
    ):
        assert "user.name" in refused(project, *command, code=2)


def test_a_project_without_versions(tmp_path):
    folder = made.create(tmp_path / "project")
    package(folder, GOOD)
    assert answer(folder, "list") == answer(folder, "history") == []
    for command in (("list",), ("history",), ("at", "2026-11-24"), ("verify",)):
        assert done(folder, *command)
    for command in (("show", ARTIFACT), ("rollback", ARTIFACT, "prod"), ("deploy", "prod"), ("gate", ARTIFACT, "prod")):
        refused(folder, *command)
    assert run(folder, "promote", f"{ARTIFACT}#prod", "dev")[0] == 4

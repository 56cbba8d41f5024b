"""What follows from a row of tags: versions, stages, what was taken out; documents that are not valid; GTO and DVC."""

import json
import re
import subprocess
import sys

import gto.api
import pytest
from registry_project import ARTIFACT, answer, done, git, in_stage, package, refused, sha256, tag

from pipeline.core.errors import RegistryError
from pipeline.events.history import REFUSED, History, format_time, tag_patterns
from pipeline.events.tags import Tag
from pipeline.records.registry import Evidence
from pipeline.registry.operations import Registry

REVISIONS = {version: digit * 40 for version, digit in (("v0.1.0", "a"), ("v0.2.0", "b"), ("v0.3.0", "c"))}


def history(*names):
    """Of tags such as `x#prod#1 v0.1.0`, with a word for another kind of message, a second apart."""
    tags = [
        Tag(f"x@{version}", revision, "Ada <a@b>", index, "{}", f"{index:040x}")
        for index, (version, revision) in enumerate(REVISIONS.items())
    ]
    for seconds, entry in enumerate(names, 10):
        name, version, *kind = entry.split()
        message = json.dumps({"kind": kind[0], "version": version} if kind else {"kind": "promotion"})
        tags.append(Tag(name, REVISIONS[version], "Ada <a@b>", seconds, message, f"{seconds:040x}"))
    return History.of(tags)


@pytest.mark.parametrize(
    ("tags", "stack"),
    [
        ([], []),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0"], ["v0.1.0", "v0.2.0"]),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.1.0 rollback"], ["v0.1.0"]),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.1.0"], ["v0.1.0", "v0.2.0", "v0.1.0"]),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.3.0", "x#prod#4 v0.2.0 rollback",
          "x#prod#5 v0.1.0 rollback"], ["v0.1.0"]),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.1.0 rollback", "x#prod#4 v0.3.0"], ["v0.1.0", "v0.3.0"]),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod!#3 v0.2.0"], ["v0.1.0"]),
        (["x#prod#1 v0.1.0", "x#staging#1 v0.2.0", "refused/x/prod/1 v0.3.0 refusal"], ["v0.1.0"]),
        (["x#prod#1 v0.1.0", "y#prod#1 v0.2.0"], ["v0.1.0"]),
    ],
)  # fmt: skip
def test_the_stack_of_champions(tags, stack):
    found = history(*tags)
    assert found.stack("x", "prod") == stack
    assert found.in_stage("x", "prod") == (stack[-1] if stack else None)
    assert found.in_stage("x", "prod", at=10) == ("v0.1.0" if tags else None)


@pytest.mark.parametrize(
    ("tags", "out"),
    [
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0"], {}),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.1.0 rollback"], {"v0.2.0": "x#prod#3"}),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.1.0 rollback", "x#prod#4 v0.2.0"], {}),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod!#3 v0.2.0"], {"v0.2.0": "x#prod!#3"}),
        (["x#prod#1 v0.2.0", "x#prod#2 v0.1.0", "x#prod#3 v0.2.0", "x#prod#4 v0.1.0 rollback"],
         {"v0.2.0": "x#prod#4"}),
        (["x#prod#1 v0.2.0", "x#prod#2 v0.1.0", "x#prod#3 v0.2.0", "x#prod#4 v0.1.0 rollback",
          "x#prod#5 v0.2.0 rollback"], {"v0.1.0": "x#prod#5"}),
    ],
)  # fmt: skip
def test_what_was_taken_out_of_a_stage_and_did_not_return(tags, out):
    found = history(*tags)
    taken = {version: found.taken_out("x", "prod", version) for version in REVISIONS}
    assert {version: event.tag for version, event in taken.items() if event} == out


def test_tags_are_numbered_stage_by_stage_and_refusals_apart():
    found = history("x#prod#1 v0.1.0", "x#staging#1 v0.2.0", "x#prod!#2 v0.1.0", "refused/x/prod/1 v0.3.0 refusal")
    assert found.next_tag("x", "prod") == "x#prod#3"
    assert found.next_tag("x", "staging") == "x#staging#2"
    assert found.next_tag("x", "prod", REFUSED) == "refused/x/prod/2"
    assert found.next_tag("y", "dev") == "y#dev#1"


def test_a_withdrawn_version_does_not_count():
    found = history("x@v0.3.0! v0.3.0")
    assert [event.version for event in found.versions("x")] == ["v0.1.0", "v0.2.0"]
    with pytest.raises(RegistryError, match=re.escape("x@v0.3.0!")):
        found.version("x", "v0.3.0")
    assert found.version("x", "v0.3.0", withdrawn=True).version == "v0.3.0"


def test_an_unknown_version_is_an_error_that_lists_the_known_ones():
    with pytest.raises(RegistryError, match=r"v0\.1\.0, v0\.2\.0, v0\.3\.0"):
        history().version("x", "v0.9.0")


def test_tags_of_others_are_ignored_and_patterns_match_the_registrys():
    assert history("nightly v0.1.0", "x v0.1.0", "v1.0 v0.1.0").events == history().events
    assert tag_patterns(["x"]) == ["x@*", "x#*", "refused/*", "rollouts/*"]
    assert format_time(0) == "1970-01-01 00:00:00"


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("made by hand", "no evidence"),
        ("[]", "no evidence"),
        ('{"kind": "version", "sha2', "no evidence"),
        ("[" * 100_000, "no evidence"),
        ('{"previous": null}', "artifact: "),
        ('{"schema": 1}', "schema: "),
        ('{"kind": "version", "schema": 2}', "schema: 2 found, expected 3"),
        ('{"kind": "version"}', "schema: None found, expected 3"),
        ('{"kind": "version", "n": ' + "9" * 5000 + "}", "no evidence"),
        ('{"kind": "version", "n": 1e999}', "no evidence"),
    ],
)
def test_a_message_that_is_no_valid_evidence_is_a_problem_and_no_traceback(message, problem):
    (event,) = History.of([Tag("x@v0.1.0", "a" * 40, "Ada <a@b>", 1, message, "1" * 40)]).events
    assert event.document is None
    assert problem in event.problem
    with pytest.raises(RegistryError, match=re.escape("x@v0.1.0: ")):
        _ = event.evidence


def test_evidence_of_another_version_is_not_that_of_a_tag(evidence):
    message = evidence.model_dump_json(by_alias=True)
    tags = [
        Tag(f"{artifact}@{version}", "a" * 40, "Ada <a@b>", 1, message, "1" * 40)
        for artifact, version in ((ARTIFACT, "v0.3.0"), (ARTIFACT, "v0.4.0"), ("other", "v0.3.0"))
    ]
    documents = [event.document for event in History.of(tags).events]
    assert documents == [evidence, None, None]


def test_keys_of_a_later_version_of_the_project_are_ignored(evidence):
    message = json.dumps(evidence.as_json() | {"a key of tomorrow": True})
    (event,) = History.of([Tag(f"{ARTIFACT}@v0.3.0", "a" * 40, "Ada <a@b>", 1, message, "1" * 40)]).events
    assert event.evidence == evidence


def stages(project):
    """By stage its version, as `registry list` and as `gto show` have it."""
    ours = {stage: entry["version"] for entry in answer(project, "list") for stage in entry["stages"]}
    return ours, {**gto.api.show(str(project)).get(ARTIFACT, {"stage": {}})["stage"]}


def test_gto_and_dvc_agree(lifted, tmp_path):
    refused(lifted, "promote", f"{ARTIFACT}@v0.2.0", "staging")
    for champion in ("v0.3.0", "v0.1.0"):
        ours, gtos = stages(lifted)
        assert ours == gtos == {"dev": "v0.3.0", "staging": "v0.3.0", "prod": champion}, "refusals are no stages"
        model = tmp_path / f"{champion}.onnx"
        command = [sys.executable, "-m", "dvc", "artifacts", "get", ".", ARTIFACT, "--stage", "prod", "-o", str(model)]
        subprocess.run(command, cwd=lifted, check=True, capture_output=True)
        assert sha256(model) == answer(lifted, "show", f"{ARTIFACT}#prod")["evidence"]["sha256"]
        if champion == "v0.3.0":
            done(lifted, "rollback", ARTIFACT, "prod")
    events = gto.api.history(str(lifted), artifact=ARTIFACT)
    reported = [event for event in answer(lifted, "history") if event["kind"] != "refusal"]
    assert [event["ref"] for event in events] == [event["tag"] for event in reported]
    assert [event["version"] for event in events] == [event["version"] for event in reported]
    assert len({event["time"] for event in reported}) == len(reported), "GTO and DVC disagree on equal times"


def test_a_version_that_gto_registered_has_no_evidence(project):
    git(project, "commit", "-q", "--allow-empty", "-m", "more")
    tag(project, f"{ARTIFACT}@v0.4.0", "made by hand")
    listed = {entry["version"]: entry for entry in answer(project, "list")}
    assert listed["v0.4.0"]["strategy"] is None
    shown = answer(project, "show", f"{ARTIFACT}@v0.4.0")
    assert shown["evidence"] is None
    assert shown["problem"]
    assert "v0.4.0" in done(project, "list")
    assert "v0.4.0" in done(project, "show", f"{ARTIFACT}@v0.4.0")
    assert "v0.4.0" in done(project, "history")
    for command in (("promote", f"{ARTIFACT}@v0.4.0", "dev"), ("gate", f"{ARTIFACT}@v0.4.0", "staging")):
        assert f"git tag -d {ARTIFACT}@v0.4.0" in refused(project, *command)
    results = answer(project, "verify", f"{ARTIFACT}@v0.4.0", code=4)[f"{ARTIFACT}@v0.4.0"]
    assert [result["holds"] for result in results] == [False, True], "the history of the others holds"
    assert in_stage(project) == "v0.1.0"


def test_a_deprecated_artifact_is_not_listed_promoted_or_deployed_until_a_new_version(project):
    gto.api.deprecate(str(project), ARTIFACT, simple=True)
    assert stages(project) == ({}, {})
    deprecated = f"{ARTIFACT}@deprecated"
    assert deprecated in done(project, "list")
    assert answer(project, "history")[0]["kind"] == "deprecation"
    for command in (
        ("deploy", "prod"),
        ("promote", f"{ARTIFACT}@v0.3.0", "staging"),
        ("rollback", ARTIFACT, "dev"),
    ):
        assert "deprecated" in refused(project, *command)
    package(project, 6.9)
    done(project, "register", ARTIFACT)
    ours, gtos = stages(project)
    assert ours == gtos == {"dev": "v0.3.0", "staging": "v0.1.0", "prod": "v0.1.0"}
    done(project, "deploy", "prod")


def test_a_withdrawn_version_is_not_deployed_until_a_rollback(lifted):
    gto.api.deregister(str(lifted), ARTIFACT, version="v0.3.0", simple=True)
    withdrawal = f"{ARTIFACT}@v0.3.0!"
    (entry,) = [entry for entry in answer(lifted, "list") if entry["version"] == "v0.3.0"]
    assert entry["withdrawn"]
    assert entry["stages"] == ["dev", "staging", "prod"]
    assert withdrawal in refused(lifted, "deploy", "prod")
    assert withdrawal in refused(lifted, "promote", f"{ARTIFACT}@v0.3.0", "prod")
    assert answer(lifted, "gate", f"{ARTIFACT}@v0.2.0", "prod", code=4)["champion"] == "v0.3.0"
    for stage in ("prod", "staging", "dev"):
        done(lifted, "rollback", ARTIFACT, stage)
    ours, gtos = stages(lifted)
    assert ours == gtos == {"dev": "v0.2.0", "staging": "v0.1.0", "prod": "v0.1.0"}
    assert answer(lifted, "deploy", "prod")["versions"] == {ARTIFACT: "v0.1.0"}


def test_no_rollback_returns_to_a_withdrawn_version(project):
    gto.api.deregister(str(project), ARTIFACT, version="v0.2.0", simple=True)
    done(project, "rollback", ARTIFACT, "dev")
    assert in_stage(project, "dev") == "v0.1.0", "and not v0.2.0, which was there before v0.3.0"
    done(project, "promote", f"{ARTIFACT}@v0.3.0", "dev")
    gto.api.deregister(str(project), ARTIFACT, version="v0.1.0")
    refused(project, "rollback", ARTIFACT, "dev")
    assert in_stage(project, "dev") == "v0.3.0"


def test_every_event_of_the_registry_has_a_document(lifted):
    refused(lifted, "promote", f"{ARTIFACT}@v0.2.0", "staging")
    done(lifted, "rollback", ARTIFACT, "prod")
    events = Registry.open(lifted).history.events
    assert {event.kind for event in events} == {"version", "promotion", "rollback", "refusal"}
    assert all(event.problem is None and event.document is not None for event in events)
    assert all(event.document.kind == event.kind for event in events)
    assert sum(isinstance(event.document, Evidence) for event in events) == 3

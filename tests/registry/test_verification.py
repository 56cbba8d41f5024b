"""A version compared with its evidence: what `verify` names when a file, a tag or a score is not what it was."""

import json

import pytest
import registry_project as made
from registry_project import ARTIFACT, MODEL, answer, cached, damage, done, refused, tag

from pipeline.registry.operations import Registry


def failed(project, version, code=4):
    """The subjects that do not hold, with their details."""
    results = answer(project, "verify", f"{ARTIFACT}@{version}", code=code)[f"{ARTIFACT}@{version}"]
    return {result["subject"]: result["detail"] for result in results if not result["holds"]}


REWRITTEN = {"history", "in dev"}
"""What fails for a version in dev whose tag was made again: the event after it, and the promotion of other evidence."""


def claim(project, version, **changes):
    """Make the tag of a version again, with other evidence."""
    event = Registry.open(project).history.version(ARTIFACT, version)
    tag(project, event.tag, json.dumps(event.evidence.as_json() | changes), event.tag)


def test_everything_holds(base):
    results = answer(base, "verify")
    assert set(results) == {f"{ARTIFACT}@v0.{minor}.0" for minor in (1, 2, 3)}
    assert all(result["holds"] for each in results.values() for result in each)
    subjects = {result["subject"] for result in results[f"{ARTIFACT}@v0.3.0"]}
    assert {
        "history",
        "in dev",
        "revision",
        "dvc.lock",
        "params.yaml",
        MODEL.model,
        MODEL.manifest,
        "metrics, plain gate",
    } <= subjects
    assert "3 versions verified" in done(base, "verify")


def test_one_changed_byte_of_a_model_is_named_and_stops_it(project):
    path = cached(project, MODEL.model)
    damage(path)
    assert set(failed(project, "v0.3.0")) == {MODEL.model}
    assert failed(project, "v0.1.0", code=0) == {}
    assert MODEL.model in refused(project, "promote", f"{ARTIFACT}@v0.3.0", "staging")
    path.unlink()
    assert set(failed(project, "v0.3.0")) == {MODEL.model}


def test_changed_readings_do_not_pass_for_those_that_were_scored(project):
    path = MODEL.predictions(made.STRATEGY, "plain", "gate")
    damage(cached(project, path))
    found = failed(project, "v0.3.0")
    assert set(found) == {path, "metrics"}
    assert path in found["metrics"]
    assert path in refused(project, "promote", f"{ARTIFACT}@v0.3.0", "staging")


def test_metrics_that_a_tag_claims_are_computed_again(project, evidence):
    metrics = evidence.as_json()["metrics"]
    metrics["plain"]["gate"]["sequence_accuracy"] = 0.999
    claim(project, "v0.3.0", metrics=metrics)
    found = failed(project, "v0.3.0")
    assert set(found) == {"metrics, plain gate"} | REWRITTEN
    assert "0.999" in found["metrics, plain gate"]


@pytest.mark.parametrize(
    ("key", "subject"),
    [
        ("revision", "revision"),
        ("dvc_lock_sha256", "dvc.lock"),
        ("params_sha256", "params.yaml"),
    ],
)
def test_every_digest_of_a_tag_is_compared(project, key, subject):
    claim(project, "v0.3.0", **{key: "0" * 64})
    assert set(failed(project, "v0.3.0")) == {subject} | REWRITTEN


def test_another_sha256_is_named(project):
    claim(project, "v0.3.0", sha256="0" * 64)
    assert f"{MODEL.model}, SHA-256" in failed(project, "v0.3.0")


def test_another_threshold_is_named(project, evidence):
    coverage = evidence.coverage.model_copy(update={"threshold": 0.0}).as_json()
    claim(project, "v0.3.0", coverage=coverage)
    assert set(failed(project, "v0.3.0")) == {"metrics, coverage"} | REWRITTEN


def test_paths_are_not_taken_from_a_tag(project, evidence, tmp_path):
    """A tag that named other files once overwrote and deleted them."""
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    outside = {str(victim): "0" * 32, "../../victim.txt": "0" * 32}
    claim(project, "v0.3.0", files={**evidence.files, **outside})
    assert set(failed(project, "v0.3.0")) == set(outside) | REWRITTEN
    assert victim.read_text() == "mine"
    missing = {path: md5 for path, md5 in evidence.files.items() if path != MODEL.model}
    claim(project, "v0.3.0", files=missing)
    assert set(failed(project, "v0.3.0")) == {MODEL.model} | REWRITTEN


def test_evidence_of_another_version_does_not_hold(project, evidence):
    event = Registry.open(project).history.version(ARTIFACT, "v0.3.0")
    tag(project, event.tag, json.dumps(evidence.as_json() | {"version": "v0.4.0"}), event.tag)
    assert set(failed(project, "v0.3.0")) == {event.tag} | REWRITTEN

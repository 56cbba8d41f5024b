"""What a version records of itself, and how two versions differ."""

import json

import pytest
from registry_project import (
    ARTIFACT,
    MODEL,
    STRATEGY,
    TRAINED_ON,
    answer,
    damage,
    done,
    git,
    package,
    parity,
    refused,
    sha256,
    tag,
)

from pipeline.core.errors import DataError
from pipeline.core.files import digest, read_json, write_json
from pipeline.records.evaluation import Evaluation
from pipeline.records.registry import Evidence, Measures
from pipeline.registry.evidence import differences, file_paths


def test_what_a_version_records(base, evidence):
    assert evidence.revision == git(base, "rev-parse", f"{ARTIFACT}@v0.3.0^{{commit}}")
    assert evidence.sha256 == sha256(base / MODEL.model)
    assert evidence.bytes == (base / MODEL.model).stat().st_size
    assert evidence.dvc_lock_sha256 == sha256(base / "dvc.lock")
    assert evidence.params_sha256 == sha256(base / "params.yaml")
    assert evidence.environment["lock_sha256"] == sha256(base / "requirements/pipeline.lock")
    assert evidence.environment["keras"] == "3.15.1"
    assert evidence.params["strategy"]["epochs"] == 2
    assert set(evidence.params["suites"]) == {"plain", "blanks"}
    assert evidence.validation == {TRAINED_ON: True, "strips/plain": True, "strips/blanks": True}
    assert evidence.parity == {"plain": True, "blanks": True}
    assert evidence.remote is evidence.signature is None


def test_its_metrics_are_those_of_evaluate(base, evidence):
    evaluation = Evaluation.read(base / MODEL.evaluation(STRATEGY))
    assert evidence.coverage == evaluation.coverage
    for suite, splits in evaluation.suites.items():
        assert evidence.metrics[suite].gate == Measures.of(splits["gate"])
        assert evidence.metrics[suite].test == Measures.of(splits["test"])
    mean = sum(splits["gate"].sequence_accuracy for splits in evaluation.suites.values()) / 2
    assert evidence.gate_accuracy == pytest.approx(mean)


def test_its_interface_is_that_of_the_graph(evidence):
    (images,) = evidence.interface.inputs
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ("n", 28, 140, 1))
    assert {output.name for output in evidence.interface.outputs} == {"probabilities", "classes", "confidence"}
    assert (evidence.interface.slots, len(evidence.interface.class_names)) == (5, 11)


def test_its_files_are_all_that_the_metrics_depend_on(evidence):
    paths = file_paths(MODEL, STRATEGY, ["plain"], "mnist/mnist")
    assert paths[0] == MODEL.model
    assert "data/strips/plain/gate.npz" in paths
    assert "predictions/strips/slice/plain-gate.npz" in paths
    assert paths[-2:] == ["reports/validation/mnist/mnist.json", "reports/validation/strips/plain.json"]
    assert set(evidence.files) == set(file_paths(MODEL, STRATEGY, ["plain", "blanks"], "mnist/mnist"))


def test_a_document_reads_as_it_was_written(evidence):
    assert Evidence.parse(evidence.model_dump_json(by_alias=True), "a tag") == evidence


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("strategy", "../slice"),
        ("trained_on", "/etc/passwd"),
        ("metrics", {"../plain": {}}),
        ("metrics", {}),
        ("version", "v1"),
        ("sha256", "none"),
        ("schema", 1),
    ],
)
def test_a_value_that_is_none_of_its_key_is_named(evidence, key, value):
    with pytest.raises(DataError, match=f"a tag: {key}"):
        Evidence.parse(json.dumps(evidence.as_json() | {key: value}), "a tag")


def test_what_was_packaged_is_what_is_recorded(project):
    package(project, 6.9, pretrained="missing", parity={"plain": parity(holds=False), "blanks": parity()})
    recorded = answer(project, "register", ARTIFACT)["evidence"]
    assert recorded["pretrained"] == "missing"
    assert recorded["parity"] == {"plain": False, "blanks": True}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"slots": 4}, "(1, 4, 11)"),
        ({"model": {"file": "model.onnx", "sha256": "0" * 64, "bytes": 1995}}, "0" * 64),
        ({"task": "scenes"}, "task"),
        ({"strategy": "ctc"}, "metrics/evaluation/strips/ctc.json"),
    ],
    ids=["slots", "sha256", "task", "strategy"],
)
def test_a_model_that_is_not_what_its_manifest_says_is_not_registered(project, changes, named):
    package(project, 6.9, **changes)
    assert named in refused(project, "register", ARTIFACT)
    assert git(project, "tag", "-l", f"{ARTIFACT}@v0.4.0") == ""


def _without_the_strategy(document):
    document["strategies"] = {"ctc": document["strategies"][STRATEGY]}


def _with_an_empty_entry(document):
    document["strategies"] = {STRATEGY: None}


def _without_suites(document):
    del document["suites"]


def _with_a_suite_without_a_task(document):
    del document["suites"]["plain"]["task"]


@pytest.mark.parametrize(
    "change", [_without_the_strategy, _with_an_empty_entry, _without_suites, _with_a_suite_without_a_task]
)
def test_params_that_know_nothing_of_the_model_are_named(project, change):
    package(project, 6.9)
    document = read_json(project / "params.yaml")
    change(document)
    write_json(project / "params.yaml", document)
    git(project, "commit", "-qam", "other params")
    line = refused(project, "register", ARTIFACT)
    assert line.startswith(f"registry: params.yaml at {git(project, 'rev-parse', 'HEAD')[:12]}: expected the settings")


def test_params_that_cannot_be_read_are_named_without_the_copy_that_was_read(project):
    package(project, 6.9)
    # DVC takes it, and `make repro` does not.
    write_json(project / "params.yaml", read_json(project / "params.yaml") | {"seed": 2**70})
    git(project, "commit", "-qam", "a large seed")
    line = refused(project, "register", ARTIFACT)
    assert line.startswith(f"registry: params.yaml at {git(project, 'rev-parse', 'HEAD')[:12]}:")


def test_the_differences_of_two_versions(base, evidence):
    difference = answer(base, "diff", f"{ARTIFACT}@v0.2.0", f"{ARTIFACT}@v0.3.0")
    assert (difference["first"], difference["second"]) == ("v0.2.0", "v0.3.0")
    assert difference["metrics"]["plain gate"]["difference"] > 0.02
    assert {"sha256", "revision", "dvc_lock_sha256"} <= set(difference["other"])
    assert not [key for key in difference["other"] if key.startswith(("params.", "metrics.", "version"))]
    assert "plain gate" in done(base, "diff", f"{ARTIFACT}@v0.2.0", f"{ARTIFACT}#prod")
    less = evidence.model_copy(update={"metrics": {"plain": evidence.metrics["plain"]}})
    assert differences(less, evidence).metrics["blanks gate"].first is None
    assert differences(evidence, evidence).other == {}


def test_versions_of_two_artifacts_are_not_compared(project):
    entries = {ARTIFACT: {"path": MODEL.model}, "other-reader": {"path": "artifacts/other/model.onnx"}}
    write_json(project / "dvc.yaml", read_json(project / "dvc.yaml") | {"artifacts": entries})
    tag(project, "other-reader@v0.1.0", "by hand")
    assert "other-reader" in refused(project, "diff", ARTIFACT, "other-reader")


@pytest.mark.parametrize("path", [MODEL.predictions(STRATEGY, "plain", "gate"), MODEL.pictures("blanks", "gate")])
def test_what_a_version_uses_is_hashed_before_it_is_registered(project, path):
    package(project, 8.6)
    md5 = digest(project / path, "md5")
    damage(project / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}")
    error = refused(project, "register", ARTIFACT)
    assert path in error
    assert md5 in error
    assert git(project, "tag", "--list", f"{ARTIFACT}@v0.4.0") == ""

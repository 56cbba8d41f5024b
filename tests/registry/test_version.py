"""One opened version: its files, model and manifest, and what it reads of a challenger's pictures."""

import json

import numpy as np
import pytest
import registry_project as made
from registry_project import ARTIFACT, MODEL, answer, cached, damage, done, git, package, sha256, tag

from pipeline.core.errors import RegistryError
from pipeline.registry.operations import Registry


def opened(project, version):
    registry = Registry.open(project)
    return registry.opened(registry.history.version(ARTIFACT, version))


def test_an_opened_version_has_model_manifest_and_outcomes(base):
    with opened(base, "v0.1.0") as version:
        assert version.name == f"{ARTIFACT}@v0.1.0"
        assert sha256(version.fetch_model()) == version.evidence.sha256 == version.read_manifest().model.sha256
        assert version.load_reader().manifest == version.read_manifest()
        outcomes = version.gate_outcomes()
        assert {suite: evaluated.correct.mean() for suite, evaluated in outcomes.items()} == {
            suite: measures.gate.sequence_accuracy for suite, measures in version.evidence.metrics.items()
        }
        folder = version.folder
    assert not folder.exists()


def test_what_the_workspace_has_does_not_matter(project):
    (project / MODEL.model).unlink()
    (project / MODEL.manifest).write_text("{}")
    with opened(project, "v0.1.0") as version:
        version.load_reader()


def test_the_champions_readings_answer_for_the_same_pictures(base):
    with opened(base, "v0.1.0") as champion, opened(base, "v0.3.0") as challenger:
        correct = champion.correct_on(challenger, challenger.gate_outcomes())
        own = champion.gate_outcomes()
    assert all(np.array_equal(correct[suite], own[suite].correct) for suite in made.SUITES)


def test_the_champions_model_reads_suites_that_were_composed_again(project):
    made.compose(project, seed=2)
    package(project, 6.9)
    done(project, "register", ARTIFACT)
    with opened(project, "v0.1.0") as champion, opened(project, "v0.4.0") as challenger:
        outcomes = challenger.gate_outcomes()
        correct = champion.correct_on(challenger, outcomes)
        reader = champion.load_reader()
        for suite, theirs in outcomes.items():
            classes = reader.read(theirs.pictures.images).classes
            assert np.array_equal(correct[suite], np.all(classes == theirs.pictures.labels, axis=1))
    decision = answer(project, "gate", f"{ARTIFACT}@v0.4.0", "staging")
    assert "difference" in {criterion["name"] for criterion in decision["criteria"]}


def test_a_changed_or_missing_model_is_an_error_that_names_it(project):
    path = cached(project, MODEL.model)
    damage(path)
    with opened(project, "v0.3.0") as version, pytest.raises(RegistryError, match=MODEL.model):
        version.load_reader()
    path.unlink()
    with opened(project, "v0.3.0") as version, pytest.raises(RegistryError, match=f"{MODEL.model}: gone"):
        version.load_reader()


def test_a_model_is_held_to_the_hash_in_its_tag(project):
    event = Registry.open(project).history.version(ARTIFACT, "v0.3.0")
    document = event.evidence.as_json() | {"sha256": "0" * 64}
    tag(project, event.tag, json.dumps(document), event.tag)
    with opened(project, "v0.3.0") as version, pytest.raises(RegistryError, match="0" * 64):
        version.fetch_model()


def test_a_damaged_manifest_is_an_error_that_names_it(project):
    (project / MODEL.manifest).write_text('{"task": "strips"}')
    git(project, "commit", "-qam", "a damaged manifest")
    registry = Registry.open(project)
    document = registry.history.version(ARTIFACT, "v0.3.0").evidence.as_json() | {"version": "v0.4.0"}
    tag(project, f"{ARTIFACT}@v0.4.0", json.dumps(document))
    with opened(project, "v0.4.0") as version:
        for call in (version.read_manifest, version.load_reader):
            with pytest.raises(RegistryError, match=r"manifest\.json"):
                call()

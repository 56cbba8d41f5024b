"""`registry release`: what is in prod, small enough for git, and what it refuses."""

import dataclasses
import os
import shutil
from pathlib import Path

import onnx_models
import pytest
import registry_project as made
import wide_models
from registry_project import ARTIFACT, MODEL, answer, cached, damage, done, git, lift, package, refused, sha256, tag

from pipeline.core.errors import RegistryError
from pipeline.core.files import read_json, write_json
from pipeline.core.images import STRIP_NAMES, STRIP_SHAPE
from pipeline.records.manifest import Manifest
from pipeline.records.release import Release
from pipeline.registry import release
from pipeline.registry.operations import Registry
from pipeline.registry.version import RegisteredVersion
from pipeline.runtime.reader import load_readers
from pipeline.runtime.releases import expect_unchanged

TOPS = {"even": 0.0, "coarse": 1e3, "steep": 1e5}
"""By strategy, a weight that decides how small its file gets: eight bits, half precision, or not at all."""
WEIGHTS = {"even": "int8", "coarse": "float16", "steep": "float32"}


@pytest.fixture(scope="session")
def gallery_base(tmp_path_factory):
    """v0.1.0 is in every stage, with three further strategies beside it."""
    with made.slow_clock():
        folder = made.create(tmp_path_factory.mktemp("gallery") / "project")
        document = read_json(folder / "dvc.yaml")
        document["stages"]["package"]["outs"].append(MODEL.strategies)
        write_json(folder / "dvc.yaml", document)
        (folder / MODEL.strategies).mkdir(parents=True)
        (folder / MODEL.strategies / "empty").touch()
        package(folder, made.GOOD)
        (folder / MODEL.strategies / "empty").unlink()
        for name, top in TOPS.items():
            add(folder, name, wide_models.widened(onnx_models.band_model(STRIP_SHAPE, 5, len(STRIP_NAMES)), top=top))
        target = folder / MODEL.strategies / made.STRATEGY
        target.mkdir()
        for path in (folder / MODEL.model, folder / MODEL.manifest):
            shutil.copyfile(path, target / path.name)
        made.commit(folder, "strategies beside the model")
        done(folder, "register", ARTIFACT)
        lift(folder, "v0.1.0")
    return folder


@pytest.fixture
def gallery(gallery_base, tmp_path):
    return shutil.copytree(gallery_base, tmp_path / "project", symlinks=True)


def add(folder, name, content):
    target = folder / MODEL.strategies / name
    target.mkdir()
    (target / "model.onnx").write_bytes(content)
    given = Manifest.read(folder / MODEL.manifest)
    model = {"file": "model.onnx", "sha256": sha256(target / "model.onnx"), "bytes": len(content)}
    write_json(target / "manifest.json", given.as_json() | {"strategy": name, "model": model})


def test_a_release_has_what_is_in_prod_with_its_version_and_both_hashes(gallery):
    answer(gallery, "release")
    evidence = Registry.open(gallery).history.version(ARTIFACT, "v0.1.0").evidence
    reader = load_readers(gallery / "release")["strips"]
    manifest = reader.manifest
    assert (manifest.version, manifest.released.artifact) == ("v0.1.0", ARTIFACT)
    assert manifest.released.sha256 == evidence.sha256
    assert manifest.model.sha256 == sha256(gallery / "release/strips/model.onnx")
    listed = Release.read(gallery / "release/release.json")
    task = listed.tasks["strips"]
    assert (listed.stage, task.artifact, task.version, task.revision) == (
        "prod",
        ARTIFACT,
        "v0.1.0",
        git(gallery, "rev-parse", "HEAD"),
    )
    assert task.model.original.sha256 == evidence.sha256
    assert task.model.released == manifest.model
    assert set(task.model.valid) == set(made.SUITES)
    assert git(gallery, "status", "--porcelain") == "?? release/", "git tracks it"


def test_the_weights_are_as_small_as_the_accuracy_allows(gallery):
    task = answer(gallery, "release")["tasks"]["strips"]
    assert {name: each["weights"] for name, each in task["strategies"].items()} == WEIGHTS
    listed = Release.read(gallery / "release/release.json").tasks["strips"]
    for name, each in listed.strategies.items():
        before, after = each.accuracies
        assert before - after <= release.TOLERANCE
        assert before > 0.9, "they read well, so that equal means something"
        manifest = Manifest.read(gallery / f"release/strips/strategies/{name}/manifest.json")
        assert (manifest.released.weights, manifest.version) == (WEIGHTS[name], None)
    sizes = {name: each.released.bytes for name, each in listed.strategies.items()}
    assert sizes["even"] < sizes["coarse"] < sizes["steep"] == listed.strategies["steep"].original.bytes
    assert made.STRATEGY not in listed.strategies, "it is the model of the task"


def test_the_smallest_strategies_come_first_and_the_others_are_named(gallery):
    registry = Registry.open(gallery)
    full = release.release(registry, "prod", gallery / "release").tasks["strips"].strategies
    sizes = {name: each.released.bytes for name, each in full.items()}
    rest = release._RESERVED + 20_000
    for limit, reason in (
        (rest + sizes["even"] + sizes["coarse"], "are left"),
        (rest + sizes["even"] + sizes["coarse"] + sizes["steep"] // 2, "float32"),
    ):
        task = release.release(registry, "prod", gallery / "release", limit=limit).tasks["strips"]
        assert set(task.strategies) == {"even", "coarse"}
        assert set(task.left_out) == {"steep"}
        assert reason in task.left_out["steep"]
        assert not (gallery / "release/strips/strategies/steep").exists()
        size = sum(path.stat().st_size for path in (gallery / "release").rglob("*") if path.is_file())
        assert size <= limit
    rendered = done(gallery, "release")
    assert "strip-reader@v0.1.0, slice" in rendered


def test_models_that_are_too_large_together_are_no_release(gallery):
    with pytest.raises(RegistryError, match=r"strips have .* MB together"):
        release.release(Registry.open(gallery), "prod", gallery / "release", limit=release._RESERVED + 1000)
    assert not (gallery / "release").exists()


def test_the_same_stage_gives_the_same_release_again(gallery):
    first = answer(gallery, "release")
    assert answer(gallery, "release") == first
    expect_unchanged(gallery / "release")


def test_a_version_without_further_strategies_is_released_alone(project):
    task = answer(project, "release", "--out", "shipped")["tasks"]["strips"]
    assert (task["version"], task["strategies"], task["left_out"]) == ("v0.1.0", {}, {})
    assert load_readers(project / "shipped")["strips"].manifest.version == "v0.1.0"


@pytest.mark.parametrize("which", ["model", "strategy", "manifest"])
def test_nothing_is_released_where_a_file_was_changed(gallery, which):
    done(gallery, "release")
    before = sha256(gallery / "release/release.json")
    # The workspace shares no file with the cache.
    shutil.rmtree(gallery / "artifacts/strips/strategies")
    path = {
        "model": MODEL.model,
        "strategy": f"{MODEL.strategies}/even/model.onnx",
        "manifest": f"{MODEL.strategies}/even/manifest.json",
    }[which]
    if which == "model":
        damage(cached(gallery, path, "v0.1.0"))
    else:
        revision = git(gallery, "rev-parse", "HEAD")
        with RegisteredVersion.open(*opened(gallery)) as version:
            assert version.storage.revision == revision
            md5 = version.storage.md5(path)
        damage(gallery / ".dvc/cache/files/md5" / md5[:2] / md5[2:])
    assert path in refused(gallery, "release")
    assert sha256(gallery / "release/release.json") == before


def opened(folder):
    registry = Registry.open(folder)
    event = registry.history.version(ARTIFACT, "v0.1.0")
    return registry.repository, registry.artifacts[ARTIFACT], event


def test_strategies_are_those_of_the_dvc_lock_that_the_tag_names(gallery):
    with RegisteredVersion.open(*opened(gallery)) as version:
        assert version.strategies() == sorted([*TOPS, made.STRATEGY])
        other = version.evidence.model_copy(update={"dvc_lock_sha256": "0" * 64})
        with pytest.raises(RegistryError, match=r"dvc\.lock"):
            dataclasses.replace(version, evidence=other).strategies()


def test_what_no_decision_allows_is_not_released(project):
    tag(project, f"{ARTIFACT}#prod#9", "by hand", f"{ARTIFACT}@v0.2.0", date="2036-01-01T00:00:00Z")
    assert "without a decision" in refused(project, "release")
    assert not (project / "release").exists()


def test_an_empty_stage_is_no_release(tmp_path):
    folder = made.create(tmp_path / "project")
    assert "prod" in refused(folder, "release")


@pytest.mark.parametrize("name", ["index.html", "strips/notes.txt", "strips/strategies/even/extra.bin", ".hidden"])
def test_nothing_foreign_is_lost_to_a_release(project, name):
    done(project, "release")
    path = project / "release" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    assert name in refused(project, "release", code=2)
    assert path.read_text() == "mine"


def test_the_first_foreign_file_ends_the_look_at_a_folder(project, tmp_path, monkeypatch):
    """It may be `/`, and its files millions."""
    out, listed, scan = tmp_path / "out", [], os.scandir
    (out / "zz").mkdir(parents=True)
    (out / "mine.txt").write_text("mine")
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(Path(path)) or scan(path))
    assert "mine.txt" in refused(project, "release", "--out", str(out), code=2)
    assert out in listed
    assert out / "zz" not in listed


def test_a_link_and_a_file_are_not_replaced(project, tmp_path):
    done(project, "release")
    (project / "release/strips/strategies").symlink_to(tmp_path)
    assert "strategies" in refused(project, "release", code=2)
    assert "params.yaml" in refused(project, "release", "--out", "params.yaml", code=2)

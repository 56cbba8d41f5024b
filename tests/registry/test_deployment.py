"""What `deploy` writes, what it refuses to overwrite, and the bento of a stage."""

import re
import shutil
import tarfile

import gto.api
import pytest
import registry_project as made
from registry_project import ARTIFACT, MODEL, answer, cached, damage, done, git, refused, sha256, tag
from ruamel import yaml

from pipeline.core.files import read_json, write_json
from pipeline.records.manifest import Manifest
from pipeline.registry.operations import Registry
from pipeline.runtime.reader import load_readers


def test_what_is_deployed_is_what_is_in_the_stage_with_its_version(project):
    deployed = answer(project, "deploy", "prod")
    report = {"out": "deploy/prod", "versions": {ARTIFACT: "v0.1.0"}}
    assert deployed == report | {"unchecked": {}, "deprecated": {}, "bento": None}
    manifest = load_readers(project / "deploy/prod")["strips"].manifest
    evidence = Registry.open(project).history.version(ARTIFACT, "v0.1.0").evidence
    assert (manifest.version, manifest.model.sha256) == ("v0.1.0", evidence.sha256)
    assert Manifest.read(project / MODEL.manifest).model.sha256 != evidence.sha256
    answer(project, "deploy", "staging")
    assert git(project, "status", "--porcelain") == ""


def test_the_manifest_is_that_of_the_package_but_for_its_version(project):
    done(project, "deploy", "dev")
    deployed = Manifest.read(project / "deploy/dev/strips/manifest.json")
    assert deployed.model_copy(update={"version": None}) == Manifest.read(project / MODEL.manifest)


def test_a_bento_of_a_stage_names_hash_and_version(project, tmp_path):
    for name in ("bentofile.yaml", "requirements/serve.lock", "docs/serving.md"):
        (project / name).parent.mkdir(exist_ok=True)
        shutil.copy(made.ROOT / name, project / name)
    deployed = answer(project, "deploy", "prod", "--bento", str(tmp_path / "prod.bento"))
    assert re.fullmatch(r"reader:[0-9a-f]{8}-strips-0\.1\.0", deployed["bento"]), "as `bentoml list` shows it"
    with tarfile.open(tmp_path / "prod.bento") as archive:
        labels = yaml.YAML(typ="safe").load(archive.extractfile("./bento.yaml"))["labels"]
    assert labels["strips.version"] == "v0.1.0"
    assert labels["strips.sha256"] == sha256(project / "deploy/prod/strips/model.onnx")


def test_nothing_is_deployed_where_a_model_was_changed(project):
    done(project, "deploy", "prod")
    before = (project / "deploy/prod/strips/model.onnx").read_bytes()
    damage(cached(project, MODEL.model, "v0.1.0"))
    assert MODEL.model in refused(project, "deploy", "prod")
    assert (project / "deploy/prod/strips/model.onnx").read_bytes() == before


@pytest.mark.parametrize(
    ("out", "kept", "named"),
    [
        ("../srv", "../srv/index.html", "index.html"),
        ("deploy", "deploy/staging/strips/model.onnx", "staging"),
        ("deploy/prod", "deploy/prod/strips/notes.txt", "strips/notes.txt"),
        ("linked", "../srv/index.html", "index.html"),
        (".", "params.yaml", ".dvc"),
        ("params.yaml", "params.yaml", "params.yaml"),
    ],
)
def test_nothing_foreign_is_lost_to_a_deployment(project, out, kept, named):
    (project / "../srv").mkdir()
    (project / "linked").symlink_to("../srv")
    (project / kept).parent.mkdir(parents=True, exist_ok=True)
    with (project / kept).open("a") as file:
        file.write("\n")
    before = (project / kept).read_bytes()
    assert named in refused(project, "deploy", "prod", "--out", out, code=2)
    assert (project / kept).read_bytes() == before


def test_a_deployment_replaces_its_own_and_takes_an_empty_folder(project, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").symlink_to("empty")
    for _ in range(2):
        done(project, "deploy", "prod", "--out", str(tmp_path / "linked"))
        assert load_readers(tmp_path / "empty")["strips"].manifest.version == "v0.1.0"
    assert str(tmp_path / "empty") in refused(project, "deploy", "prod", "--bento", str(tmp_path / "empty"), code=2)
    assert (tmp_path / "empty/strips/model.onnx").is_file()


def test_of_two_artifacts_the_deprecated_one_is_left_out(project):
    entries = {ARTIFACT: {"path": MODEL.model}, "other-reader": {"path": "artifacts/other/model.onnx"}}
    write_json(project / "dvc.yaml", read_json(project / "dvc.yaml") | {"artifacts": entries})
    for name in ("other-reader@v0.1.0", "other-reader#prod#1"):
        tag(project, name, "by hand", f"{ARTIFACT}@v0.1.0")
    assert "other-reader@v0.1.0" in refused(project, "deploy", "prod")
    gto.api.deprecate(str(project), "other-reader", simple=True)
    deployed = answer(project, "deploy", "prod")
    assert deployed["versions"] == {ARTIFACT: "v0.1.0"}
    assert deployed["deprecated"] == {"other-reader": "other-reader@deprecated"}

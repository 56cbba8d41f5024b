"""A released folder is used as it was released, or not at all."""

import shutil

import onnx_models
import pytest
import releases

from pipeline.core.errors import DataError
from pipeline.core.files import read_json, write_json
from pipeline.runtime.reader import load_manifests, load_readers
from pipeline.runtime.releases import ARTIFACTS_VARIABLE, models_folder


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return releases.make(tmp_path_factory.mktemp("releases") / "release", "strips", "mnist")


@pytest.fixture
def release(made, tmp_path):
    return shutil.copytree(made, tmp_path / "release")


def test_a_release_is_a_folder_of_packaged_models(release):
    readers = load_readers(release)
    assert set(readers) == {"strips", "mnist"}
    assert readers["strips"].manifest.released.artifact == "strips-reader"


def test_hidden_files_are_left_alone(release):
    (release / ".DS_Store").write_text("x")
    (release / "strips/.directory").write_text("x")
    (release / ".cache").mkdir()
    (release / ".cache/model").write_text("x")
    assert set(load_manifests(release)) == {"strips", "mnist"}


def changed(name):
    def change(folder):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return change


def lowered(folder):
    """The threshold of the manifest is lower: the model still has the hash that the manifest names."""
    manifest = read_json(folder / "strips/manifest.json")
    manifest["coverage"]["threshold"] = 0.1
    write_json(folder / "strips/manifest.json", manifest)


def replaced(folder):
    """Another model with its own manifest."""
    shutil.rmtree(folder / "mnist")
    shutil.copytree(folder / "strips/strategies/other", folder / "mnist")


def linked(folder):
    (folder / "more").symlink_to(folder / "strips")


def listed(folder):
    document = read_json(folder / "release.json")
    document["files"]["strips/model.onnx"] = "0" * 64
    write_json(folder / "release.json", document)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(changed("strips/model.onnx"), "strips/model.onnx", id="a model"),
        pytest.param(changed("strips/strategies/other/model.onnx"), "other/model.onnx", id="a strategy's model"),
        pytest.param(lowered, "strips/manifest.json", id="a threshold"),
        pytest.param(replaced, "mnist/", id="another model and its manifest"),
        pytest.param(lambda folder: shutil.rmtree(folder / "mnist"), "mnist/manifest.json", id="a task is gone"),
        pytest.param(lambda folder: (folder / "strips/model.onnx").unlink(), "strips/model.onnx", id="a file is gone"),
        pytest.param(lambda folder: (folder / "mnist/more.txt").touch(), "mnist/more.txt", id="a file more"),
        pytest.param(linked, "more", id="a link"),
        pytest.param(listed, "strips/model.onnx", id="another hash in the list"),
        pytest.param(lambda folder: (folder / "release.json").write_text("{"), "release.json", id="a damaged list"),
        pytest.param(lambda folder: (folder / "release.json").write_text("{}"), "release.json", id="an empty list"),
    ],
)
def test_a_changed_release_is_refused_in_one_line(release, change, named):
    change(release)
    for load in (load_manifests, load_readers):
        with pytest.raises(DataError, match=named) as refused:
            load(release)
        assert "`git checkout release`" in str(refused.value)
        assert "\n" not in str(refused.value)


def test_models_of_the_pipeline_go_before_released_ones(tmp_path, monkeypatch):
    monkeypatch.delenv(ARTIFACTS_VARIABLE, raising=False)
    with pytest.raises(DataError, match=r"artifacts and .*release: no packaged model; run `make repro`"):
        models_folder(tmp_path)
    releases.make(tmp_path / "release", "strips")
    packaged = onnx_models.package(tmp_path / "artifacts")
    (packaged / "model.onnx").rename(packaged / "elsewhere")
    assert models_folder(tmp_path) == tmp_path / "release", "a clone has manifests in artifacts/, and no model"
    (packaged / "elsewhere").rename(packaged / "model.onnx")
    assert models_folder(tmp_path) == tmp_path / "artifacts"


def test_a_named_folder_is_taken_alone(tmp_path, monkeypatch):
    releases.make(tmp_path / "release", "strips")
    monkeypatch.setenv(ARTIFACTS_VARIABLE, str(tmp_path / "named"))
    with pytest.raises(DataError, match="named: no packaged model"):
        models_folder(tmp_path)
    onnx_models.package(tmp_path / "named")
    assert models_folder(tmp_path / "other") == tmp_path / "named"

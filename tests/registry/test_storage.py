"""The files of a revision: from the cache, from the remote storage, each held to its MD5."""

import errno
import importlib.util
import resource
import shutil
import subprocess
import sys

import pytest
import registry_project as made
from dvc.repo import Repo
from registry_project import ARTIFACT, BETTER, GOOD, MODEL, answer, cached, damage, done, git, lift, package, refused

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.core.files import digest
from pipeline.registry.operations import Registry
from pipeline.registry.storage import Storage, push


def at_head(project):
    return Storage.at(project, Registry.open(project).repository.revision())


def test_a_fetched_file_has_its_md5(base, tmp_path):
    path = MODEL.pictures("plain", "gate")
    with at_head(base) as storage:
        assert digest(storage.fetch(path, tmp_path / "folder/gate.npz"), "md5") == storage.md5(path)


def test_a_file_of_an_earlier_revision_is_that_of_the_revision(base, tmp_path):
    first = Registry.open(base).history.version(ARTIFACT, "v0.1.0")
    with Storage.at(base, first.revision) as storage:
        assert digest(storage.fetch(MODEL.model, tmp_path / "model.onnx")) == first.evidence.sha256


@pytest.mark.parametrize("place", ["tags", "heads", "remotes/origin"])
def test_a_ref_that_is_named_like_a_commit_is_not_opened_for_it(project, place):
    """DVC takes a name first: it would read the pictures and readings of another commit."""
    first, other = (git(project, "rev-parse", f"{ARTIFACT}@{name}^{{commit}}") for name in ("v0.1.0", "v0.3.0"))
    ref = f"refs/{place}/{first}"
    git(project, "update-ref", ref, other)
    with pytest.raises(RegistryError, match=ref), Storage.at(project, first):
        pass
    assert ref in refused(project, "deploy", "prod")
    git(project, "update-ref", "-d", ref)
    done(project, "deploy", "prod")


def test_nothing_is_left_of_a_file_that_was_changed(project, tmp_path):
    path = cached(project, MODEL.model)
    damage(path)
    with at_head(project) as storage:
        for message in (MODEL.model, "gone"):
            with pytest.raises(RegistryError, match=message):
                storage.fetch(MODEL.model, tmp_path / "model.onnx")
            assert not (tmp_path / "model.onnx").exists()
            path.unlink(missing_ok=True)


def test_a_disk_without_room_is_not_taken_for_a_file_that_is_gone(base, tmp_path):
    target = tmp_path / "model.onnx"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with at_head(base) as storage:
        size = storage.fetch(MODEL.model, target).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, before[1]))
        try:
            with pytest.raises(OSError, match=str(target)) as refusal:
                storage.fetch(MODEL.model, target)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refusal.value.errno == errno.EFBIG
    assert not target.exists()


def test_a_file_that_dvc_does_not_track_is_named(base, tmp_path):
    with at_head(base) as storage:
        for path in ("data/strips/plain/other.npz", MODEL.manifest):
            with pytest.raises(RegistryError, match=path):
                storage.fetch(path, tmp_path / "file")


def test_a_folder_without_dvc_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="DVC"), Storage.at(tmp_path, "HEAD"):
        pass


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's use of pygtrie.
def test_a_version_outlives_the_cache_where_there_is_remote_storage(tmp_path):
    folder = made.create(tmp_path / "project")
    package(folder, GOOD)
    with Repo(str(folder)) as repo, repo.config.edit() as config:
        config["remote"]["store"] = {"url": str(tmp_path / "store")}
        config["core"]["remote"] = "store"
    assert answer(folder, "register", ARTIFACT)["evidence"]["remote"] == "store"
    lift(folder, "v0.1.0", "staging")
    package(folder, BETTER)
    done(folder, "register", ARTIFACT)
    shutil.rmtree(folder / ".dvc/cache")
    # The first version's commit has no remote storage configured: the configuration of the workspace counts.
    lift(folder, "v0.2.0", "staging")
    results = answer(folder, "verify", f"{ARTIFACT}@v0.1.0")[f"{ARTIFACT}@v0.1.0"]
    assert all(result["holds"] for result in results)
    shutil.rmtree(tmp_path / "store")
    assert "gone" in refused(folder, "promote", f"{ARTIFACT}@v0.2.0", "prod")


def test_without_remote_storage_nothing_is_pushed(base):
    assert push(base, [MODEL.model]) is None


def test_where_the_cache_is_linked_a_file_is_not_taken_for_the_one_before(project, tmp_path):
    """DVC keeps an existing file where it links: every fetch to one name gave the first file."""
    with (project / ".dvc/config.local").open("a") as file:
        file.write('[cache]\n    type = "hardlink,copy"\n')
    with at_head(project) as storage:
        for suite in ("plain", "blanks"):
            path = MODEL.pictures(suite, "gate")
            assert digest(storage.fetch(path, tmp_path / "one.npz"), "md5") == storage.md5(path)


@pytest.mark.parametrize(
    ("address", "code", "named"),
    [
        ("s3://bucket/folder", 2, "requires 'dvc-s3' to be installed; make extras"),
        ("http://127.0.0.1:9/folder", 4, "Cannot connect to host 127.0.0.1:9"),
    ],
)
def test_a_remote_without_its_plugin_or_out_of_reach_is_one_line(project, address, code, named):
    if importlib.util.find_spec("dvc_s3") and code == 2:
        pytest.skip("the plugin is installed")
    package(project, 8.6)
    with Repo(str(project)) as repo, repo.config.edit() as config:
        config["remote"]["far"] = {"url": address}
        config["core"]["remote"] = "far"
    git(project, "commit", "-qam", "a remote")
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.registry", "register", ARTIFACT],
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == code, ended.stderr
    assert named in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert git(project, "tag", "--list", f"{ARTIFACT}@v0.4.0") == ""

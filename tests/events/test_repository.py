"""A clone and the repository that it shares: tags are created once, and fetched tags are the registry's alone."""

import os
import shutil

import pytest
from registry_project import ARTIFACT, answer, done, git, in_stage, refused, run, tag

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.events.repository import Repository, TagExists
from pipeline.registry import operations
from pipeline.registry.operations import Registry


def test_a_tag_is_created_once_and_later_than_the_last(project):
    repository = Repository.at(project)
    last = repository.tags()[-1]
    after = last.time + 10_000
    repository.create_tag("x@v0.1.0", last.revision, "a message: ü\n", after=after)
    created = {each.name: each for each in repository.tags()}["x@v0.1.0"]
    assert (created.revision, created.who, created.time) == (last.revision, "Ada <ada@example.org>", after + 1)
    assert created.message == "a message: ü\n"
    with pytest.raises(TagExists, match=r"x@v0\.1\.0"):
        repository.create_tag("x@v0.1.0", last.revision, "another\n")


def test_lightweight_tags_are_ignored(project):
    before = Repository.at(project).tags()
    git(project, "tag", "x@v0.1.0")
    assert Repository.at(project).tags() == before


def test_a_file_at_a_revision_is_not_that_of_the_workspace(project):
    repository = Repository.at(project)
    committed = (project / "dvc.lock").read_text()
    (project / "dvc.lock").write_text("changed")
    assert repository.text("HEAD", "dvc.lock") == committed
    assert repository.changed("dvc.lock", "params.yaml") == ["dvc.lock"]
    with pytest.raises(RegistryError, match=r"none\.txt"):
        repository.text("HEAD", "none.txt")


def test_a_clone_without_a_commit_is_told_to_make_one(tmp_path):
    git(tmp_path, "init", "-q")
    with pytest.raises(RegistryError, match="HEAD: no commit of this name here; `git commit`"):
        Repository.at(tmp_path).revision()


def test_only_the_top_folder_of_a_clone_is_one(project, tmp_path):
    for folder in (tmp_path, project / "artifacts"):
        with pytest.raises(ConfigurationError, match=str(folder)):
            Repository.at(folder)


def test_why_git_cannot_read_a_clone_is_said(project, monkeypatch, tmp_path):
    """Not "no git repository" where there is one."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "empty"))
    with (project / ".git/config").open("a") as file:
        file.write("[core\n")
    with pytest.raises(ConfigurationError, match="bad config line"):
        Repository.at(project)
    if os.geteuid() == 0:
        os.chown(project, 12345, 12345)
        os.chown(project / ".git", 12345, 12345)
        assert f"safe.directory {project}`" in refused(project, "list", code=2)
    with pytest.raises(ConfigurationError, match="no git repository"):
        Repository.at(tmp_path)


def test_between_machines_the_shared_repository_decides(clones):
    ours, theirs, shared = clones
    git(theirs, "config", "user.name", "Grace")
    opened = Registry.open(ours, fetch=True)
    done(theirs, "promote", f"{ARTIFACT}@v0.1.0", "dev")
    with pytest.raises(RegistryError, match="Grace"):
        operations.promote(opened, f"{ARTIFACT}@v0.1.0", "dev")
    assert in_stage(ours, "dev") == "v0.1.0", "what was decided there is known here now"
    created = f"{ARTIFACT}#dev#4"
    assert git(ours, "rev-parse", created) == git(theirs, "rev-parse", created)
    shutil.rmtree(shared)
    assert "git fetch origin" in refused(ours, "promote", f"{ARTIFACT}@v0.1.0", "prod")
    assert in_stage(ours) == "v0.3.0", "nobody else can know it, so nothing is done"
    git(ours, "config", "registry.remote", "elsewhere")
    assert "elsewhere" in refused(ours, "promote", f"{ARTIFACT}@v0.1.0", "prod", code=2)


def test_a_rollback_on_one_machine_counts_on_another(clones):
    ours, theirs, _ = clones
    assert answer(theirs, "rollback", ARTIFACT, "prod")["version"] == "v0.1.0"
    before = answer(ours, "gate", f"{ARTIFACT}@v0.2.0", "prod", "--offline", code=4)
    assert before["champion"] == "v0.3.0"
    assert answer(ours, "deploy", "prod", "--offline")["versions"] == {ARTIFACT: "v0.3.0"}
    assert answer(ours, "gate", f"{ARTIFACT}@v0.2.0", "prod", code=4)["champion"] == "v0.1.0"
    assert answer(ours, "deploy", "prod")["versions"] == {ARTIFACT: "v0.1.0"}


def test_a_tag_of_others_may_be_moved_in_the_shared_repository(clones):
    ours, theirs, _ = clones
    for clone in (ours, theirs):
        git(clone, "tag", "-f", "nightly", f"{ARTIFACT}@v0.{1 + clones.index(clone)}.0^{{commit}}")
        git(clone, "push", "-q", "-f", "origin", "nightly")
    moved = git(ours, "rev-parse", "nightly")
    done(theirs, "rollback", ARTIFACT, "prod")
    refused(ours, "rollback", ARTIFACT, "prod")
    done(ours, "promote", f"{ARTIFACT}@v0.1.0", "dev")
    assert git(ours, "rev-parse", "nightly") == moved, "it is not the registry's"


@pytest.mark.parametrize("name", [f"{ARTIFACT}@v0.3.0", f"{ARTIFACT}#prod#2", f"refused/{ARTIFACT}/prod/1"])
def test_a_tag_of_the_registry_that_was_moved_in_the_shared_repository_is_named(clones, name):
    ours, theirs, _ = clones
    for clone in (theirs, ours):
        tag(clone, name, clone.name, f"{ARTIFACT}@v0.2.0")
    git(theirs, "push", "-q", "-f", "origin", name)
    for command in (("promote", f"{ARTIFACT}@v0.1.0", "dev"), ("deploy", "prod")):
        assert f"[rejected] {name} -> {name}" in refused(ours, *command)
    assert f"[rejected] {name} -> {name}" in run(ours, "list")[2]


def test_a_password_in_the_address_of_the_shared_repository_is_not_kept(clones):
    """What was seen stays known where the password is another one."""
    ours, _, shared = clones
    git(ours, "config", f"url.{shared}.insteadOf", "https://ada:secret@example.org/shared.git")
    git(ours, "config", "--add", f"url.{shared}.insteadOf", "https://ada:newer@example.org/shared.git")
    git(ours, "remote", "set-url", "origin", "https://ada:secret@example.org/shared.git")
    done(ours, "list")
    seen = (ours / ".git/registry-seen.json").read_text()
    assert "https://ada@example.org/shared.git" in seen
    assert "secret" not in seen
    git(shared, "update-ref", "-d", f"refs/tags/{ARTIFACT}#prod#2")
    git(ours, "remote", "set-url", "origin", "https://ada:newer@example.org/shared.git")
    assert "vanished" in refused(ours, "deploy", "prod")

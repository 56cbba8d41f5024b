"""The one runner of git: its environment, its output, and how it fails."""

import subprocess

import pytest

from pipeline.core.errors import ConfigurationError
from pipeline.project import git


@pytest.fixture
def clone(tmp_path):
    subprocess.run(["git", "init", "-q", "-b", "main", tmp_path / "clone"], check=True)
    return tmp_path / "clone"


def test_it_runs_in_the_folder_and_returns_output_and_code(clone):
    assert git.output("rev-parse", "--show-toplevel", folder=clone) == str(clone.resolve())
    result = git.run("rev-parse", "--verify", "HEAD", folder=clone)
    assert result.code == 128
    assert result.reason == "Needed a single revision"


def test_a_failure_is_a_configuration_error_with_the_reason_of_git(clone):
    with pytest.raises(ConfigurationError, match="git rev-parse --verify HEAD: Needed a single revision"):
        git.output("rev-parse", "--verify", "HEAD", folder=clone)


def test_a_setting_is_its_value_or_none(clone):
    subprocess.run(["git", "config", "some.key", "value"], cwd=clone, check=True)
    assert git.setting("some.key", clone) == "value"
    assert git.setting("other.key", clone) is None


def test_variables_that_name_another_repository_do_not_count(clone, tmp_path, monkeypatch):
    """As in a hook, where git sets them for its own calls."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert git.output("rev-parse", "--show-toplevel", folder=clone) == str(clone.resolve())


def test_language_and_colours_of_the_user_do_not_count(clone, monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    subprocess.run(["git", "config", "color.ui", "always"], cwd=clone, check=True)
    (clone / "zwölf.txt").write_text("12")
    assert git.output("status", "--porcelain", folder=clone) == "?? zwölf.txt"
    assert git.environment()["LC_ALL"] == "C"


def test_bytes_that_are_not_utf_8_are_replaced(clone):
    blob = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=clone, input=b"caf\xe9\r\n", capture_output=True, check=True
    )
    assert git.run("cat-file", "blob", blob.stdout.decode().strip(), folder=clone).output == "caf\ufffd\r\n"


def test_standard_input_is_handed_on(clone):
    result = git.run("hash-object", "--stdin", folder=clone, stdin="")
    assert result.output.strip() == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_without_git_the_error_names_it(clone, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="git: no such command"):
        git.run("status", folder=clone)
    with pytest.raises(ConfigurationError, match="no such folder"):
        git.run("status", folder=clone / "gone")

"""The one runner of git: its environment, its output, and how it fails."""

import os
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


def test_a_folder_of_another_user_is_named_with_gits_remedy(clone, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "empty"))
    if os.geteuid() == 0:
        for path in (clone, clone / ".git"):
            os.chown(path, 12345, 12345)
    else:
        # Git's own test suite sets this.
        monkeypatch.setattr(git, "_SET", git._SET | {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})
    remedy = f"`git config --global --add safe.directory {clone}`"
    result = git.run("status", folder=clone)
    assert result.untrusted == str(clone)
    assert "dubious ownership" in result.reason
    assert remedy in result.reason
    with pytest.raises(ConfigurationError) as caught:
        git.output("rev-parse", "HEAD", folder=clone)
    assert remedy in str(caught.value)
    assert "at least one commit" not in str(caught.value)
    (tmp_path / "empty").write_text(f"[safe]\n\tdirectory = {clone}\n")
    assert git.run("status", folder=clone).code == 0


def test_a_reason_is_one_line_without_control_characters(clone):
    assert git.Result(1, "", "remote: \x1b[31mno\nerror: \x1b[2Jfailed\nhint: x").reason == r"\x1b[2Jfailed"
    assert git.Result(1, "!\tx\t[remote rejected] (hook declined)\n", "error: failed to push").reason.endswith(
        "declined)"
    )
    assert git.Result(3, "", "").reason == "exit 3"


def test_objects_are_read_in_order_whatever_one_of_them_is(clone):
    names = [
        git.run("hash-object", "-w", "--stdin", folder=clone, stdin=text).output.strip()
        for text in ("a\n", "", "x" * 99)
    ]
    damaged = git.run("hash-object", "-w", "--stdin", folder=clone, stdin="damaged").output.strip()
    path = clone / ".git/objects" / damaged[:2] / damaged[2:]
    path.chmod(0o644)
    path.write_bytes(b"no zlib")
    wanted = [names[0], damaged, "0" * 40, names[1], names[2], names[0]]
    found = list(git.objects(wanted, 50, clone))
    assert [each and each.content for each in found] == [b"a\n", None, None, b"", None, b"a\n"]
    assert (found[4].kind, found[4].size) == ("blob", 99)
    assert [each and each.size for each in git.sizes(names, clone)] == [2, 0, 99]

"""A published folder: the old one or the new one, whatever happens, and readable for every user."""

import contextlib
import os
import signal
import stat
import sys
from pathlib import Path

import pytest
from file_trees import contents
from refusals import refuses

from pipeline.core.errors import ConfigurationError
from pipeline.project import folders

OLD, NEW = (
    {f"{task}/{name}": word for task in ("a", "b") for name in ("model", "manifest")} for word in (b"old", b"new")
)
EVENTS = ("open", "os.", "shutil.", "ctypes.")


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def publish(target, files):
    with folders.publishing(target) as new:
        write(new, files)


@pytest.fixture
def target(tmp_path):
    publish(tmp_path / "deploy/prod", OLD)
    return tmp_path / "deploy/prod"


def beside(target):
    return sorted(path.name for path in target.parent.iterdir())


def killed(act, at):
    """Whether a process that acts was killed at its event of this number: each call of the system is one or several."""
    process = os.fork()
    if not process:
        left = [at]

        def count(event, _):
            left[0] -= event.startswith(EVENTS)
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            act()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def test_a_kill_at_every_point_leaves_the_old_folder_or_the_new_one(target):
    found, at = [], 0
    while True:
        at += 1
        if not killed(lambda: publish(target, NEW), at):
            break
        found.append(contents(target))
        assert found[-1] in (OLD, NEW), at
        if found[-1] == NEW:
            publish(target, OLD)
            assert beside(target) == ["prod"], "and the next one removes what it left"
    assert at > 40
    assert OLD in found
    assert NEW in found
    assert contents(target) == NEW


def test_a_reader_never_meets_a_missing_or_mixed_folder(target):
    process = os.fork()
    if not process:
        with contextlib.suppress(BaseException):
            for turn in range(60):
                publish(target, (NEW, OLD)[turn % 2])
        os._exit(0)
    seen = set()
    while not os.waitpid(process, os.WNOHANG)[0]:
        # A folder that is open stays what it was while another takes its name; listing it may meet its removal.
        place = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(FileNotFoundError):
            words = []
            for name in OLD:
                file = os.open(name, os.O_RDONLY, dir_fd=place)
                words.append(os.read(file, 9))
                os.close(file)
            seen.add(tuple(words))
        os.close(place)
    assert seen <= {(b"old",) * 4, (b"new",) * 4}
    assert seen


@pytest.mark.parametrize("umask", [0o077, 0o777, 0o000])
def test_every_user_can_read_it_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        if umask == 0o777 and os.geteuid():
            pytest.skip("only root can write to a folder that nobody may enter")
        publish(tmp_path / "deploy/prod", OLD)
    finally:
        os.umask(before)
    modes = {
        path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "deploy", *(tmp_path / "deploy").rglob("*"))
    }
    assert modes == {path: 0o644 if path.endswith(("model", "manifest")) else 0o755 for path in modes}
    assert len(modes) == 8


def test_of_two_processes_that_publish_a_new_folder_at_once_neither_fails(target, monkeypatch):
    """The one that is later replaces what the other has published since it looked."""
    monkeypatch.setattr(Path, "exists", lambda path: False)
    publish(target, NEW)
    assert contents(target) == NEW
    assert beside(target) == ["prod"]


def test_an_error_in_the_block_leaves_everything_as_it_was(target):
    with contextlib.suppress(KeyError), folders.publishing(target) as new:
        write(new, NEW)
        raise KeyError
    assert contents(target) == OLD
    assert beside(target) == ["prod"]


def test_an_error_leaves_no_empty_folders_above(tmp_path):
    (tmp_path / "there").mkdir()
    with contextlib.suppress(ZeroDivisionError), folders.publishing(tmp_path / "there/deploy/eu/prod") as new:
        write(new, NEW)
        raise ZeroDivisionError
    assert contents(tmp_path) == {}
    assert not any((tmp_path / "there").iterdir())


def test_an_empty_folder_is_replaced_and_the_folder_of_a_running_process_stays(tmp_path):
    (tmp_path / "prod").mkdir()
    (tmp_path / f".prod.{os.getppid()}.partial").mkdir()
    (tmp_path / ".prod.notes.partial").mkdir()
    publish(tmp_path / "prod", NEW)
    assert contents(tmp_path / "prod") == NEW
    assert beside(tmp_path / "prod") == [f".prod.{os.getppid()}.partial", ".prod.notes.partial", "prod"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
def test_a_file_system_that_cannot_exchange_folders_is_named(target):
    with pytest.raises(OSError, match="/proc"):
        folders.exchange(target, target.parent / "missing/../../../proc/self/fd")
    with refuses(ConfigurationError, target, "in one step"):
        folders._put(target.with_name("prod"), target / "a")

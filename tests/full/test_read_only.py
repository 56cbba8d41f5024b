"""The project, the cache, the home folder or the temporary folder is read-only: it works, or says so in one line."""

import shlex
import shutil
import sys

import numpy as np
import pytest
import registry_project as made
import tiny_project
import yaml
from full_outcomes import expect_one_line, files, report
from PIL import Image
from registry_project import ARTIFACT, GOOD, package
from small_disks import needs_mounts, read_only

pytestmark = [pytest.mark.full, needs_mounts]

PLACES = ("project", "cache", "home", "temporary")
HARMLESS = {"home", "temporary"}
"""Places that no stage needs to write to: it works without."""


@pytest.fixture(params=PLACES)
def place(request):
    return request.param


def surroundings(folder, project, place):
    """What is read-only, and the environment."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    named = {
        "project": project,
        "cache": project / ".dvc/cache",
        "home": folder / "home",
        "temporary": folder / "tmp",
    }
    return named[place], {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}


def test_stages(tiny, tmp_path, place, seen, subtests):
    project = shutil.copytree(tiny, tmp_path / "project", symlinks=True)
    closed, environment = surroundings(tmp_path, project, place)
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    for name, stage in lock.items():
        outs = [out["path"] for out in stage["outs"] if not tiny_project.is_measured(out["path"])]
        sound = {path: files(project / path) for path in outs}
        ended = tiny_project.run(project, *read_only(shlex.split(stage["cmd"]), closed), **environment)
        where = f"{name}, {place} read-only"
        seen["works" if ended.returncode == 0 else "stops"] += 1
        with subtests.test(stage=name):
            if ended.returncode:
                assert place not in HARMLESS, f"{where}: {ended.stderr[-2000:]}"
                expect_one_line(ended, where, codes=(2, 3))
            assert {path: files(project / path) for path in outs} == sound, where
    assert not list((tmp_path / "home").iterdir()) or place != "home"


def test_make_repro_doctor_and_read(tiny, tmp_path, place, capsys):
    project = shutil.copytree(tiny, tmp_path / "project", symlinks=True)
    closed, environment = surroundings(tmp_path, project, place)
    before, codes = tiny_project.done(project, "git", "status", "--porcelain"), {}
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "digit.png")
    for name, arguments in {
        "repro": ("repro",),
        "doctor": ("doctor",),
        "doctor --fsck": ("doctor", "--fsck"),
        "read": ("read", "--image", str(tmp_path / "digit.png")),
    }.items():
        command = (sys.executable, "-m", f"pipeline.commands.{arguments[0]}", *arguments[1:])
        ended = tiny_project.run(project, *read_only(command, closed), **environment)
        assert "Traceback" not in ended.stderr, f"{name}, {place} read-only: {ended.stderr[-3000:]}"
        codes[name] = ended.returncode
    assert codes["read"] == 0
    assert tiny_project.done(project, "git", "status", "--porcelain") == before
    tiny_project.done(project, sys.executable, "-m", "pipeline.commands.repro")
    report(capsys, f"commands, {place} read-only: {codes}")


def test_the_registry(tmp_path, place, seen):
    project = made.create(tmp_path / "project")
    package(project, GOOD)
    closed, environment = surroundings(tmp_path, project, place)

    def registry(*arguments, shut=True):
        command = (sys.executable, "-m", "pipeline.registry", *arguments)
        return tiny_project.run(project, *(read_only(command, closed) if shut else command), **environment)

    reference = f"{ARTIFACT}@v0.1.0"
    for arguments in (
        ("register", ARTIFACT),
        ("promote", reference, "dev"),
        ("promote", reference, "staging"),
        ("promote", reference, "prod"),
        ("deploy", "prod"),
        ("rollback", ARTIFACT, "dev"),
        ("list",),
        ("show", reference),
        ("history",),
        ("verify",),
    ):
        where = f"registry {' '.join(arguments)}, {place} read-only"
        ended = registry(*arguments)
        seen["works" if ended.returncode == 0 else "stops"] += 1
        if ended.returncode:
            expect_one_line(ended, where, codes=(2, 3, 4))
            if arguments[0] in ("register", "promote", "deploy"):
                again = registry(*arguments, shut=False)
                assert again.returncode == 0, f"{where}, then writable: {again.stderr}"
    assert registry("verify", shut=False).returncode == 0

"""A disk with a few kilobytes left: each command succeeds or says so in one line, and works once there is room."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import onnx_models
import pytest
import registry_project as made
import servers
import tiny_project
import yaml
from full_outcomes import expect_one_line, files, report
from registry_project import ARTIFACT, BETTER, GOOD, package
from small_disks import fill, make_room, needs_mounts, small_disk

from pipeline.registry.operations import Registry
from pipeline.runtime.reader import load_readers

pytestmark = [pytest.mark.full, needs_mounts]

LADDER = tuple(int(step) for step in os.environ.get("FULL_LADDER", "0,4,32,256,2048,16384").split(","))
"""Kilobytes free."""
SIZE = 1800
"""Of the disk, in megabytes."""


def test_a_stage_on_a_full_disk(tiny, tmp_path, seen, subtests):
    with small_disk(tmp_path / "disk", SIZE) as disk:
        project = shutil.copytree(tiny, disk / "project", symlinks=True)
        for name, stage in yaml.safe_load((project / "dvc.lock").read_text())["stages"].items():
            outs = [out["path"] for out in stage["outs"] if not tiny_project.is_measured(out["path"])]
            (disk / "tmp").mkdir()
            with subtests.test(stage=name):
                climb(disk, name, shlex.split(stage["cmd"]), outs, seen)
            shutil.rmtree(disk / "tmp")
            for path in outs:
                restore(tiny / path, project / path)


def climb(disk, name, command, outs, seen):
    """Run a stage with more and more room, and count how it ends."""
    project, temporary = disk / "project", str(disk / "tmp")
    sound = {path: files(project / path) for path in outs}
    for kilobytes in LADDER:
        for path in outs:
            remove(project / path)
        fill(disk, kilobytes)
        ended = tiny_project.run(project, *command, TMPDIR=temporary)
        make_room(disk)
        where = f"{name} with {kilobytes} KB free"
        seen[f"{kilobytes} KB: {'works' if ended.returncode == 0 else 'stops'}"] += 1
        if ended.returncode:
            expect_one_line(ended, where, codes=(2, 3))
        for path in outs:
            assert files(project / path) in (None, sound[path]), f"{where}: {path} is half-written"
    again = tiny_project.run(project, *command, TMPDIR=temporary)
    assert again.returncode == 0, f"{name} once there is room: {again.stderr[-2000:]}"
    assert {path: files(project / path) for path in outs} == sound, f"{name}: other bytes"


def restore(sound, path):
    """What a stage wrote, as it was before the test, for the stages after it."""
    remove(path)
    if sound.is_dir():
        shutil.copytree(sound, path, symlinks=True)
    else:
        shutil.copy2(sound, path)


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def test_the_whole_pipeline_on_a_full_disk(tiny, tmp_path, capsys):
    command = (sys.executable, "-m", "pipeline.commands.repro")
    with small_disk(tmp_path / "disk", SIZE) as disk:
        project = shutil.copytree(tiny, disk / "project", symlinks=True)
        (disk / "tmp").mkdir()
        settings = (project / "params.yaml").read_text()
        (project / "params.yaml").write_text(settings.replace('"seed": 20', '"seed": 21'))
        assert settings != (project / "params.yaml").read_text()
        codes = []
        for kilobytes in LADDER:
            fill(disk, kilobytes)
            ended = tiny_project.run(project, *command, TMPDIR=str(disk / "tmp"))
            make_room(disk)
            codes.append(ended.returncode)
            if ended.returncode:
                assert "Traceback" not in ended.stderr, f"{kilobytes} KB: {ended.stderr[-3000:]}"
                assert ended.stderr.strip(), kilobytes
        # DVC writes its lock file in place. Where that was cut off, the message names the file, which can be removed.
        ended = tiny_project.run(project, *command, TMPDIR=str(disk / "tmp"))
        if named := re.search(r"storage: (\S+/rwlock): damaged, .* remove it", ended.stderr):
            Path(named[1]).unlink()
        tiny_project.done(project, *command, TMPDIR=str(disk / "tmp"))
        assert not tiny_project.damaged(project)
        assert load_readers(project / "artifacts")
    report(capsys, f"make repro with {LADDER} KB free ended with {codes}")


VERBS = (
    ("register", ARTIFACT),
    ("promote", f"{ARTIFACT}@v0.1.0", "dev"),
    ("promote", f"{ARTIFACT}@v0.1.0", "staging"),
    ("promote", f"{ARTIFACT}@v0.1.0", "prod"),
    ("deploy", "prod"),
    ("list",),
    ("verify",),
    ("history",),
    ("register", ARTIFACT),
    ("promote", f"{ARTIFACT}@v0.2.0", "dev"),
    ("promote", f"{ARTIFACT}@v0.2.0", "staging"),
    ("promote", f"{ARTIFACT}@v0.2.0", "prod"),
    ("deploy", "prod"),
    ("rollback", ARTIFACT, "prod"),
    ("deploy", "prod"),
)


def test_the_registry_on_a_full_disk(tmp_path, seen):
    with small_disk(tmp_path / "disk", 300) as disk:
        project, temporary = made.create(disk / "project"), disk / "tmp"
        temporary.mkdir()
        for number, verb in enumerate(VERBS):
            if verb[0] == "register":
                package(project, GOOD if number == 0 else BETTER)
            for kilobytes in LADDER:
                before = state(project)
                fill(disk, kilobytes)
                ended = registry(project, temporary, *verb)
                make_room(disk)
                where = f"{' '.join(verb)} with {kilobytes} KB free"
                seen[f"{kilobytes} KB: {'works' if ended.returncode == 0 else 'stops'}"] += 1
                if ended.returncode:
                    expect_one_line(ended, where, codes=(2, 3, 4))
                    assert state(project) == before, f"{where}: it failed, and changed something"
                elif verb[0] in ("register", "promote", "rollback"):
                    break
            else:
                ended = registry(project, temporary, *verb)
                assert ended.returncode == 0, f"{verb} once there is room: {ended.stderr}"
            if verb[0] == "deploy":
                assert load_readers(project / "deploy/prod")
        assert registry(project, temporary, "verify").returncode == 0
        assert state(project)[1]["prod"] == "v0.1.0"


def registry(project, temporary, *arguments):
    return tiny_project.run(project, sys.executable, "-m", "pipeline.registry", *arguments, TMPDIR=str(temporary))


def state(project):
    history = Registry.open(project).history
    stages = {stage: history.in_stage(ARTIFACT, stage) for stage in ("dev", "staging", "prod")}
    return [event.tag for event in history.events], stages, files(project / "deploy")


def test_the_service_on_a_full_disk(tmp_path, seen):
    with small_disk(tmp_path / "disk", 64) as disk:
        artifacts = tmp_path / "artifacts"
        onnx_models.package(artifacts)
        for kilobytes in LADDER:
            folder = disk / f"tmp-{kilobytes}"
            folder.mkdir()
            fill(disk, kilobytes)
            seen[f"{kilobytes} KB: {served(artifacts, folder, tmp_path)}"] += 1
            make_room(disk)


def served(artifacts, temporary, folder):
    """What a service whose temporary folder is full does: it answers, or it ends in one line."""
    home = folder / "bentoml"
    variables = {"TMPDIR": str(temporary), "READER_ARTIFACTS": str(artifacts), "PROMETHEUS_MULTIPROC_DIR": ""}
    env = servers.environment(home, **variables)
    log = folder / "log"
    try:
        with servers.started(cwd=tiny_project.ROOT, env=env, log=log) as server:
            statuses = [server.client.get(path).status_code for path in ("/livez", "/readyz", "/metrics")]
            assert statuses[:2] == [200, 200], statuses
            assert statuses[2] in (200, 503)
            return "serves"
    except AssertionError:
        text = log.read_text()
        assert "Traceback" not in text, text[-3000:]
        assert re.search(r"[Nn]o space|disk is full|full", text), text[-3000:]
        return "one line"

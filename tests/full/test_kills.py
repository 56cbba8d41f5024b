"""SIGKILL at random moments of every stage and of every command of the registry; afterwards all is as without it.

FULL_KILLS is the number of kills, 200 unless set: half of stages, half of the registry. FULL_SEED chooses the moments.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import registry_project as made
import tiny_project
from full_outcomes import expect_one_line, files
from registry_project import ARTIFACT, BETTER, GOOD, WORSE, git, package

from pipeline.project.dvc import is_lock
from pipeline.registry.operations import Registry
from pipeline.runtime.reader import load_readers

pytestmark = pytest.mark.full

KILLS = int(os.environ.get("FULL_KILLS") or 200)
SEED = int(os.environ.get("FULL_SEED") or 15)


def kill(folder, command, after, **variables):
    """Start a command in a session of its own and kill all of it after some seconds; returns whether it was running."""
    with subprocess.Popen(
        command, cwd=folder, env=tiny_project.environment(**variables), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            process.wait(after)
            return False
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return True


def test_a_killed_stage_leaves_nothing_half_written_and_runs_again_to_the_same_bytes(tiny, tmp_path, seen):
    project = shutil.copytree(tiny, tmp_path / "project", symlinks=True)
    stages = tiny_project.stages(project)
    expected = {stage: tiny_project.outs(project, stage) for stage in stages}
    contents = {path: files(project / path) for outs in expected.values() for path in outs}
    taken = {}
    rng = random.Random(SEED)
    for number in range(KILLS - KILLS // 2):
        stage = stages[number % len(stages)] if number < len(stages) else rng.choice(stages)
        command = ("dvc", "repro", "--force", "--single-item", stage)
        if stage not in taken:
            started = time.monotonic()
            tiny_project.done(project, *command)
            taken[stage] = time.monotonic() - started
            assert tiny_project.outs(project, stage) == expected[stage], stage
        was_running = kill(project, command, rng.uniform(0, 1.1 * taken[stage]))
        seen[f"{stage.partition('@')[0]}{'' if was_running else ', too late'}"] += 1
        restore_lock(project, seen)
        for path in expected[stage]:
            assert files(project / path) in (None, contents[path]), f"{stage}: {path} is half-written, kill {number}"
        tiny_project.done(project, "dvc", "repro", "--single-item", stage)
        assert tiny_project.outs(project, stage) == expected[stage], f"{stage}: other bytes after kill {number}"
        for path in expected[stage]:
            assert files(project / path) == contents[path], f"{stage}: {path} has other bytes after kill {number}"
    tiny_project.done(project, sys.executable, "-m", "pipeline.commands.repro")
    assert {stage: tiny_project.outs(project, stage) for stage in stages} == expected
    assert not tiny_project.damaged(project)
    assert not run_leftovers(project)


def restore_lock(project, seen):
    """DVC writes dvc.lock in place. Where a kill left a part of it, `make repro` says what to do, which is done."""
    if not is_lock(project / "dvc.lock"):
        ended = tiny_project.run(project, sys.executable, "-m", "pipeline.commands.repro")
        expect_one_line(ended, "a part of dvc.lock", codes=(2,))
        assert "`git checkout dvc.lock`" in ended.stderr
        tiny_project.done(project, "git", "checkout", "dvc.lock")
        seen["dvc.lock cut"] += 1


def run_leftovers(project):
    """What killed stages left beside their outputs and no later run removed or ignores."""
    listed = tiny_project.done(project, "git", "status", "--porcelain", "--untracked-files=all").splitlines()
    return [line for line in listed if line.startswith("??")]


VERBS = {
    "register": ("register", ARTIFACT),
    "promote to dev": ("promote", f"{ARTIFACT}@v0.3.0", "dev"),
    "promote to staging": ("promote", f"{ARTIFACT}@v0.3.0", "staging"),
    "promote to prod": ("promote", f"{ARTIFACT}@v0.3.0", "prod"),
    "refused": ("promote", f"{ARTIFACT}@v0.2.0", "staging"),
    "rollback": ("rollback", ARTIFACT, "prod"),
    "deploy": ("deploy", "prod"),
    "deploy over another": ("deploy", "prod"),
    "list": ("list",),
    "show": ("show", f"{ARTIFACT}@v0.3.0"),
    "gate": ("gate", f"{ARTIFACT}@v0.3.0", "staging"),
    "history": ("history",),
    "at": ("at", "2026-11-26"),
    "verify": ("verify",),
    "diff": ("diff", f"{ARTIFACT}@v0.1.0", f"{ARTIFACT}@v0.3.0"),
}
"""Every command, with arguments that end with 0, or 4 for the refusal."""
READY = {
    "promote to staging": [("promote", f"{ARTIFACT}@v0.3.0", "dev")],
    "promote to prod": [
        ("promote", f"{ARTIFACT}@v0.3.0", "dev"),
        ("promote", f"{ARTIFACT}@v0.3.0", "staging"),
    ],
    "refused": [("promote", f"{ARTIFACT}@v0.2.0", "dev")],
    "gate": [("promote", f"{ARTIFACT}@v0.3.0", "dev")],
}
READY["rollback"] = [*READY["promote to prod"], ("promote", f"{ARTIFACT}@v0.3.0", "prod")]
READY["deploy over another"] = [("deploy", "prod"), *READY["rollback"]]
"""What is done before a command."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A clone with three versions and a fourth model, and the shared repository in which its tags are created first."""
    folder = tmp_path_factory.mktemp("shared")
    clone = made.create(folder / "clone")
    for bias in (GOOD, WORSE, BETTER):
        package(clone, bias)
        registry(clone, "register", ARTIFACT)
    for stage in ("dev", "staging", "prod"):
        registry(clone, "promote", f"{ARTIFACT}@v0.1.0", stage)
    package(clone, 6.8)
    git(clone, "clone", "-q", "--bare", ".", "../shared.git")
    git(clone, "remote", "add", "origin", "../shared.git")
    git(clone, "config", "registry.remote", "origin")
    return folder


def registry(clone, *arguments, code=0):
    ended = tiny_project.run(clone, sys.executable, "-m", "pipeline.registry", *arguments)
    assert ended.returncode == code, f"{arguments}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def state(clone):
    """The tags of the registry, what is in every stage, and what is deployed."""
    found = Registry.open(clone)
    stages = {stage: found.history.in_stage(ARTIFACT, stage) for stage in ("dev", "staging", "prod")}
    deployed = files(clone / "deploy")
    if deployed:
        assert load_readers(clone / "deploy/prod"), "what is deployed does not load"
    return sorted(git(clone, "tag", "--list").split()), stages, deployed


def test_a_killed_command_of_the_registry_did_all_of_it_or_nothing(shared, tmp_path, seen):
    rng = random.Random(SEED)
    undisturbed = {}
    for number in range(KILLS // 2):
        verb = list(VERBS)[number % len(VERBS)]
        code = 4 if verb == "refused" else 0
        if verb not in undisturbed:
            ready = shutil.copytree(shared, tmp_path / verb / "ready", symlinks=True)
            for step in READY.get(verb, []):
                registry(ready / "clone", *step)
            before = state(ready / "clone")
            sound = shutil.copytree(ready, tmp_path / verb / "sound", symlinks=True)
            started = time.monotonic()
            registry(sound / "clone", *VERBS[verb], code=code)
            undisturbed[verb] = ready, before, state(sound / "clone"), time.monotonic() - started
            shutil.rmtree(sound)
        ready, before, after, taken = undisturbed[verb]
        folder = shutil.copytree(ready, tmp_path / verb / str(number), symlinks=True)
        clone, where = folder / "clone", f"{verb}, kill {number}"
        command = (sys.executable, "-m", "pipeline.registry", *VERBS[verb])
        was_running = kill(clone, command, rng.uniform(0.3, 1.1) * taken)
        registry(clone, "list")
        found = state(clone)
        assert found in (before, after), f"{where}: neither before nor after: {found[:2]}"
        seen[f"{verb}: {'too late' if not was_running else 'done' if found == after != before else 'nothing'}"] += 1
        if found == before:
            registry(clone, *VERBS[verb], code=code)
        assert state(clone) == after, f"{where}: another state after it ran again: {state(clone)[:2]}"
        registry(clone, "verify")
        theirs = [tag for tag in git(folder / "shared.git", "tag", "--list").split() if tag.startswith(ARTIFACT)]
        ours = [tag for tag in git(clone, "tag", "--list").split() if tag.startswith(ARTIFACT)]
        assert sorted(theirs) == sorted(ours), f"{where}: the shared repository has other tags"
        assert not [path for path in (clone / "deploy").glob("[!.]*") if path.name != "prod"], where
        shutil.rmtree(folder)

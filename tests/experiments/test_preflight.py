"""What would fail in the queue is said before anything is queued, and nothing is queued then."""

import subprocess
import sys
from pathlib import Path

import pytest
import small_clone
from small_clone import run

from pipeline.core.errors import ConfigurationError
from pipeline.experiments import preflight, runs
from pipeline.project import workspace
from pipeline.project.checks import Check, refuse

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return small_clone.make(tmp_path_factory.mktemp("clone"))


def experiment(folder, *arguments, **more):
    return run(folder, sys.executable, "-m", "pipeline.commands.experiment", *arguments, check=False, **more)


@pytest.mark.parametrize(
    ("changes", "runs"),
    [
        ([], [()]),
        (["seed=3"], [("seed=3",)]),
        (["seed=1,2", "budget=0.5"], [("seed=1", "budget=0.5"), ("seed=2", "budget=0.5")]),
        (["seed=range(1,4)"], [("seed=1",), ("seed=2",), ("seed=3",)]),
    ],
)
def test_changes_stand_for_runs(changes, runs):
    assert runs.combinations(changes, ROOT / "params.yaml") == runs


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            "strategies.slice.epohcs=3",
            "no key strategies.slice.epohcs in params.yaml; did you mean strategies.slice.epochs?",
        ),
        ("strategies.slice.epochs=4,0", "params.yaml: strategies.slice.epochs: expected greater than 0, found 0"),
        ("seed=twenty", "params.yaml: seed: expected a valid integer, found 'twenty'"),
        ("+strategies.slice.epohcs=3", "unknown key (did you mean 'epochs'?)"),
        ("~seed", "a key cannot be removed"),
        ("~seed=1", "a key cannot be removed"),
        ("seed", "expected key=value"),
        ("seed=[1", "--set-param seed=[1"),
    ],
)
def test_a_wrong_change_names_the_key_and_what_was_expected(monkeypatch, change, line):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigurationError) as raised:
        runs.combinations([change])
    assert line in str(raised.value) or (change == "~seed" and "expected key=value" in str(raised.value))


def test_it_runs_what_dvc_would_and_queues_a_sweep(project):
    result = experiment(project, "--set-param", "strategies.slice.epochs=2", "--target", "train@slice", "--name", "two")
    assert result.returncode == 0, result.stderr
    assert run(project, "dvc", "exp", "list", "--name-only").stdout.split() == ["two"]
    taken = experiment(project, "--set-param", "seed=1", "--name", "two")
    assert taken.returncode == 2
    assert "name: two is taken on this commit" in taken.stderr
    run(project, "dvc", "exp", "run", "--queue", "--name", "later", "--set-param", "seed=3", "train@slice")
    try:
        waiting = experiment(project, "--set-param", "seed=4", "--name", "later")
    finally:
        run(project, "dvc", "queue", "remove", "--all")
    assert waiting.returncode == 2
    assert "name: later is in the queue" in waiting.stderr


def test_nothing_is_queued_where_it_would_fail(project, tmp_path):
    (project / "pipeline/new.py").write_text("")
    try:
        result = experiment(
            project,
            "--set-param",
            "seed=1,2",
            "--target",
            "train@slcie",
            "--queue",
            DATASETS_MIRROR=str(tmp_path / "x"),
        )
    finally:
        (project / "pipeline/new.py").unlink()
    assert result.returncode == 2
    problems = [line for line in result.stderr.splitlines() if line.startswith("problem")]
    assert [line.split()[1] for line in problems] == ["code", "mirror", "target"]
    assert "pipeline/new.py is not known to git, so no experiment gets it: git add pipeline/new.py" in problems[0]
    assert "did you mean train@slice?" in problems[2]
    assert result.stderr.splitlines()[-1].endswith("(and 2 more above)")
    assert "No experiment" in run(project, "dvc", "queue", "status").stdout
    several = experiment(project, "--set-param", "seed=1,2")
    assert several.stderr.strip().endswith("2 runs, and DVC runs several from the queue only: QUEUE=1")


def test_an_experiment_is_applied_to_a_clean_tree_only(project):
    (project / "code.txt").write_text("an afternoon's work")
    try:
        result = experiment(project, "--apply", "two")
        assert (project / "code.txt").read_text() == "an afternoon's work"
    finally:
        (project / "code.txt").write_text("1")
    assert result.returncode == 2
    assert "code.txt is not committed; applying an experiment would revert it" in result.stderr


def test_a_clone_without_an_identity_is_told(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in (
        "GIT_CONFIG_GLOBAL",
        *(f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")),
    ):
        monkeypatch.delenv(name, raising=False)
    check = preflight.identity()
    assert check.verdict == "problem"
    assert "git has no user.name and user.email" in check.message
    workspace.git("config", "user.name", "test")
    assert "git has no user.email" in preflight.identity().message
    workspace.git("config", "user.email", "test@localhost")
    assert preflight.identity().verdict == "ok"


def test_notes_do_not_stop(capsys):
    refuse([Check("code", "note", "a note"), Check("name", "ok", "free")])
    assert capsys.readouterr().err == "note     code       a note\n"

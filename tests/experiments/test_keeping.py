"""Unusual clones: a run whose result would be lost is refused before it starts, with the remedy; the others work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import small_clone
from dvc.repo import Repo

from pipeline.commands import experiment
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.experiments import keeping, preflight, runs, staleness
from pipeline.project import git, workspace

ROOT = Path(__file__).parents[2]


def problems(clone=None, *, is_experiment=True):
    return [check.message for check in keeping.checks(experiment=is_experiment) if check.verdict == "problem"]


def shell(folder, command):
    small_clone.run(folder, "sh", "-ec", command)


def test_a_sound_clone_keeps_everything_and_no_probe_stays(clone):
    before = {path: path.stat().st_mtime_ns for path in (clone / ".dvc").rglob("*") if path.is_file()}
    assert problems() == []
    assert git.output("for-each-ref", "refs/exps") == ""
    assert small_clone.run(clone, "git", "status", "--porcelain").stdout == ""
    assert set(before) == {path for path in (clone / ".dvc").rglob("*") if path.is_file()}


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print(1, flush=True)
input()
"""
"""Holds DVC's lock until a line arrives."""
HEAD = "$(git rev-parse HEAD)"
WRONG = {
    "a merge": ("git merge -q --no-commit side", "a merge is in progress"),
    "a conflict": ("git merge -q conflict || true", "a merge is in progress"),
    "a rebase": ("git rebase -q conflict || true", "a rebase is in progress"),
    "a cherry-pick": ("git cherry-pick conflict || true", "a cherry-pick is in progress"),
    "a revert": ("git revert --no-commit HEAD", "a revert is in progress"),
    "a lock of the index": ("touch .git/index.lock", r"index\.lock exists: another git is at work"),
    "a lock of the refs": ("touch .git/packed-refs.lock", r"packed-refs\.lock exists"),
    "a ref in the way": (
        f"h={HEAD}; d=.git/refs/exps/$(echo $h | cut -c1-2); mkdir -p $d; echo $h > $d/$(echo $h | cut -c3-)",
        "git's folder cannot be written|git cannot keep an experiment",
    ),
    "a bare repository": ("git config core.bare true", "bare; expected a working tree"),
    "no git": ("rm -rf .git", "is not a git repository"),
    "DVC without git": ("dvc config core.no_scm true", r"dvc config --unset core\.no_scm"),
    "no commit": ("git update-ref -d HEAD", "no commit yet"),
    "unknown params": ("git rm -q --cached params.yaml; git commit -qm x", r"params\.yaml is unknown to git"),
    "an unseen change": (
        "git update-index --assume-unchanged stages/fetch.py; echo >> stages/fetch.py",
        r"git update-index --no-assume-unchanged stages/fetch\.py",
    ),
    "a skipped change": (
        "git update-index --skip-worktree stages/fetch.py; echo >> stages/fetch.py",
        r"git update-index --no-skip-worktree stages/fetch\.py",
    ),
    "markers in dvc.lock": ("sed -i '2i <<<<<<< HEAD' dvc.lock", r"dvc\.lock: markers of a merge conflict"),
    "markers in params": ("printf '>>>>>>> other\\n' >> params.yaml", r"params\.yaml: markers of a merge conflict"),
    "a part of dvc.lock": (
        "sed -i '/path:/,$d' dvc.lock; printf '    - path:' >> dvc.lock",
        r"dvc\.lock: damaged, .*git checkout dvc\.lock",
    ),
    "a cache that is a file": ("rm -r .dvc/cache; touch .dvc/cache", "DVC's cache cannot be written"),
    "a damaged lock of DVC": ("echo '{' > .dvc/tmp/rwlock", "rwlock: damaged"),
}


@pytest.fixture(scope="module")
def branched(template, tmp_path_factory):
    folder = shutil.copytree(template, tmp_path_factory.mktemp("branched") / "clone", symlinks=True)
    shell(
        folder,
        "git checkout -qb side; echo a > side.txt; git add side.txt; git commit -qm side; git checkout -q -;"
        "git checkout -qb conflict; echo b > code.txt; git commit -qam conflict; git checkout -q -;"
        "echo c > code.txt; git commit -qam here",
    )
    return folder


FAST = ("a merge", "a lock of the index", "DVC without git", "an unseen change", "markers in dvc.lock")
"""What `make test` tries; `make test-slow` tries the others."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in WRONG]
)
def test_what_would_be_lost_is_refused(branched, clone, name):
    command, message = WRONG[name]
    shutil.rmtree(clone)
    shutil.copytree(branched, clone, symlinks=True)
    os.chdir(clone)
    shell(clone, command)
    with pytest.raises(ConfigurationError, match=message):
        preflight.expect_rehearsal()
    if name in FAST[:1]:
        with pytest.raises(ConfigurationError, match=message):
            experiment.main(set_param="seed=3", target="train@slice", name="one")
    assert not (clone / "reports").exists(), "nothing ran"


def test_a_cache_that_cannot_be_written_is_refused(clone):
    small_clone.run(clone, "dvc", "config", "--local", "cache.dir", "/proc/nowhere")
    assert "/proc/nowhere" in problems(is_experiment=False)[0]


def test_another_dvc_at_work_is_named(clone):
    held = {str(clone / "table"): {"write": {"pid": os.getpid(), "cmd": "dvc repro"}}}
    (clone / ".dvc/tmp/rwlock").write_text(json.dumps(held))
    assert problems(is_experiment=False) == [
        f"process {os.getpid()} (dvc repro) works on outputs of this project; wait until it ends"
    ]
    held[str(clone / "table")]["write"]["pid"] = 2**22 + 1
    (clone / ".dvc/tmp/rwlock").write_text(json.dumps(held))
    assert problems(is_experiment=False) == [], "a process that was killed"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(clone / ".dvc/tmp/lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        holder.stdout.readline()
        assert "another DVC is at work" in problems(is_experiment=False)[0]
    finally:
        holder.communicate(b"\n")


def test_a_project_in_a_subfolder_of_a_repository_keeps_its_experiments(template, tmp_path, monkeypatch, capfd):
    folder = tmp_path / "larger/projects/it"
    shutil.copytree(template, folder, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    shell(tmp_path / "larger", "git init -q; git config user.name t; git config user.email t@localhost")
    shell(folder, "git add -A; git commit -qm one")
    monkeypatch.chdir(folder)
    for name in ("DATASETS_MIRROR", "GIT_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert problems() == []
    (folder / "code.txt").write_text("2")
    assert workspace.modified() == ["code.txt"]
    run = runs.Run("one", ("strategies.slice.epochs=2",), "train@slice")
    runs.start("make exp", run.changes, target=run.target, name=run.name)
    assert runs.document(runs.revision("one"), "params.yaml")["strategies"]["slice"]["epochs"] == 2
    assert runs.finished(run) == runs.revision("one")


def test_names_of_any_characters(clone):
    names = ["é ü.py", "a\nb.py", " x.py", '"q".py', "*.py"]
    for name in names:
        (clone / "pipeline" / name).write_text("")
    assert sorted(workspace.untracked()) == sorted(f"pipeline/{name}" for name in names)
    assert "pipeline/ x.py" in preflight.code()[0].message


def test_code_that_git_ignores_is_named(clone):
    (clone / ".git/info/exclude").write_text("mine.py\n__pycache__\n")
    (clone / "pipeline/mine.py").write_text("")
    (clone / "pipeline/__pycache__").mkdir()
    (clone / "pipeline/__pycache__/mine.cpython-311.pyc").write_text("")
    found = [check for check in preflight.code() if check.verdict == "problem"]
    assert len(found) == 1
    assert "git add -f pipeline/mine.py" in found[0].message


def test_the_name_of_an_experiment_becomes_a_path_and_a_ref(clone):
    """tests/config/test_names.py tries more names."""
    found = [check for check in preflight.checks(["seed=3"], name="../../up") if check.verdict == "problem"]
    assert found[0].message.startswith("AS: expected a name")
    with pytest.raises(ConfigurationError, match="APPLY: expected a name"):
        experiment.main(apply="--force")


def test_a_quote_without_its_end_is_one_line(clone):
    with pytest.raises(ConfigurationError, match="SET: No closing quotation"):
        experiment.main(set_param='seed="1')


def test_exit_0_means_kept(clone, capfd):
    """What DVC did not keep, though it ended without an error, is found afterwards."""
    expected = staleness.upstream("")
    keeping.expect_kept("make repro", keeping.recorded(), expected)
    with pytest.raises(DataError, match="there is no experiment gone"):
        runs.expect_kept("make exp", "gone", expected)
    with Repo(clone) as repo:
        out = next(out for stage in repo.index.stages for out in stage.outs if out.def_path == "models/slice")
        cached = Path(repo.cache.local.oid_to_path(out.hash_info.value))
    cached.chmod(0o644)
    cached.unlink()
    with pytest.raises(DataError, match=r"models/(slice|ctc) is not in the cache"):
        keeping.expect_kept("make repro", keeping.recorded(), expected)
    lock = keeping.recorded()
    del lock["stages"]["report"]
    with pytest.raises(DataError, match=r"report is not in dvc\.lock"):
        keeping.expect_kept("make repro", lock, ["report"])


def test_crlf_changes_nothing_where_gitattributes_says_so(clone, tmp_path, monkeypatch):
    """`core.autocrlf=true`, the default of git for Windows, made every stage stale."""

    def cloned(name):
        folder = tmp_path / name
        small_clone.run(tmp_path, "git", "clone", "-q", "-c", "core.autocrlf=true", str(clone), str(folder))
        shutil.copytree(clone / ".dvc/cache", folder / ".dvc/cache")
        small_clone.run(folder, "dvc", "checkout", "-q")
        monkeypatch.chdir(folder)
        return folder

    without = cloned("without")
    assert b"\r\n" in (without / "train.sh").read_bytes()
    assert "train.sh changed" in staleness.examine().reasons["train@slice"]
    (note,) = preflight.line_ends()
    assert "core.autocrlf" in note.message

    shutil.copy(ROOT / ".gitattributes", clone)
    shell(clone, "git add .gitattributes; git commit -qm attributes")
    having = cloned("having")
    assert staleness.examine().reasons == {}
    assert preflight.line_ends() == []
    for path in workspace.paths("ls-files"):
        assert (having / path).read_bytes() == (clone / path).read_bytes(), path
    (having / "stages/fetch.py").write_bytes((having / "stages/fetch.py").read_bytes().replace(b"\n", b"\r\n"))
    (note,) = preflight.line_ends()
    assert "git checkout -- stages/fetch.py" in note.message

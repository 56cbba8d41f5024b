"""`make quick` on a pipeline of one stage: another budget as an experiment, and nothing in the workspace moves."""

import sys

import pytest
from small_clone import commit, copy_code, run

STAGE = """
import json
from pathlib import Path
from pipeline.project import command
from pipeline import extra
from pipeline.config import params
from pipeline.core.errors import DataError

def main(out: Path) -> None:
    "Write what a run at this budget would."
    budget = params.load(Path("params.yaml")).budget
    if budget > 5:
        raise DataError("pictures.npz: damaged")
    for folder in ("reports", "metrics"):
        Path(folder).mkdir(exist_ok=True)
    Path("reports/report.html").write_text(f"{extra.WORD} at {budget}")
    Path("metrics/leaderboard.md").write_text("| suite |")
    best = {"candidate": "slice", "origin": "mnist", "valid": 0.5, "test": {"plain": budget / 2}}
    Path("metrics/summary.json").write_text(json.dumps({"strips": best}))

command.run(main)
"""
DVC = """
stages:
  all:
    cmd: python -m stages.all --out reports
    deps: [stages/all.py, pipeline/extra.py]
    params: [budget]
    outs:
      - reports/report.html
      - metrics/leaderboard.md: {cache: false}
    metrics:
      - metrics/summary.json: {cache: false}
"""


def quick(folder, budget="0.1"):
    return run(folder, sys.executable, "-m", "pipeline.commands.repro", "--budget", budget, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A clone with a run of its own in it, a file that was changed since, and one that git does not know."""
    folder = tmp_path_factory.mktemp("clone")
    copy_code(folder)
    (folder / "dvc.yaml").write_text(DVC)
    (folder / "stages/all.py").write_text(STAGE.replace("extra.WORD", "'committed'").replace("extra, ", ""))
    (folder / "pipeline/extra.py").write_text("WORD = 'committed'\n")
    commit(folder, "pipeline/extra.py")
    (folder / "pipeline/extra.py").write_text("WORD = 'new to git'\n")
    (folder / "stages/all.py").write_text(STAGE)
    return folder


def held(folder):
    kept = [folder / "params.yaml", folder / "dvc.lock", *folder.glob("metrics/*"), *folder.glob("reports/*")]
    return {str(path): path.read_bytes() for path in kept}, run(folder, "git", "status", "--porcelain").stdout


def test_it_runs_beside_the_workspace_with_what_is_not_committed(project):
    before = held(project)
    for budget in ("0.1", "0.2"):
        result = quick(project, budget)
        assert result.returncode == 0, result.stderr
        assert (project / "quick/report.html").read_text() == f"new to git at {budget}"
        assert (project / "quick/leaderboard.md").exists()
        assert f"slice reads plain {50 * float(budget):.2f} % of test right" in result.stdout
        assert result.stdout.endswith("Into the workspace: dvc exp apply quick\n")
        assert held(project) == before
    assert run(project, "dvc", "exp", "list", "--name-only").stdout.split() == ["quick"]


def test_it_stops_with_the_one_line_that_matters(project):
    before = held(project)
    result = quick(project, "9")
    assert result.returncode == 3
    assert result.stderr.strip().splitlines()[-1] == "make quick stopped: data: pictures.npz: damaged"
    assert held(project) == before


@pytest.mark.parametrize("budget", ["-1", "nan", "inf"])
def test_a_budget_that_is_none_is_refused(project, budget):
    result = quick(project, budget)
    assert result.returncode == 2
    assert result.stderr == f"configuration: --budget: expected a number of at least 0, found {float(budget)}\n"

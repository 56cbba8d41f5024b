"""`make study` with a search, on a pipeline of two quick stages: run, resumed, and refused."""

import csv
import os
import sys
from pathlib import Path

import pytest
import study_project
from small_clone import ROOT, run

from pipeline.commands import study as command
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.experiments import runs
from pipeline.records.evaluation import Evaluation
from pipeline.registry import artifacts

PATH = "studies/tries.yaml"
REACHED = ((0, 0.5), (1, 0.5), (2, 0.5), (0, 2.0), (2, 2.0))
NAMES = {f"tries-textbook-trial_{trial}-budget_{budget}" for trial, budget in REACHED}


def accuracy(name):
    text = runs.text(runs.revision(name), artifacts.evaluation("mnist", "textbook"))
    return Evaluation.parse(text, name).suites["mnist"]["valid"].sequence_accuracy


def make(folder):
    project = study_project.make(folder)
    (project / PATH).write_text(study_project.SEARCH)
    return project


def written(folder):
    """What a search wrote beside its file."""
    return {path.suffix: path.read_bytes() for path in sorted((folder / "studies").glob("tries.*"))}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A clone in which the search was run once."""
    folder = make(tmp_path_factory.mktemp("search") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.chdir(folder)
        with pytest.raises(DataError, match="none of its runs is finished"):
            command.main(PATH, report=True)
        command.main(PATH)
    return folder


@pytest.mark.slow
def test_a_search_is_run_budget_by_budget(searched, monkeypatch):
    monkeypatch.chdir(searched)
    assert set(runs.names()) == NAMES
    with (searched / "studies/tries.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["complete", "pruned", "complete"]
    for row in rows:
        for budget, column in (("0.5", "budget_0.5"), ("2.0", "budget_2")):
            name = f"tries-textbook-trial_{row['trial']}-budget_{budget}"
            assert row[column] == (f"{accuracy(name):.4f}" if name in NAMES else "")
    assert set(written(searched)) == {".yaml", ".csv", ".md", ".png"}


@pytest.mark.slow
def test_a_search_that_lost_a_run_repeats_that_one(searched, monkeypatch, capfd):
    monkeypatch.chdir(searched)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    before = written(searched)
    run(searched, "dvc", "exp", "remove", "-q", "tries-textbook-trial_0-budget_2.0")
    command.main(PATH)
    assert capfd.readouterr().out.count("evaluate@textbook") == 1
    assert written(searched) == before


@pytest.mark.parametrize(
    ("options", "named"), [({"jobs": 2}, "waits for the scores"), ({"on": "spark"}, "expected ray")], ids=str
)
def test_what_a_search_cannot_do_is_refused_before_anything_runs(tmp_path, monkeypatch, options, named):
    path = tmp_path / "tries.yaml"
    path.write_text(study_project.SEARCH)
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigurationError, match=named):
        command.main(str(path), **options)
    assert [each.name for each in tmp_path.iterdir()] == ["tries.yaml"]

"""`make study` with a search, on a pipeline of two quick stages: run, resumed, and refused."""

import csv

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


@pytest.mark.slow
def test_a_search_is_run_budget_by_budget_and_resumed(tmp_path, monkeypatch, capfd):
    folder = study_project.make(tmp_path / "project")
    (folder / PATH).write_text(study_project.SEARCH)
    monkeypatch.chdir(folder)
    with pytest.raises(DataError, match="none of its runs is finished"):
        command.main(PATH, report=True)
    command.main(PATH)
    assert set(runs.names()) == NAMES
    with (folder / "studies/tries.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["complete", "pruned", "complete"]
    for row in rows:
        for budget, written in (("0.5", "budget_0.5"), ("2.0", "budget_2")):
            name = f"tries-textbook-trial_{row['trial']}-budget_{budget}"
            assert row[written] == (f"{accuracy(name):.4f}" if name in NAMES else "")
    assert (folder / "studies/tries.png").read_bytes()[:4] == b"\x89PNG"
    kinds = {path.name for path in (folder / "studies").glob("tries.*")}
    assert kinds == {f"tries.{kind}" for kind in ("yaml", "csv", "md", "png")}
    # A search that lost one run repeats that one, and nothing else.
    before = [(folder / "studies" / name).read_bytes() for name in sorted(kinds)]
    run(folder, "dvc", "exp", "remove", "-q", "tries-textbook-trial_0-budget_2.0")
    capfd.readouterr()
    command.main(PATH)
    assert capfd.readouterr().out.count("evaluate@textbook") == 1
    assert [(folder / "studies" / name).read_bytes() for name in sorted(kinds)] == before


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

"""A study on a pipeline of two quick stages: run once, resumed, and tabulated from what its experiments left."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import study_project
from small_clone import run
from study_project import PATH

from pipeline.commands import study as command
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.experiments import results, runs, studies, study_report
from pipeline.experiments.results import Results, Row
from pipeline.records.evaluation import Evaluation
from pipeline.registry import artifacts
from pipeline.search import searches

ROOT = Path(__file__).parents[2]
NAMES = [f"batches-textbook-batch_{batch}-seed_{seed}" for batch in (4, 16) for seed in (1, 2)]


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A clone in which the study was run once."""
    folder = tmp_path_factory.mktemp("study")
    study_project.make(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command.main(PATH)
    return folder


@pytest.fixture
def project(studied, monkeypatch):
    monkeypatch.chdir(studied)
    return studied


@pytest.fixture
def rewrite(project):
    """Change the study file for one test."""
    file = project / PATH
    before = file.read_text()

    def replace(*pairs):
        text = file.read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        file.write_text(text)

    yield replace
    file.write_text(before)


def rows(folder):
    with (folder / "studies/batches.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def accuracy(name):
    text = runs.text(runs.revision(name), "metrics/evaluation/mnist/textbook.json")
    return Evaluation.parse(text, name).suites["mnist"]["valid"].sequence_accuracy


def test_every_point_of_the_grid_is_an_experiment_and_the_workspace_stays(project):
    assert sorted(runs.names()) == sorted(NAMES)
    changed = run(project, "git", "status", "--porcelain").stdout.split()
    assert {path for path in changed if path != "??"} == {f"studies/batches.{kind}" for kind in ("csv", "md", "png")}


def test_the_table_has_mean_and_spread_of_the_runs_and_a_paired_interval(project):
    small, large = rows(project)
    for row, names in ((small, NAMES[:2]), (large, NAMES[2:])):
        shares = [accuracy(name) for name in names]
        assert float(row["mean"]) == pytest.approx(np.mean(shares), abs=1e-4)
        assert float(row["deviation"]) == pytest.approx(np.std(shares, ddof=1), abs=1e-4)
        assert (float(row["lowest"]), float(row["highest"])) == (min(shares), max(shares))
        assert (row["runs"], row["suite"], row["split"], row["origin"]) == ("2", "mnist", "valid", "mnist")
    assert (small["difference"], small["batch"], large["batch"]) == ("", "4", "16")
    assert float(large["difference"]) == pytest.approx(float(large["mean"]) - float(small["mean"]), abs=1e-4)
    assert 0 < float(large["ci_low"]) < float(large["difference"]) < float(large["ci_high"])
    page = (project / "studies/batches.md").read_text()
    assert "`budget=1`" in page
    assert f"| textbook | mnist | 4 | {100 * float(small['mean']):.2f} |" in page
    assert (project / "studies/batches.png").read_bytes()[:4] == b"\x89PNG"


def test_a_second_time_only_what_is_new_runs(project, rewrite, capfd):
    """A commit that changes nothing of it leaves the runs valid; a new level runs alone."""
    (project / "stages/other.py").write_text("")
    run(project, "git", "add", "stages/other.py")
    run(project, "git", "commit", "-qm", "something else")
    rewrite(("[1, 2]", "[1, 2, 3]"), ("[4, 16]", "[4]"))
    command.main(PATH)
    out = capfd.readouterr().out
    assert out.count("finished before") == 2
    assert out.count("evaluate@textbook") == 1
    assert rows(project)[0]["runs"] == "3"


def test_a_report_alone_runs_nothing_and_names_what_is_missing(project, rewrite, capsys):
    rewrite(("[4, 16]", "[4, 16, 32]"))
    command.main(PATH, report=True)
    missing = "batches-textbook-batch_32-seed_1, batches-textbook-batch_32-seed_2"
    assert missing in capsys.readouterr().out
    assert len(rows(project)) == 2


def test_runs_that_wait_in_the_queue_get_workers(monkeypatch):
    study = studies.Study("waiting", ("evaluate@textbook",), {}, {"batch": {"4": {}, "16": {}}}, {}, None, "valid")
    calls = []
    monkeypatch.setattr(runs, "finished", lambda run: None)
    monkeypatch.setattr(runs, "queued", lambda: [run.name for _, run in study.points()])
    monkeypatch.setattr(studies.dvc, "run", lambda *arguments: calls.append(arguments))
    studies.run(study, jobs=2)
    assert calls == [("make study", "queue", "start", "--jobs", "2")]


def test_without_a_finished_run_there_is_no_report(project, rewrite):
    rewrite(("[4, 16]", "[32]"), ("batch: 4}", "batch: 32}"))
    with pytest.raises(DataError, match="none of its 2 runs"):
        command.main(PATH, report=True)


def test_readings_that_do_not_give_the_recorded_accuracy_are_a_data_error(project, monkeypatch):
    """The pictures are the same, the readings are of another split."""
    predictions = artifacts.predictions
    monkeypatch.setattr(
        artifacts, "predictions", lambda task, name, suite, split: predictions(task, name, suite, "test")
    )
    with pytest.raises(DataError, match="expected the same"):
        results.collect(studies.Study.load(Path(PATH)))


@pytest.mark.parametrize(
    ("path", "named"), [("", "STUDY"), ("studies", "a file NAME.yaml"), ("none.yaml", "no such file")]
)
def test_a_study_needs_a_file(project, path, named):
    with pytest.raises(ConfigurationError, match=named):
        command.main(path)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("evaluate@textbook", "evaluate@textbok", ("targets", "evaluate@textbok")),
        ("evaluate@textbook", "train@textbook", ("targets", "train@textbook")),
        ("repeat: seed", "repeat: sed", ("repeat", "'sed'")),
        ("batch: 4}", "batch: 5}", ("baseline.strategies.textbook.batch", "4, 16", "'5'")),
        ("batch: 4}", "batch: null}", ("baseline.strategies.textbook.batch", "a plain value", "None")),
        ("batch: 4}", "dropout: 0}", ("baseline", "strategies.textbook.batch")),
        ("[1, 2]", "[null]", ("grid.seed", "[None]")),
        ("[1, 2]", "[]", ("grid.seed", "[]")),
        ("fixed:", "fixd:", ("fixd", "fixed")),
    ],
)
def test_a_wrong_study_names_the_key_and_what_was_found(tmp_path, monkeypatch, old, new, named):
    monkeypatch.chdir(ROOT)
    path = tmp_path / "batches.yaml"
    path.write_text(study_project.STUDY.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as raised:
        studies.Study.load(path)
    assert all(name in str(raised.value) for name in named), raised.value


def test_named_levels_change_several_numbers_and_give_effects(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = tmp_path / "bn.yaml"
    path.write_text(
        "targets: [evaluate@cnn]\n"
        "grid:\n"
        "  strategies.cnn.normalization: [rescale, zca]\n"
        "  schedule: {short: {strategies.cnn.epochs: 1, seed: 3}, long: {strategies.cnn.epochs: 2}}\n"
        "baseline: {strategies.cnn.normalization: rescale, schedule: short}\n"
    )
    study = studies.Study.load(path)
    points = dict(zip(["a", "b", "c", "d"], study.points(), strict=True))
    assert points["b"][1].name == "bn-cnn-normalization_rescale-schedule_long"
    assert points["a"][1].changes == ("strategies.cnn.normalization=rescale", "strategies.cnn.epochs=1", "seed=3")
    means = {
        tuple(point.values()): (np.arange(100) < n).astype(float)
        for (point, _), n in zip(points.values(), (50, 60, 70, 90), strict=True)
    }
    effects = {each.level: each.difference[0] for each in results._effects(study, ("cnn", "cifar10"), means)}
    assert effects == pytest.approx({"zca": 0.25, "long": 0.15})


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_committed_studies_load(monkeypatch, path):
    monkeypatch.chdir(ROOT)
    if searches.is_search(path):
        assert list(searches.Search.load(path).extremes())
    else:
        assert list(studies.Study.load(path).points())


def test_a_difference_from_a_baseline_needs_the_same_pictures(monkeypatch):
    grid = {"batch": {"4": {}, "16": {}}}
    study = studies.Study("pictures", ("evaluate@textbook",), {}, grid, {}, None, "valid")
    sizes = {"4": 3, "16": 5}
    monkeypatch.setattr(runs, "finished", lambda run: run.name.rpartition("_")[2])
    monkeypatch.setattr(
        results,
        "_outcomes",
        lambda commit, *_: [results._Outcome("textbook", "mnist", "mnist", commit, np.ones(sizes[commit], bool))],
    )
    assert [row.accuracies for row in results.collect(study).rows] == [(1.0,), (1.0,)]
    compared = dataclasses.replace(study, baseline={"batch": "4"})
    with pytest.raises(DataError, match="pictures-textbook-batch_16: other pictures of mnist"):
        results.collect(compared)


def test_a_page_without_repeats_and_baseline_has_fewer_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = tmp_path / "batches.yaml"
    path.write_text("targets: [evaluate@textbook]\ngrid: {strategies.textbook.batch: [4]}\n")
    found = Results((Row("textbook", "mnist", {"strategies.textbook.batch": "4"}, "embedded", (0.5,)),), (), ("one",))
    page = study_report.render_markdown(studies.Study.load(path), found)
    assert "| strategy | suite | batch | sequence accuracy |\n" in page
    assert "| textbook (stand-in) | mnist | 4 | 50.00 |\n" in page
    assert "Missing: one." in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "null"),
        (0.5, "0.5"),
        ([1, None], "[1,null]"),
        ({"a": [False]}, "{a:[false]}"),
        ("zca", "zca"),
    ],
)
def test_a_value_is_written_in_the_grammar_of_hydra(value, text):
    assert studies.format_value(value) == text

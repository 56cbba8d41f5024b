"""A study on a pipeline of two quick stages: run once, resumed, and tabulated from what its experiments left."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from small_clone import commit, copy_code, run

from pipeline.core.errors import ConfigurationError
from pipeline.experiments import results, runs, studies

ROOT = Path(__file__).parents[2]
STAGE = '''
"""Pictures, or readings of them that are the better the larger the batch; the seed chooses which are wrong."""
import sys
from pathlib import Path
import numpy as np
from pipeline.config import params
from pipeline.evaluation import scoring
from pipeline.core.files import replacing, write_json
from pipeline.core.images import DIGIT_NAMES, ImageSet
from pipeline.core.readings import Readings

def compose(out):
    draw = np.random.default_rng(0)
    with replacing(out) as folder:
        folder.mkdir(parents=True)
        for split in ("valid", "gate", "test"):
            ImageSet(
                images=draw.integers(0, 256, (200, 28, 28, 1), np.uint8),
                labels=draw.integers(0, 10, (200, 1), np.uint8),
                class_names=DIGIT_NAMES,
                origin="mnist",
            ).save(folder / f"{split}.npz")

def evaluate(strategy):
    settings = params.load(Path("params.yaml"))
    with Path("ran.log").open("a") as log:
        print(strategy, settings.seed, file=log)
    wrong = 1 / settings.strategies[strategy].settings["batch"] + 0.01 * (settings.budget > 1)
    truth = {split: ImageSet.load(Path(f"data/mnist/mnist/{split}.npz")) for split in ("valid", "gate", "test")}
    said = {}
    for number, (split, pictures) in enumerate(truth.items()):
        missed = np.random.default_rng([settings.seed, number]).random(200) < wrong
        classes = (pictures.labels + missed[:, None]) % 10
        probabilities = np.eye(10, dtype=np.float32)[classes]
        said[split] = Readings(probabilities, classes.astype(np.uint8), np.full(200, 0.5, np.float32))
    with replacing(Path("predictions") / strategy) as folder:
        for split, read in said.items():
            read.save(folder / f"mnist-{split}.npz")
    scores = scoring.evaluation({"mnist": said}, {"mnist": truth})
    write_json(Path(f"metrics/evaluation/{strategy}.json"), {"task": "mnist", "origin": "mnist", **scores})

if __name__ == "__main__":
    compose(Path(sys.argv[2])) if sys.argv[1] == "compose" else evaluate(sys.argv[2])
'''
DVC = """
stages:
  compose:
    foreach: [mnist]
    do:
      cmd: python -m stages.tiny compose data/mnist/mnist
      deps: [stages/tiny.py]
      outs: [data/mnist/mnist]
  evaluate:
    foreach: [textbook]
    do:
      cmd: python -m stages.tiny evaluate ${item}
      deps: [stages/tiny.py, data/mnist/mnist]
      params: [seed, budget, "strategies.${item}"]
      outs:
        - predictions/${item}
        - metrics/evaluation/${item}.json: {cache: false}
"""
STUDY = """
targets: [evaluate@textbook]
fixed: {budget: 1}
grid:
  strategies.textbook.batch: [4, 16]
  seed: [1, 2]
baseline: {strategies.textbook.batch: 4}
repeat: seed
"""
NAMES = [f"batches-textbook-batch_{batch}-seed_{seed}" for batch in (4, 16) for seed in (1, 2)]


def study(folder, *switches, path="studies/batches.yaml"):
    return run(folder, sys.executable, "-m", "pipeline.commands.study", "--study", path, *switches, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A clone in which the study was run once, and what that printed."""
    folder = tmp_path_factory.mktemp("clone")
    copy_code(folder)
    (folder / "dvc.yaml").write_text(DVC)
    (folder / "stages/tiny.py").write_text(STAGE)
    (folder / "studies").mkdir()
    (folder / "studies/batches.yaml").write_text(STUDY)
    commit(folder)
    return folder, study(folder)


def rows(folder):
    with (folder / "studies/batches.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def accuracy(folder, name):
    shown = run(folder, "git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}").stdout.split()
    said = json.loads(run(folder, "git", "show", f"{shown[0]}:metrics/evaluation/textbook.json").stdout)
    return said["suites"]["mnist"]["valid"]["sequence_accuracy"]


def test_every_point_of_the_grid_is_an_experiment_and_the_workspace_stays(project):
    folder, result = project
    assert result.returncode == 0, result.stdout + result.stderr
    assert sorted(run(folder, "dvc", "exp", "list", "--name-only").stdout.split()) == sorted(NAMES)
    changed = run(folder, "git", "status", "--porcelain").stdout.split()
    assert {path for path in changed if path != "??"} == {f"studies/batches.{kind}" for kind in ("csv", "md", "png")}


def test_the_table_has_mean_and_spread_of_the_runs_and_a_paired_interval(project):
    folder, result = project
    small, large = rows(folder)
    for row, names in ((small, NAMES[:2]), (large, NAMES[2:])):
        shares = [accuracy(folder, name) for name in names]
        assert float(row["mean"]) == pytest.approx(np.mean(shares), abs=1e-4)
        assert float(row["deviation"]) == pytest.approx(np.std(shares, ddof=1), abs=1e-4)
        assert (float(row["lowest"]), float(row["highest"])) == (min(shares), max(shares))
        assert (row["runs"], row["suite"], row["split"], row["origin"]) == ("2", "mnist", "valid", "mnist")
    assert (small["difference"], small["batch"], large["batch"]) == ("", "4", "16")
    assert float(large["difference"]) == pytest.approx(float(large["mean"]) - float(small["mean"]), abs=1e-4)
    assert 0 < float(large["ci_low"]) < float(large["difference"]) < float(large["ci_high"])
    page = (folder / "studies/batches.md").read_text()
    assert "All with `budget=1`." in page
    assert result.stdout.endswith(page + "\n")
    assert (folder / "studies/batches.png").read_bytes()[:4] == b"\x89PNG"


def test_a_second_time_only_what_changed_runs(project):
    """Another commit that touches nothing of it leaves the runs standing; a new level runs alone."""
    folder, _ = project
    file = folder / "studies/batches.yaml"
    before = file.read_text()
    (folder / "stages/other.py").write_text("")
    run(folder, "git", "add", "stages/other.py")
    run(folder, "git", "commit", "-qm", "something else")
    try:
        file.write_text(before.replace("[1, 2]", "[1, 2, 3]").replace("[4, 16]", "[4]"))
        result = study(folder)
    finally:
        file.write_text(before)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("finished before") == 2
    assert result.stdout.count("Ran experiment") == 1
    assert rows(folder)[0]["runs"] == "3"


def test_a_report_alone_runs_nothing_and_names_what_is_missing(project):
    folder, _ = project
    file = folder / "studies/batches.yaml"
    before = file.read_text()
    try:
        file.write_text(before.replace("[4, 16]", "[4, 16, 32]"))
        result = study(folder, "--report")
    finally:
        file.write_text(before)
    assert "2 are missing: batches-textbook-batch_32-seed_1, batches-textbook-batch_32-seed_2." in result.stdout
    assert len(rows(folder)) == 2


def test_a_study_is_of_a_commit(project):
    folder, _ = project
    code = folder / "stages/tiny.py"
    code.write_text(STAGE + "\n")
    try:
        result = study(folder)
    finally:
        code.write_text(STAGE)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("configuration: commit: stages/tiny.py is changed since")


def test_no_file_and_a_folder_are_told(project):
    folder, _ = project
    for path, line in (("", "STUDY: no file named; expected make study"), ("studies", "studies: a folder; expected")):
        result = study(folder, path=path)
        assert result.returncode == 2
        assert result.stderr.splitlines()[-1].startswith(f"configuration: {line}")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"cmd": "python -m stages.fetch --source cifar10"}, False),
        ({"outs": [{"path": "data/raw/mnist", "md5": "b.dir"}]}, False),
        # What it depends on says all about it.
        ({"deps": [{"path": "data/raw/other"}], "outs": [{"path": "data/raw/mnist", "md5": "b.dir"}]}, True),
    ],
    ids=["nothing", "the command", "other pictures", "outs of what has data to depend on"],
)
def test_a_run_on_other_pictures_does_not_hold(change, same):
    fetched = {
        "cmd": "python -m stages.fetch --source mnist",
        "deps": [{"path": "stages/fetch.py", "md5": "c"}],
        "outs": [{"path": "data/raw/mnist", "md5": "a.dir"}],
    }
    assert runs._same(fetched | {key: change[key] for key in change if key == "deps"}, fetched | change) is same


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("evaluate@textbook", "evaluate@textbok", "targets: expected evaluate@STRATEGY with a strategy of params.yaml"),
        ("repeat: seed", "repeat: sed", "repeat: expected an axis of the grid, found 'sed'"),
        ("batch: 4}", "batch: 5}", "baseline.strategies.textbook.batch: expected one of 4, 16, found '5'"),
        (
            "[1, 2]",
            "[null]",
            "grid.seed: expected a list of plain values, or names with {key: value} each, found [None]",
        ),
        ("[1, 2]", "[]", "grid.seed: expected a list of plain values, or names with {key: value} each, found []"),
        ("fixed:", "fixd:", "fixd: unknown key; expected targets, fixed, grid, baseline, repeat, split"),
    ],
)
def test_a_wrong_study_is_one_line(tmp_path, monkeypatch, old, new, line):
    monkeypatch.chdir(ROOT)
    path = tmp_path / "batches.yaml"
    path.write_text(STUDY.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as raised:
        studies.Study.load(path)
    assert line in str(raised.value)


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
    right = {
        levels: np.arange(100) < n
        for levels, n in zip([tuple(p[0].values()) for p in points.values()], (50, 60, 70, 90), strict=True)
    }
    effects = {
        each.level: each.difference[0]
        for each in results._effects(
            study, "cnn", "cifar10", {levels: each.astype(float) for levels, each in right.items()}
        )
    }
    assert effects == pytest.approx({"zca": 0.25, "long": 0.15})


def test_a_paired_interval_covers_and_knows_pairs():
    """It holds the true difference in about 95 of 100 draws, and is narrower than that of unpaired readings."""
    draw = np.random.default_rng(1)
    held, widths = 0, []
    for _ in range(200):
        hard = draw.random(1000)
        first, second = hard < 0.80, hard < 0.82
        flips = draw.random(1000) < 0.02
        _, low, high = results.paired((second ^ flips).astype(float) - first)
        true = 0.02 + 0.02 * (1 - 2 * 0.82)
        held += low <= true <= high
        widths.append(high - low)
    assert 180 <= held <= 198
    assert np.mean(widths) < 2 * 1.96 * np.sqrt(2 * 0.16 / 1000)
    assert results.paired(np.zeros(5)) == (0, 0, 0)

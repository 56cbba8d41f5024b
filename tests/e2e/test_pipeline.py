"""The whole pipeline, from a copy of the repository to packaged models, offline and at a tiny budget."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest

from pipeline.records.comparison import Candidate
from pipeline.records.evaluation import Evaluation
from pipeline.records.manifest import Manifest
from pipeline.records.robustness import Robustness
from pipeline.records.training import TrainingRecord

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OFFLINE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
"""A proxy that does not exist: with a network, too, the stand-in is taken."""
LEFT_OUT = (
    *("multilabel", "sliding", "sdnn", "goodfellow", "ctc", "rcnn", "fast_rcnn", "resnet", "vgg16"),
    *("crnn", "centernet", "lenet5", "convnet", "vgg16_article"),
    *("forum_sigmoids", "forum_softmax", "sliding_digits", "sdnn_lenet5"),
)
"""Strategies like one of those that stay; tests/strategies trains them all."""
TASKS = ("strips", "scenes", "lines", "mnist", "cifar10")


def run(project, *command, check=True, **environment):
    unset = ("DATASETS_MIRROR", "DATASETS_CACHE", "NO_PROXY", "no_proxy")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=project,
        env={**inherited, **OFFLINE, "PATH": path, "DVC_NO_ANALYTICS": "1", **environment},
        check=check,
        capture_output=True,
        text=True,
    )


def edit(project, old, new):
    path = project / "params.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A fresh copy of the repository, reproduced once, and what that printed."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    listed = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("metrics/") and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    edit(folder, "budget: 1.0", "budget: 0.05")
    edit(folder, "  pictures: 300 ", "  pictures: 20 ")
    edit(folder, "  per_shift: 500 ", "  per_shift: 99 ")
    edit(folder, "train: 30000, valid: 3000, gate: 1000, test: 2000", "train: 300, valid: 100, gate: 100, test: 200")
    edit(folder, "recomposed: 40000", "recomposed: 200")
    for name in LEFT_OUT:
        text = (folder / "params.yaml").read_text()
        edit(folder, re.search(rf"^  {name}:.*\n(?:    .*\n)+", text, re.MULTILINE).group(), "")
    frozen = re.search(r"^features:\n(?:  .*\n)+", (folder / "params.yaml").read_text(), re.MULTILINE).group()
    edit(folder, frozen, "features: {}\n")
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.name", "test")
    run(folder, "git", "config", "user.email", "test@localhost")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "a clone")
    result = run(folder, sys.executable, "-m", "pipeline.commands.repro", check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return folder, result


@pytest.fixture
def project(reproduced):
    return reproduced[0]


def leaderboard(folder):
    with (folder / "metrics/leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_ends_with_a_leaderboard_a_report_and_packaged_models(project):
    read = {(row["strategy"], row["suite"]) for row in leaderboard(project)}
    assert read >= {("slice", "plain"), ("multihead", "blanks"), ("cnn", "cifar10")}
    assert read >= {("faster_rcnn", "scenes"), ("textbook", "mnist")}
    assert {path.stem for path in project.glob("metrics/robustness/*/*.json")} == {strategy for strategy, _ in read}
    assert not [suite for _, suite in read if suite == "mixed"], "it is only trained on"
    assert (project / "reports/report.html").stat().st_size > 100_000
    for task in TASKS:
        manifest = Manifest.read(project / f"artifacts/{task}/manifest.json")
        assert manifest.model.bytes == (project / f"artifacts/{task}/model.onnx").stat().st_size
        best = Candidate.read(project / f"metrics/candidates/{task}.json").best
        assert best.strategy == manifest.strategy
    assert list((project / "artifacts").glob("*.bento"))
    assert not list(project.rglob("*.partial*"))


def test_it_prints_one_line_per_stage_and_logs_the_rest(reproduced):
    folder, result = reproduced
    lines = [line for line in result.stdout.splitlines() if line.startswith("[")]
    stages = run(folder, "dvc", "stage", "list", "--name-only").stdout.split()
    names = [line.split("]", 1)[1].split()[0] for line in lines]
    assert sorted(names) == sorted(stages)
    assert {"train@slice", "export@cnn", "evaluate@textbook", "package@scenes", "report", "bento"} <= set(names)
    assert "val_loss" not in result.stdout
    assert "val_loss" in (folder / "reports/logs/train@slice.log").read_text()


def test_everything_is_marked_as_the_stand_in(reproduced):
    folder, result = reproduced
    assert "EMBEDDED STAND-IN: mnist and cifar10 " in result.stderr
    assert result.stdout.count("(EMBEDDED STAND-IN)") == len(TASKS)
    assert {row["origin"] for row in leaderboard(folder)} == {"embedded"}
    for path in folder.glob("metrics/evaluation/*/*.json"):
        assert Evaluation.read(path).origin == "embedded", path
    for path in folder.glob("metrics/robustness/*/*.json"):
        read = Robustness.read(path)
        assert (read.origin, read.collections) == ("embedded", {}), "it trained on the digits of the collection"
    for path in folder.glob("models/*/*/training.json"):
        assert TrainingRecord.read(path).origin == "embedded", path
    for path in [*folder.glob("artifacts/*/manifest.json"), *folder.glob("reports/validation/*/*.json")]:
        assert json.loads(path.read_text())["origin"] == "embedded", path
    assert "stand-in" in (folder / "reports/report.html").read_text()
    assert all("stand-in" in path.read_text() for path in folder.glob("artifacts/*/MODEL_CARD.md"))


def test_it_leaves_git_clean_except_for_what_is_tracked(project):
    changed = run(project, "git", "status", "--porcelain").stdout
    tracked = r"dvc\.lock|metrics/|artifacts/|\.gitignore"
    outside = [line for line in changed.splitlines() if not re.search(tracked, line)]
    assert not outside, "a stage wrote where it should not"


def test_a_second_time_nothing_runs(project):
    assert "Running stage" not in run(project, "dvc", "repro").stdout
    assert run(project, "dvc", "status").stdout.strip() == "Data and pipelines are up to date."


def test_one_changed_number_reruns_only_what_it_touches(project):
    before = (project / "params.yaml").read_text()
    edit(project, "learning_rate: 0.004", "learning_rate: 0.005")
    try:
        changed = json.loads(run(project, "dvc", "status", "--json").stdout)
        params_diff = run(project, "dvc", "params", "diff").stdout
    finally:
        (project / "params.yaml").write_text(before)
    assert "train@slice" in changed
    assert not [name for name in changed if name.startswith("train@") and name != "train@slice"]
    assert "strategies.slice.learning_rate" in params_diff
    arrows = re.findall(r'"(\S+)" -> "(\S+)"', run(project, "dvc", "dag", "--dot").stdout)
    follows = nx.descendants(nx.DiGraph(arrows), "train@slice")
    # Those two begin with the convolutions of `slice`.
    later = ("train", "calibrate", "export", "evaluate", "robustness")
    begin = {f"{stage}@{name}" for stage in later for name in ("multihead", "faster_rcnn")}
    of_task = ("cost", "compare", "explore", "analyze", "explain", "package")
    compared = {f"{stage}@{task}" for stage in of_task for task in ("strips", "scenes")}
    own = {f"{stage}@slice" for stage in later[1:]}
    assert follows == own | {"report", "bento"} | begin | compared


def test_the_same_stage_gives_the_same_bytes(project):
    before = (project / "dvc.lock").read_text()
    run(project, "dvc", "repro", "--force", "--single-item", "train@multihead", "compose@clutter", "normalize@cifar10")
    after = (project / "dvc.lock").read_text()
    for path in ("models/strips/multihead", "data/strips/clutter", "data/statistics/cifar10/cifar10"):
        assert md5(before, path) == md5(after, path)


def md5(lock, path):
    found = re.findall(rf"path: {re.escape(path)}\n\s+hash: md5\n\s+md5: (\S+)", lock)
    assert found, path
    return found[0]


def test_a_killed_training_leaves_no_model(project):
    model = project / "models/none"
    command = [sys.executable, "-m", "stages.train", "--strategy", "slice", "--data", "data/mnist/mnist"]
    command += ["--normalizer", "data/statistics/mnist/mnist/rescale.npz", "--features", "data/strips/mixed"]
    command += ["--out", str(model), "--curves", str(project / "killed/curves")]
    command += ["--timings", str(project / "killed/timings.json")]
    edit(project, "budget: 0.05", "budget: 50.0")
    try:
        process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        begun = any(line.startswith("Epoch 1/") for line in process.stdout)
        process.kill()
        process.stdout.close()
        process.wait()
    finally:
        edit(project, "budget: 50.0", "budget: 0.05")
        shutil.rmtree(project / "killed", ignore_errors=True)
    assert begun
    assert not model.exists()


@pytest.mark.parametrize(
    ("old", "new", "code", "named"),
    [
        ("budget: 0.05", "budget: 0", 2, "budget"),
        ("fallback: embedded", "fallback: none", 3, "DATASETS_MIRROR"),
        ("mnist: {from: public}", "mnist: {from: nowhere}", 2, "nowhere"),
    ],
)
def test_make_repro_ends_with_one_line_and_the_code_of_the_stage(project, old, new, code, named):
    before = (project / "params.yaml").read_text()
    edit(project, old, new)
    try:
        result = run(project, sys.executable, "-m", "pipeline.commands.repro", check=False)
    finally:
        (project / "params.yaml").write_text(before)
        run(project, "dvc", "checkout", "--force")
    assert result.returncode == code, result.stderr
    assert named in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_an_experiment_over_a_setting_and_a_seed(project):
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "reproduced")
    evaluated = project / "metrics/evaluation/strips/multihead.json"
    before = evaluated.read_bytes()
    run(project, "dvc", "exp", "run", "-S", "strategies.multihead.epochs=1", "-S", "seed=1", "evaluate@multihead")
    assert run(project, "dvc", "exp", "show", "--csv").stdout.count("\n") >= 3
    assert evaluated.read_bytes() != before
    run(project, "git", "checkout", "-q", "--", ".")
    run(project, "dvc", "checkout", "--force")

"""The whole pipeline, from a copy of the repository to a packaged model, offline and at a tiny budget."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[2]
OFFLINE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
"""A proxy that nobody listens at: the stand-in is taken on machines with a network, too."""
LEFT_OUT = ("multilabel", "sliding", "sdnn", "goodfellow", "ctc", "rcnn", "fast_rcnn", "resnet", "vgg16")
"""Strategies like one of those that stay; tests/strategies/test_contract.py trains them all."""
TASKS = ("strips", "scenes", "mnist", "cifar10")


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
def project(tmp_path_factory):
    """A fresh copy of what the repository holds, reproduced once."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    listed = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("metrics/") and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    edit(folder, "budget: 1.0", "budget: 0.05")
    for name in LEFT_OUT:
        text = (folder / "params.yaml").read_text()
        edit(folder, re.search(rf"^  {name}:\n(?:    .*\n)+", text, re.MULTILINE).group(), "")
    edit(folder, "features:\n  vgg16: {from: cifar10/cifar10, network: vgg16}\n", "features: {}\n")
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.name", "test")
    run(folder, "git", "config", "user.email", "test@localhost")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "a clone")
    result = run(folder, sys.executable, "-m", "pipeline.commands.repro", check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return folder, result


def leaderboard(folder):
    with (folder / "metrics/leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_ends_with_a_leaderboard_a_report_and_packaged_models(project):
    folder, _ = project
    rows = leaderboard(folder)
    read = {(row["strategy"], row["suite"]) for row in rows}
    assert read >= {("slice", "plain"), ("multihead", "blanks"), ("cnn", "cifar10")}
    assert read >= {("faster_rcnn", "scenes"), ("textbook", "mnist")}
    assert not [suite for _, suite in read if suite == "mixed"], "it is only trained on"
    assert (folder / "reports/report.html").stat().st_size > 100_000
    for task in TASKS:
        manifest = json.loads((folder / f"artifacts/{task}/manifest.json").read_text())
        assert all(parity["holds"] for parity in manifest["parity"].values())
        assert manifest["model"]["bytes"] == (folder / f"artifacts/{task}/model.onnx").stat().st_size
    assert list((folder / "artifacts").glob("*.bento"))
    assert not list(folder.rglob("*.partial*"))


def test_everything_says_that_it_is_the_stand_in(project):
    folder, result = project
    assert "EMBEDDED STAND-IN: a few small pictures" in result.stderr
    assert result.stdout.count("(of the EMBEDDED STAND-IN)") == len(TASKS)
    assert run(folder, "dvc", "metrics", "show", "--json", "metrics/summary.json").stdout.count("embedded") == len(
        TASKS
    )
    assert {row["origin"] for row in leaderboard(folder)} == {"embedded"}
    for path in folder.glob("metrics/evaluation/*.json"):
        assert json.loads(path.read_text())["origin"] == "embedded", path
    for path in [*folder.glob("artifacts/*/manifest.json"), *folder.glob("models/*/training.json")]:
        assert json.loads(path.read_text())["origin"] == "embedded", path
    for path in [*folder.glob("reports/validation/*/*.json"), *folder.glob("data/raw/*/source.json")]:
        assert json.loads(path.read_text())["origin"] == "embedded", path
    assert "stand-in" in (folder / "reports/report.html").read_text()
    assert all("stand-in" in path.read_text() for path in folder.glob("artifacts/*/MODEL_CARD.md"))


def test_it_leaves_git_clean_but_for_what_is_tracked(project):
    folder, _ = project
    changed = run(folder, "git", "status", "--porcelain").stdout
    tracked = r"dvc\.lock|metrics/|artifacts/|\.gitignore"
    outside = [line for line in changed.splitlines() if not re.search(tracked, line)]
    assert not outside, "a stage wrote where it should not"


def test_a_second_time_nothing_runs(project):
    folder, _ = project
    # The stand-in is looked at again each time; it takes the proxy's refusal a moment to arrive.
    start = time.perf_counter()
    result = run(folder, "dvc", "repro")
    assert "Running stage" not in result.stdout
    assert time.perf_counter() - start < 40, "a free machine takes an eighth of it"
    assert run(folder, "dvc", "status").stdout.strip() == "Data and pipelines are up to date."


def test_one_changed_number_reruns_only_what_it_touches(project):
    folder, _ = project
    before = (folder / "params.yaml").read_text()
    edit(folder, "learning_rate: 0.004", "learning_rate: 0.005")
    try:
        changed = json.loads(run(folder, "dvc", "status", "--json").stdout)
        params_diff = run(folder, "dvc", "params", "diff").stdout
    finally:
        (folder / "params.yaml").write_text(before)
    assert set(changed) == {"train@slice", "compare"}
    assert "strategies.slice.learning_rate" in params_diff
    arrows = re.findall(r'"(\S+)" -> "(\S+)"', run(folder, "dvc", "dag", "--dot").stdout)
    follows = nx.descendants(nx.DiGraph(arrows), "train@slice")
    assert follows == {"evaluate@slice", "compare", "bento", *(f"package@{task}" for task in TASKS)}


def test_the_same_stage_gives_the_same_bytes(project):
    folder, _ = project
    before = (folder / "dvc.lock").read_text()
    run(folder, "dvc", "repro", "--force", "--single-item", "train@multihead", "compose@clutter", "normalize@cifar10")
    after = (folder / "dvc.lock").read_text()
    assert outs(before, "models/multihead") == outs(after, "models/multihead")
    assert outs(before, "data/strips/clutter") == outs(after, "data/strips/clutter")
    assert outs(before, "data/statistics/cifar10/cifar10.npz") == outs(after, "data/statistics/cifar10/cifar10.npz")


def outs(lock, path):
    found = re.findall(rf"path: {re.escape(path)}\n\s+hash: md5\n\s+md5: (\S+)", lock)
    assert found, path
    return found[0]


def test_a_killed_training_leaves_no_model(project):
    folder, _ = project
    model = folder / "models/none"
    command = [sys.executable, "-m", "stages.train", "--strategy", "slice", "--data", "data/mnist/mnist"]
    command += ["--statistics", "data/statistics/mnist/mnist.npz", "--out", str(model)]
    command += ["--curves", str(folder / "killed/curves"), "--timings", str(folder / "killed/timings.json")]
    edit(folder, "budget: 0.05", "budget: 50.0")
    try:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in process.stdout:
            if line.startswith("Epoch 1/"):
                break
        process.kill()
        process.stdout.close()
        process.wait()
    finally:
        edit(folder, "budget: 50.0", "budget: 0.05")
        shutil.rmtree(folder / "killed", ignore_errors=True)
    assert not model.exists()


@pytest.mark.parametrize(
    ("old", "new", "code", "expected"),
    [
        ("budget: 0.05", "budget: 0", 2, "params.yaml: budget: expected greater than 0, found 0"),
        ("fallback: embedded", "fallback: none", 3, "DATASETS_MIRROR"),
        ("mnist: {from: public}", "mnist: {from: nowhere}", 2, "nowhere: no such folder"),
    ],
)
def test_make_repro_ends_with_the_one_line_that_matters(project, old, new, code, expected):
    folder, _ = project
    before = (folder / "params.yaml").read_text()
    edit(folder, old, new)
    try:
        result = run(folder, sys.executable, "-m", "pipeline.commands.repro", check=False)
    finally:
        (folder / "params.yaml").write_text(before)
        run(folder, "dvc", "checkout", "--force")
    assert result.returncode == code, result.stderr
    assert expected in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_an_experiment_over_a_setting_and_a_seed(project):
    folder, _ = project
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "reproduced")
    run(folder, "dvc", "exp", "run", "-S", "strategies.multihead.epochs=1", "-S", "seed=1")
    shown = run(folder, "dvc", "exp", "show", "--csv").stdout
    assert shown.count("\n") >= 3
    run(folder, "git", "checkout", "-q", "--", ".")
    run(folder, "dvc", "checkout", "--force")

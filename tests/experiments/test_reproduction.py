"""`make repro` and `make quick` on a pipeline whose stages take no time. tests/e2e runs the real stages."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import small_clone
from ruamel.yaml import YAML

from pipeline.commands import repro
from pipeline.config import params
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import rehearsal, reproduction, runs, staleness
from pipeline.project.dvc import Stopped
from pipeline.records.features import FeaturesRecord
from pipeline.remote import weights

STRIPS = {"plain", "blanks", "jitter", "clutter", "mixed", "mnist"}
"""The suites of strips, and the one of whose digits they are composed."""
BEST = {
    "strategy": "slice",
    "valid_sequence_accuracy": 0.5,
    "suites": {"plain": 0.5},
    "cannot_read": [],
    "origin": "mnist",
    "parameters": 1,
    "deployable": True,
}
COVERAGE = {
    "target": 0.995,
    "threshold": None,
    **{split: {"share": None, "accuracy": None} for split in ("valid", "gate", "test")},
}


def lines(out):
    return [line for line in out.splitlines() if line.startswith("[")]


def held(clone):
    kept = [clone / name for name in ("params.yaml", "dvc.lock", "table", "models/slice", "models/ctc")]
    status = small_clone.run(clone, "git", "status", "--porcelain").stdout
    return {str(path): path.read_bytes() for path in kept}, status


def test_without_anything_stale_no_stage_runs(clone, capfd):
    repro.main()
    out = capfd.readouterr().out
    assert lines(out) == []
    assert "0 stages ran, 6 up to date. Logs: reports/logs" in out


def test_one_line_per_stage_and_what_came_out(clone, capfd):
    (clone / "code.txt").write_text("2")
    (clone / "train.sh").write_text(small_clone.TRAIN + 'echo "0.9 on $1" > "$PIPELINE_RESULT_FILE"\n')
    candidate = {"task": "strips", "best": BEST, "coverage": COVERAGE, "runner_up": None, "others": []}
    (clone / "report/candidates/strips.json").write_text(json.dumps(candidate))
    table = "strategy,suite,split,sequence_accuracy\nslice,plain,valid,0.5\nslice,plain,test,0.25\nctc,plain,test,1\n"
    (clone / "report/leaderboard/strips.csv").write_text(table)
    repro.main()
    out = capfd.readouterr().out
    # DVC may train either first.
    found = sorted(" ".join(line.split()[1:2] + line.split()[4:7]) for line in lines(out)[:2])
    assert found == ["train@ctc 0.9 on ctc", "train@slice 0.9 on slice"]
    assert lines(out)[2].split()[:2] == ["[3/3]", "report"]
    assert "strips: slice, sequence accuracy 50.00 % on valid; on test plain 25.00 %\n" in out
    assert "scenes: no strategy can be deployed\n" in out
    assert "Epoch" not in out
    assert "Epoch 1/1" in (reproduction.LOGS / "train@slice.log").read_text()
    assert set(json.loads((reproduction.LOGS / "seconds.json").read_text())) == {"train@ctc", "train@slice", "report"}
    assert staleness.examine().pending == set()


def test_a_stage_that_fails_gives_the_code_the_line_and_the_log(clone, capfd):
    (clone / "train.sh").write_text("echo '3 data: x.npz: damaged' > $PIPELINE_ERROR_FILE; exit 3\n")
    with pytest.raises(Stopped) as stopped:
        repro.main()
    error = stopped.value
    assert (error.kind, error.exit_code) == ("make repro stopped", 3)
    message, _, log = str(error).partition("; log: ")
    assert message == "data: x.npz: damaged"
    assert (clone / log).parent == clone / reproduction.LOGS
    assert log.rpartition("/")[2] in ("train@slice.log", "train@ctc.log")


def test_the_shell_of_the_user_does_not_run_the_stages(clone, monkeypatch, capfd):
    monkeypatch.setenv("SHELL", "/bin/false")
    (clone / "code.txt").write_text("2")
    repro.main()
    assert len(lines(capfd.readouterr().out)) == 3


def test_a_bug_in_a_stage_gives_the_last_line_of_its_output(clone, capfd):
    (clone / "train.sh").write_text("echo Traceback >&2; echo 'ValueError: a bug' >&2; exit 1\n")
    with pytest.raises(Stopped, match="ValueError: a bug; log: "):
        repro.main()


def test_the_stand_in_is_fetched_again_and_announced(clone, capfd):
    for name in ("mnist.json", "data/raw/mnist/source.json"):
        (clone / name).write_text((clone / name).read_text().replace('"mnist"', '"embedded"'))
    repro.main()
    printed = capfd.readouterr()
    assert lines(printed.out)[0].split()[1] == "fetch@mnist"
    assert printed.err.startswith("EMBEDDED STAND-IN: mnist ")


def test_features_of_random_weights_are_made_again_where_a_mirror_has_imagenet_s(clone, monkeypatch, tmp_path):
    settings = params.load(clone / "params.yaml")
    record = FeaturesRecord(
        network="vgg16", weights="imagenet", input_size=32, freeze_until=19, augmentation={}, pretrained="missing",
        precision="float32", origin="cifar10", missing=None, code={},
    )  # fmt: skip
    path = clone / "data/features/vgg16/features.json"
    path.parent.mkdir(parents=True)
    record.write(path)
    assert reproduction._without_weights(settings) == []
    weights_file = tmp_path / weights.IMAGENET["vgg16"].remote.name
    weights_file.parent.mkdir()
    weights_file.write_bytes(b"weights")
    monkeypatch.setenv("DATASETS_MIRROR", str(tmp_path))
    assert reproduction._without_weights(settings) == ["features@vgg16"]
    record.model_copy(update={"pretrained": "imagenet"}).write(path)
    assert reproduction._without_weights(settings) == []


def test_a_wrong_params_yaml_stops_it_before_any_work(clone, capfd):
    params = clone / "params.yaml"
    params.write_text(params.read_text().replace("budget: 1.0", "budget: 0", 1))
    with pytest.raises(ConfigurationError, match="budget"):
        repro.main()
    assert not reproduction.LOGS.exists()


def test_control_c_ends_the_stage_and_dvc_and_leaves_no_lock(clone):
    """As from a terminal, where the signal reaches the whole process group."""
    os.mkfifo(clone / "started")
    os.mkfifo(clone / "never")
    (clone / "train.sh").write_text("echo > started; read line < never\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.commands.repro"],
        cwd=clone,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started = os.open(clone / "started", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert select.select([started], [], [], 120)[0], "the stage has not started"
        os.killpg(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=120)
    finally:
        os.close(started)
    assert process.returncode == 130, out + error
    assert "Traceback" not in error
    assert staleness.examine().reasons, "DVC can be run again"


QUICK = """
stages:
  all:
    cmd: sh all.sh
    deps: [all.sh, code.txt, pipeline/extra.py, report]
    params: [budget]
    outs:
      - reports/report.html
      - artifacts/strips/model.onnx
      - artifacts/strips/manifest.json: {cache: false}
      - artifacts/strips/MODEL_CARD.md: {cache: false}
      - artifacts/scenes/model.onnx
      - artifacts/scenes/manifest.json: {cache: false}
      - artifacts/scenes/MODEL_CARD.md: {cache: false}
      - artifacts/lines/model.onnx
      - artifacts/lines/manifest.json: {cache: false}
      - artifacts/lines/MODEL_CARD.md: {cache: false}
      - artifacts/mnist/model.onnx
      - artifacts/mnist/manifest.json: {cache: false}
      - artifacts/mnist/MODEL_CARD.md: {cache: false}
      - artifacts/cifar10/model.onnx
      - artifacts/cifar10/manifest.json: {cache: false}
      - artifacts/cifar10/MODEL_CARD.md: {cache: false}
      - metrics: {cache: false}
"""
ALL = """
mkdir -p reports metrics
cp -r report/. metrics
echo board > metrics/leaderboard.md
for task in strips scenes lines mnist cifar10; do
  mkdir -p artifacts/$task
  for name in model.onnx manifest.json MODEL_CARD.md; do echo $task $name > artifacts/$task/$name; done
done
cat code.txt pipeline/extra.py > reports/report.html
grep ^budget params.yaml >> reports/report.html
"""


@pytest.fixture
def quick(clone):
    """A pipeline of one stage, with a file that was changed since the commit, and one that git does not know."""
    (clone / "dvc.yaml").write_text(QUICK)
    (clone / "all.sh").write_text(ALL)
    (clone / "pipeline/extra.py").write_text("committed")
    small_clone.run(clone, "dvc", "repro", "-q")
    small_clone.run(clone, "git", "add", "-A")
    small_clone.run(clone, "git", "rm", "-q", "--cached", "pipeline/extra.py")
    small_clone.run(clone, "git", "commit", "-qm", "another pipeline")
    (clone / "code.txt").write_text("changed\n")
    (clone / "pipeline/extra.py").write_text("new to git\n")
    return clone


def test_quick_runs_beside_the_workspace_with_what_is_not_committed(quick, capfd):
    params = quick / "params.yaml"
    for budget in (0.1, 0.2):
        params.write_text(re.sub(r"(?m)^    budget: .*$", f"    budget: {budget}", params.read_text()))
        before = held(quick)
        repro.main(quick=True)
        out = capfd.readouterr().out
        assert lines(out)[0].split()[:2] == ["[1/1]", "all"]
        assert (quick / "quick/report.html").read_text().startswith(f"changed\nnew to git\nbudget: {budget}")
        assert (quick / "quick/leaderboard.md").read_text() == "board\n"
        assert (quick / "quick/logs/all.log").exists()
        assert (quick / "quick/artifacts/strips/model.onnx").read_text() == "strips model.onnx\n"
        assert not (quick / "quick/artifacts/lines").exists()
        assert (quick / "quick/artifacts/mnist/manifest.json").read_text() == "mnist manifest.json\n"
        assert held(quick) == before
    assert runs.names() == ["quick"]


def test_quick_stops_with_the_line_and_the_code_of_the_stage(quick, capfd):
    (quick / "all.sh").write_text("echo '4 registry: gone' > $PIPELINE_ERROR_FILE; exit 4\n")
    before = held(quick)
    with pytest.raises(Stopped, match=r"registry: gone; log: quick/logs/all\.log") as stopped:
        repro.main(quick=True)
    assert (stopped.value.kind, stopped.value.exit_code) == ("make quick stopped", 4)
    assert held(quick) == before


@pytest.fixture
def whole(clone):
    """The clone with the stages of the project, and the manifests of all tasks, as git has them."""
    shutil.copy(Path(rehearsal.__file__).parents[2] / "dvc.yaml", clone)
    for task in ("strips", "scenes", "lines", "mnist", "cifar10"):
        (clone / "artifacts" / task).mkdir(parents=True)
        (clone / "artifacts" / task / "manifest.json").write_text("{}")
    small_clone.run(clone, "git", "add", "--force", "artifacts")
    return clone


def test_quick_expects_the_stages_of_what_is_left_and_no_other(whole, monkeypatch):
    settings = params.load(Path("params.yaml"))
    left = set(settings.quick.strategies)
    expected: set[str] = set()

    def expect(self, stages):
        expected.update(stages)
        raise Stopped("make quick", 1, "the test has what it wants")

    monkeypatch.setattr(rehearsal.Progress, "expect", expect)
    with pytest.raises(Stopped):
        rehearsal.rehearse(settings)
    of_strategies = {stage for stage in expected if stage.partition("@")[2] in settings.strategies}
    kinds = ("train", "calibrate", "export", "evaluate", "robustness")
    assert of_strategies == {f"{kind}@{name}" for kind in kinds for name in left}
    assert {"report", "bento", "package@strips", "package@mnist", "fetch@mnist", "compose@mixed"} <= expected
    assert not [stage for stage in expected if stage.startswith(("suspects", "propose"))]
    others = ("cifar10", "cheques", "cheques_reviewed", "lines", "scenes")
    assert not [stage for stage in expected if stage.partition("@")[2] in others]


@pytest.mark.parametrize(
    ("strategies", "tasks", "suites", "sources"),
    [
        (["textbook"], {"mnist"}, {"mnist"}, {"mnist"}),
        (["cnn"], {"cifar10"}, {"cifar10"}, {"cifar10"}),
        (["slice"], {"strips"}, STRIPS, {"mnist"}),
        (["fcn_ctc"], {"lines"}, {"lines", "cheques", "cheques_reviewed", "mnist"}, {"mnist", "cheques"}),
        (["slice", "faster_rcnn"], {"strips", "scenes"}, STRIPS | {"scenes"}, {"mnist"}),
    ],
)
def test_quick_keeps_what_its_strategies_need(clone, strategies, tasks, suites, sources):
    path = clone / "params.yaml"
    document = YAML(typ="safe").load(path)
    document["quick"]["strategies"] = strategies
    YAML().dump(document, path)
    _, fewer = rehearsal.reduced(params.load(Path("params.yaml")))
    assert set(fewer.strategies) == set(strategies)
    assert set(fewer.reported) == set(fewer.package) == tasks
    assert set(fewer.suites) == suites
    assert set(fewer.sources) == sources


def test_quick_may_replace_the_regions_and_the_suspects(clone):
    path = clone / "params.yaml"
    document = YAML(typ="safe").load(path)
    document["quick"] = {"strategies": ["slice"], "set": {"budget": 0.1}}
    YAML().dump(document, path)
    _, fewer = rehearsal.reduced(params.load(Path("params.yaml")))
    assert (fewer.proposals, set(fewer.suspects)) == ([], {"mnist"})
    document["quick"] = {"strategies": ["slice", "faster_rcnn", "fast_rcnn"], "set": {"suspects": {}}}
    YAML().dump(document, path)
    _, fewer = rehearsal.reduced(params.load(Path("params.yaml")))
    assert (fewer.proposals, fewer.suspects) == (["scenes"], {})


def test_quick_names_the_strategy_that_another_stage_needs(whole):
    path = whole / "params.yaml"
    document = YAML(typ="safe").load(path)
    document["quick"]["strategies"] = ["slice"]
    YAML().dump(document, path)
    with pytest.raises(ConfigurationError, match="illustrate needs models/mnist/textbook"):
        repro.main(quick=True)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("  strategies: [slicer]", "strategies: no 'slicer'.*slice"),
        ("  strategies: [sliding]", "strategies.*slice"),
        ("  strategies: [slice]\n  set: {budgte: 1}", "budgte"),
        ("  strategies: [slice]\n  sets: {}", "sets"),
    ],
)
def test_a_wrong_section_quick_stops_it_before_any_work(clone, written, message):
    path = clone / "params.yaml"
    text = path.read_text()
    path.write_text(text[: text.index("\nquick:")] + f"\nquick:\n{written}\n")
    with pytest.raises(ConfigurationError, match=message):
        repro.main(quick=True)


def test_a_params_yaml_without_a_section_quick_says_so(clone):
    path = clone / "params.yaml"
    text = path.read_text()
    path.write_text(text[: text.index("\nquick:")] + "\n")
    with pytest.raises(ConfigurationError, match=r"quick\.strategies: no entry"):
        repro.main(quick=True)

"""A new strategy, that of docs/new-strategy.md, is one file and one entry in params.yaml: the DAG takes it up."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.core.images import SPLITS
from pipeline.preprocessing import normalization
from pipeline.preprocessing.normalization import Normalizer
from pipeline.records.data import Passed
from pipeline.records.evaluation import Evaluation

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/new-strategy.md").read_text()
FILE, ENTRY = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL).group(1) for kind in ("python", "yaml"))


def contents(folder):
    files = [path for part in ("pipeline", "stages") for path in sorted((folder / part).rglob("*.py"))]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_strategy_is_one_file_and_one_entry(tmp_path, embedded):
    for part in ("pipeline", "stages"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / part, tmp_path)
    before = contents(tmp_path)

    (tmp_path / "pipeline/strategies/linear.py").write_text(FILE)
    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("strategies:\n", f"strategies:\n{ENTRY}", 1))
    assert set(contents(tmp_path)) - set(before) == {"pipeline/strategies/linear.py"}

    def run(*command):
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, check=True, capture_output=True, text=True
        )

    data = tmp_path / "data/mnist/mnist"
    for split in SPLITS:
        embedded["mnist/mnist"][split].save(data / f"{split}.npz")
    statistics = normalization.fit(embedded["mnist/mnist"]["train"], name="mnist/mnist", zca_epsilon=1e-6)
    Normalizer.of(statistics, "rescale").save(tmp_path / "data/statistics/mnist/mnist/rescale.npz")
    Passed(suite="mnist", task="mnist", origin="embedded").write(tmp_path / "data/validated/mnist/mnist.json")

    run("dvc", "init", "--no-scm", "--quiet")
    listed = run("dvc", "stage", "list", "--name-only").stdout.split()
    stages = [f"{stage}@linear" for stage in ("train", "calibrate", "export", "evaluate")]
    assert set(stages) <= set(listed)
    run("dvc", "repro", "--single-item", *stages)
    scores = Evaluation.read(tmp_path / "metrics/evaluation/mnist/linear.json").suites["mnist"]["test"]
    assert scores.origin == "embedded"
    assert scores.sequence_accuracy > 0.6
    assert {name: digest for name, digest in contents(tmp_path).items() if name in before} == before

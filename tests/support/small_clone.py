"""A clone of a pipeline whose stages take no time, for tests of what looks at a clone from outside."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
TASKS = ("strips", "scenes", "lines", "mnist", "cifar10")
DVC = """
stages:
  fetch:
    foreach: [mnist, cifar10, cheques]
    do:
      cmd: mkdir -p data/raw/${item} && cp ${item}.json data/raw/${item}/source.json
      outs: ["data/raw/${item}"]
  train:
    foreach: [slice, ctc]
    do:
      cmd: sh train.sh ${item}
      deps: [train.sh, code.txt, data/raw/mnist]
      params: ["strategies.${item}.epochs"]
      outs: ["models/${item}"]
  report:
    cmd: cat models/slice models/ctc > table && mkdir -p metrics && cp -r report/. metrics
    deps: [models/slice, models/ctc, report]
    outs: [table, {metrics: {cache: false}}]
"""
TRAIN = "mkdir -p models && cp code.txt models/$1 && echo Epoch 1/1\n"
"""What trains. Like a stage in Python, it may write $PIPELINE_RESULT_FILE and $PIPELINE_ERROR_FILE."""


def run(folder, *command, check=True, **more):
    """Run a command in a clone, with this Python's commands first on PATH, and without a mirror."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATASETS_", "GIT_"))}
    environment = {**kept, "PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}
    return subprocess.run(command, cwd=folder, env=environment, check=check, capture_output=True, text=True)


def copy_code(folder):
    """Put the project's code and params into `folder`."""
    folder.mkdir(exist_ok=True)
    for name in ("pipeline", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)


def commit(folder, *unknown):
    """Make `folder` a clone: reproduced, and committed except for the files that git is not to know."""
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.name", "test")
    run(folder, "git", "config", "user.email", "test@localhost")
    run(folder, "dvc", "init", "-q")
    run(folder, "dvc", "repro", "-q")
    run(folder, "git", "add", "-A")
    if unknown:
        run(folder, "git", "rm", "-q", "--cached", *unknown)
    run(folder, "git", "commit", "-qm", "a clone")


def make(folder):
    """Fill `folder` with the clone, reproduced and committed."""
    copy_code(folder)
    (folder / "dvc.yaml").write_text(DVC)
    # Locks of what is installed: other tests compare the real locks.
    (folder / "requirements").mkdir()
    for name, package in (("pipeline", "numpy"), ("dev", "pytest")):
        (folder / f"requirements/{name}.lock").write_text(f"{package}=={metadata.version(package)} \\\n    --hash=x\n")
    (folder / "train.sh").write_text(TRAIN)
    (folder / "code.txt").write_text("1")
    for name in ("mnist", "cifar10", "cheques"):
        (folder / f"{name}.json").write_text(json.dumps({"origin": name, "class_names": [], "sets": {}}))
    (folder / "report/candidates").mkdir(parents=True)
    (folder / "report/leaderboard").mkdir()
    for task in TASKS:
        candidate = {"task": task, "best": None, "coverage": None, "runner_up": None, "others": []}
        (folder / f"report/candidates/{task}.json").write_text(json.dumps(candidate))
    commit(folder)
    return folder

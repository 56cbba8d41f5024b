"""A clone of a pipeline of five stages that take no time, for what looks at a clone from outside."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from data_records import write_source

ROOT = Path(__file__).parents[2]
DVC = """
stages:
  fetch:
    foreach: [mnist, cifar10]
    do:
      cmd: mkdir -p data/raw/${item} && cp ${item}.json data/raw/${item}/source.json
      outs: ["data/raw/${item}"]
  train:
    foreach: [slice, ctc]
    do:
      cmd: mkdir -p models && cp code.txt models/${item}
      deps: [code.txt, data/raw/mnist]
      params: ["strategies.${item}.epochs"]
      outs: ["models/${item}"]
  compare:
    cmd: cat models/slice models/ctc > table
    deps: [models/slice, models/ctc]
    outs: [table]
"""


def run(folder, *command, check=True, **more):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATASETS_", "GIT_"))}
    environment = {**kept, "PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}
    return subprocess.run(command, cwd=folder, env=environment, check=check, capture_output=True, text=True)


def copy_code(folder):
    """Put the project's code and params into `folder`."""
    for name in ("pipeline", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)


def commit(folder, *unknown):
    """Make `folder` a clone: reproduced, and committed but for the files that git is not to know."""
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
    # The locks of what is installed: whether that is what the real ones say is no matter of these tests.
    (folder / "requirements").mkdir()
    for name, package in (("pipeline", "numpy"), ("dev", "pytest")):
        (folder / f"requirements/{name}.lock").write_text(f"{package}=={metadata.version(package)} \\\n    --hash=x\n")
    (folder / "code.txt").write_text("1")
    for name in ("mnist", "cifar10"):
        write_source(folder / f"{name}.json", origin=name)
    commit(folder)
    return folder

"""A copy of this project that takes a minute: every stage of dvc.yaml at least once, offline, with tiny trainings."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
OFFLINE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
"""A proxy that does not exist: with a network, too, the stand-in is taken."""
STRATEGIES = ("textbook", "vgg16")
SUITES = ("mnist", "cifar10", "scenes")
TASKS = ("mnist", "cifar10")
BUDGET = 0.02
UNSET = ("DATASETS_", "GIT_", "PIPELINE_", "NO_PROXY", "no_proxy")


def environment(**more: str) -> dict[str, str]:
    """The environment of a command in the project: this Python first, no network, no mirror."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(UNSET)}
    return {**kept, **OFFLINE, "PATH": path, "DVC_NO_ANALYTICS": "1", **more}


def run(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project."""
    return subprocess.run(
        command, cwd=folder, env=environment(**more), capture_output=True, text=True, errors="replace", check=False
    )


def done(folder: Path, *command: str, **more: str) -> str:
    """The standard output of a command that succeeds."""
    ended = run(folder, *command, **more)
    assert ended.returncode == 0, f"{command}: {ended.returncode}\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}"
    return ended.stdout


def make(folder: Path) -> Path:
    """Copy the project, cut its params, reproduce and commit it; artifacts of tasks that are left out do not exist."""
    listed = done(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "artifacts/", "tests/")) and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    settings = YAML(typ="safe").load(folder / "params.yaml")
    for section, kept in (("suites", SUITES), ("strategies", STRATEGIES), ("reported", TASKS), ("package", TASKS)):
        settings[section] = {name: settings[section][name] for name in kept}
    settings["features"] = {name: made for name, made in settings["features"].items() if name in STRATEGIES}
    settings["budget"] = BUDGET
    settings["robustness"]["pictures"] = 20
    settings["strategies"]["vgg16"]["weights"] = "none"
    settings["previews"]["suites"] = {"mnist": "mnist/mnist"}
    settings["gates"]["tasks"] = {task: settings["gates"]["tasks"][task] for task in TASKS}
    (folder / "params.yaml").write_text(json.dumps(settings, indent=2))
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
    bento, kept = pipeline["stages"]["bento"], {f"artifacts/{task}" for task in TASKS}
    bento["deps"] = [dep for dep in bento["deps"] if not dep.startswith("artifacts/") or dep in kept]
    named = {"mnist": "digit-reader", "cifar10": "cifar10-classifier"}
    pipeline["artifacts"] = {name: pipeline["artifacts"][name] for name in named.values()}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False, allow_unicode=True, width=1000))
    for command in (
        ("git", "init", "-q", "-b", "main"),
        ("git", "config", "user.name", "Ada"),
        ("git", "config", "user.email", "ada@example.org"),
        ("git", "add", "-A"),
        ("git", "commit", "-qm", "a clone"),
    ):
        done(folder, *command)
    done(folder, sys.executable, "-m", "pipeline.commands.repro")
    done(folder, "git", "add", "-A")
    done(folder, "git", "commit", "-qm", "reproduced")
    return folder


def damaged(folder: Path) -> list[str]:
    """What `make doctor FSCK=1` says of the files, where they are not all intact; other problems do not count."""
    ended = run(folder, sys.executable, "-m", "pipeline.commands.doctor", "--json", "--fsck")
    found = [check for check in json.loads(ended.stdout) if check["subject"] == "files"]
    assert found, ended.stderr
    return [check["message"] for check in found if check["verdict"] != "ok"]


def stages(folder: Path) -> list[str]:
    """The stages of dvc.yaml, all of which ran."""
    return list(yaml.safe_load((folder / "dvc.lock").read_text())["stages"])


def outs(folder: Path, stage: str) -> dict[str, str]:
    """The outputs of a stage that are the same in every run, and their MD5, as dvc.lock records them."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for out in lock[stage].get("outs", []) if not is_measured(out["path"])}


def is_measured(path: str) -> bool:
    """Whether an output holds measured times."""
    return path.startswith("timings/") or path in ("metrics/timings.csv", "reports/report.html")

"""`make repro`: check params.yaml, find the mirror, bring the stand-in up to date, then hand over to DVC.

`make quick` is the same at another budget, as a DVC experiment that leaves the workspace as it is.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline import command, params
from pipeline.errors import ConfigurationError
from pipeline.files import read_json

EXPERIMENT = "quick"
"""The experiment of a run at another budget, and the folder that its report is copied to."""
SHOWN = ("reports/report.html", "metrics/leaderboard.md")


def main(budget: float = 0.0) -> None:
    """Reproduce the pipeline, passing DVC's own exit on as the one line and code of the stage that failed.

    Args:
        budget: 0 runs with the budget of params.yaml, in the workspace. Another one runs as the experiment `quick`, in
            a folder of its own with the changes that are not committed; what the workspace holds stays, an earlier
            experiment of this name does not. Sources that were fetched before are not looked at again.
    """
    if not 0 <= budget < float("inf"):
        raise ConfigurationError(f"--budget: expected a number of at least 0, found {budget}")
    settings = params.load(Path("params.yaml"))
    if not Path(".dvc").is_dir():
        raise ConfigurationError(
            ".dvc: no such folder; run from the project's top folder, in a clone of the repository"
        )
    with tempfile.TemporaryDirectory() as folder:
        error = Path(folder) / "error"
        environment = {**os.environ, command.ERROR_FILE_VARIABLE: str(error)}
        mirror = os.environ.get("DATASETS_MIRROR", "")
        if mirror and "://" not in mirror:
            # Experiments run in folders of their own, where a relative path leads nowhere.
            environment["DATASETS_MIRROR"] = str(Path(mirror).expanduser().resolve())
        code = _experiment(settings, budget, environment) if budget else _workspace(settings, environment)
        if code:
            number, _, line = (error.read_text() if error.exists() else "").strip().partition(" ")
            print(f"\nmake {'quick' if budget else 'repro'} stopped: {line or 'DVC says why above'}", file=sys.stderr)
            sys.exit(int(number or code))
    if budget:
        print(_result(json.loads(_git("show", f"{_revision()}:metrics/summary.json"))))
        print(
            f"At budget {budget:g}, all of it: {EXPERIMENT}/report.html. Into the workspace: dvc exp apply {EXPERIMENT}"
        )
    else:
        print(_result(read_json(Path("metrics/summary.json"))))
        print("All of it: reports/report.html. Serve it: make serve")


def _workspace(settings: params.Params, environment: dict[str, str]) -> int:
    unsettled = [f"fetch@{name}" for name in _unsettled(settings)]
    code = unsettled and _dvc("repro", "--force", "--single-item", *unsettled, environment=environment)
    return code or _dvc("repro", environment=environment)


def _experiment(settings: params.Params, budget: float, environment: dict[str, str]) -> int:
    if _revision():
        _dvc("exp", "remove", "--quiet", EXPERIMENT, environment=environment)
    # The folder of an experiment holds what git knows, changes included, but no new file that was not added.
    copied = [option for path in _new_to_git(settings) for option in ("--copy-paths", path)]
    run = ("exp", "run", "--temp", "--name", EXPERIMENT, "--set-param", f"budget={budget}", *copied)
    if code := _dvc(*run, environment=environment):
        return code
    for path in SHOWN:
        out = Path(EXPERIMENT) / Path(path).name
        out.parent.mkdir(exist_ok=True)
        copy = ("get", "--quiet", "--force", ".", path, "--rev", _revision(), "--out", str(out))
        if code := _dvc(*copy, environment=environment):
            return code
    return 0


def _revision() -> str:
    """The commit of the experiment on top of the current one, empty where there is none."""
    head = _git("rev-parse", "--verify", "HEAD")
    return _git("for-each-ref", "--format=%(objectname)", f"refs/exps/{head[:2]}/{head[2:]}/{EXPERIMENT}")


def _new_to_git(settings: params.Params) -> list[str]:
    """Code that was not added to git yet, and folders of pictures in the project that git does not hold."""
    code = _git("ls-files", "--others", "--exclude-standard", "--", "pipeline", "stages")
    folders = {source.origin for _, source in settings.sources} - {params.PUBLIC}
    top = Path.cwd()
    inside = sorted(folder for folder in folders if (top / folder).resolve().is_relative_to(top))
    pictures = _git("ls-files", "--others", "--directory", "--", *inside) if inside else ""
    return [*code.splitlines(), *pictures.splitlines()]


def _unsettled(settings: params.Params) -> list[str]:
    """Sources that `fetch` has to look at again though nothing it depends on changed.

    The stand-in gives way as soon as the real data can be had, and DVC cannot see into a folder outside the project.
    """
    unsettled = []
    for name in dict(settings.sources):
        record = Path("data/raw") / name / "source.json"
        embedded = record.exists() and read_json(record)["origin"] == "embedded"
        if embedded or settings.origin_of(name) != params.PUBLIC:
            unsettled.append(name)
    return unsettled


def _result(summary: dict) -> str:
    lines = []
    for task, best in summary.items():
        on_test = ", ".join(f"{suite} {100 * accuracy:.2f} %" for suite, accuracy in best["test"].items())
        origin = " (of the EMBEDDED STAND-IN)" if best["origin"] == "embedded" else ""
        lines.append(f"{task}: {best['candidate']} reads {on_test} of test right{origin}")
    return "\n" + "\n".join(lines)


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], check=False, capture_output=True, text=True)
    if result.returncode:
        raise ConfigurationError(
            f"git {' '.join(arguments)}: {result.stderr.strip()}; expected a clone with at least one commit"
        )
    return result.stdout.strip()


def _dvc(*arguments: str, environment: dict[str, str]) -> int:
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], env=environment, check=False).returncode


if __name__ == "__main__":
    command.run(main)

"""One run of the whole pipeline: in the workspace, or at another budget as an experiment beside it."""

import json
from pathlib import Path
from typing import Any

from pipeline.config import params
from pipeline.core.files import read_json
from pipeline.project import workspace

EXPERIMENT = "quick"
"""The experiment of a run at another budget, and the folder that its report is copied to."""
SHOWN = ("reports/report.html", "metrics/leaderboard.md")


def reproduce(settings: params.Params) -> None:
    """Run what is stale, in the workspace; sources that DVC cannot see a change of are fetched anew first.

    Raises:
        Stopped: a stage or DVC failed.
    """
    if names := [f"fetch@{name}" for name in _unsettled(settings)]:
        workspace.dvc("make repro", "repro", "--force", "--single-item", *names)
    workspace.dvc("make repro", "repro")
    print(_result(read_json(Path("metrics/summary.json"))))
    print("All of it: reports/report.html. Serve it: make serve")


def rehearse(settings: params.Params, budget: float) -> None:
    """Run all of it at another budget as the experiment `quick`, in a folder of its own.

    The changes that are not committed go along. What the workspace holds stays, an earlier experiment of this name does
    not. Sources that were fetched before are not looked at again.

    Args:
        settings: of params.yaml.
        budget: above 0.

    Raises:
        Stopped: a stage or DVC failed.
    """
    if workspace.experiment(EXPERIMENT):
        workspace.dvc("make quick", "exp", "remove", "--quiet", EXPERIMENT)
    # The folder of an experiment holds what git knows, changes included, but no new file that was not added.
    copied = [option for path in _new_to_git(settings) for option in ("--copy-paths", path)]
    run = ("exp", "run", "--temp", "--name", EXPERIMENT, "--set-param", f"budget={budget}", *copied)
    workspace.dvc("make quick", *run)
    revision = workspace.experiment(EXPERIMENT)
    for path in SHOWN:
        out = Path(EXPERIMENT) / Path(path).name
        out.parent.mkdir(exist_ok=True)
        workspace.dvc("make quick", "get", "--quiet", "--force", ".", path, "--rev", revision, "--out", str(out))
    print(_result(json.loads(workspace.git("show", f"{revision}:metrics/summary.json"))))
    print(f"At budget {budget:g}, all of it: {EXPERIMENT}/report.html. Into the workspace: dvc exp apply {EXPERIMENT}")


def _new_to_git(settings: params.Params) -> list[str]:
    """Code that was not added to git yet, and folders of pictures in the project that git does not hold."""
    folders = {source.origin for _, source in settings.sources} - {params.PUBLIC}
    top = Path.cwd()
    inside = sorted(folder for folder in folders if (top / folder).resolve().is_relative_to(top))
    pictures = workspace.git("ls-files", "--others", "--directory", "--", *inside) if inside else ""
    return [*workspace.untracked(), *pictures.splitlines()]


def _unsettled(settings: params.Params) -> list[str]:
    """Sources that `fetch` has to look at again though nothing it depends on changed.

    The stand-in gives way as soon as the real data can be had, and DVC cannot see into a folder outside the project.
    """
    unsettled = []
    for name in dict(settings.sources):
        if workspace.origin(name) == "embedded" or settings.origin_of(name) != params.PUBLIC:
            unsettled.append(name)
    return unsettled


def _result(summary: dict[str, Any]) -> str:
    lines = []
    for task, best in summary.items():
        on_test = ", ".join(f"{suite} {100 * accuracy:.2f} %" for suite, accuracy in best["test"].items())
        origin = " (of the EMBEDDED STAND-IN)" if best["origin"] == "embedded" else ""
        lines.append(f"{task}: {best['candidate']} reads {on_test} of test right{origin}")
    return "\n" + "\n".join(lines)

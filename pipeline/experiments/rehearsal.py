"""`make quick`: the whole pipeline with less of everything, as a DVC experiment beside the workspace."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.config import params
from pipeline.config.sections import PUBLIC
from pipeline.core.errors import ConfigurationError
from pipeline.core.files import replacing, write_text
from pipeline.experiments import changes, preflight, runs
from pipeline.experiments.estimates import Estimates
from pipeline.experiments.reproduction import results
from pipeline.project import dvc, workspace
from pipeline.project.progress import Progress
from pipeline.registry.storage import Storage

EXPERIMENT = "quick"
"""The experiment, and the folder for its report, its packaged models and its logs."""


def rehearse(settings: params.Params) -> None:
    """Run the pipeline with the changes of the section `quick`, as an experiment in a folder of its own.

    The experiment gets changes that are not committed. The workspace stays as it is; an earlier experiment of this name
    is removed. Sources that were fetched before are not fetched again.

    Args:
        settings: of params.yaml.

    Raises:
        ConfigurationError: what is left is not a valid params.yaml, or the result could not be kept; nothing ran.
        DataError: the result was not kept.
        Stopped: a stage or DVC failed.
    """
    document, fewer = reduced(settings)
    preflight.expect_rehearsal()
    definitions = dvc.definitions(document)
    _expect_made(definitions)
    expected = set(definitions)
    if runs.revision(EXPERIMENT):
        dvc.run("make quick", "exp", "remove", "--quiet", EXPERIMENT)
    if tasks := left_out(settings)["reported"]:
        print(
            f"make quick: left out are {', '.join(tasks)}; quick.strategies in params.yaml names no strategy of theirs"
        )
    folder = Path(EXPERIMENT)
    estimates = Estimates.load(folder / "logs", share=fewer.budget / settings.budget)
    progress = Progress(folder / "logs", sys.stdout, estimates.left)
    progress.expect(expected)
    # The folder of an experiment gets what git knows, changes included, but no file that was not added.
    options = [option for path in _new_to_git(settings) for option in ("--copy-paths", path)]
    options += [option for change in overrides(settings) for option in ("--set-param", change)]
    dvc.follow("make quick", progress, "exp", "run", "--temp", "--name", EXPERIMENT, *options)
    estimates.save(folder / "logs", progress.ran)
    revision = runs.expect_kept("make quick", EXPERIMENT, expected)
    _place(revision, fewer, folder)
    print(f"{progress.summary()}. Logs: {folder}/logs\n")
    print(results(fewer, lambda path: runs.text(revision, path)))
    print(f"The report: {folder}/report.html. Serve the models: make serve QUICK=1")
    print(f"Into the workspace: make exp APPLY={EXPERIMENT}")


def _expect_made(definitions: Mapping[str, dvc.Definition]) -> None:
    """Check that git or a stage has all that the stages depend on.

    Raises:
        ConfigurationError: a stage needs what a strategy that was left out makes.
    """
    everything = dvc.definitions(params.read(Path(changes.PARAMS)))
    made = {out for stage in definitions.values() for out in stage.outs}
    absent = {out for stage in everything.values() for out in stage.outs} - made
    for name, stage in definitions.items():
        for dep in absent.intersection(stage.deps):
            if not workspace.paths("ls-files", "--", dep):
                raise ConfigurationError(
                    f"params.yaml: quick.strategies: {name} needs {dep}, which no strategy of this list makes; add it"
                )


def reduced(settings: params.Params) -> tuple[dict[str, Any], params.Params]:
    """The settings of the experiment, as they are written and as they are read.

    Raises:
        ConfigurationError: what is left is not a valid params.yaml.
    """
    return changes.applied(params.read(Path(changes.PARAMS)), overrides(settings))


def overrides(settings: params.Params) -> list[str]:
    """The changes of params.yaml that the section `quick` stands for, as `dvc exp run --set-param` takes them.

    Raises:
        ConfigurationError: it names no strategy, or one that does not exist.
    """
    quick = settings.quick
    if not quick.strategies:
        raise ConfigurationError("params.yaml: quick.strategies: no entry; it names what `make quick` trains")
    for name in quick.strategies:
        settings.strategies[name]
    absent = left_out(settings)
    # A section that `quick` replaces has no entries of its own.
    removed = [f"{key}.{name}" for key, names in absent.items() if key not in quick.changes for name in names]
    kept = {
        key: value for key, value in quick.changes.items() if not key.startswith(tuple(f"{each}." for each in removed))
    }
    # A mapping would be merged into the one that is there.
    replaced = [key for key, value in kept.items() if isinstance(value, Mapping)]
    return [
        *(f"~{key}" for key in replaced),
        *(f"{'+' if key in replaced else ''}{key}={_written(value)}" for key, value in kept.items()),
        *(f"~{key}" for key in removed),
        *([] if "proposals" in quick.changes else [f"proposals=[{','.join(_proposals(settings, absent['suites']))}]"]),
    ]


def _proposals(settings: params.Params, absent: Sequence[str]) -> list[str]:
    """The suites for which regions are proposed: none where no strategy takes regions."""
    takes = any(settings.strategies[name].takes_proposals for name in settings.quick.strategies)
    return [name for name in settings.proposals if takes and name not in absent]


def left_out(settings: params.Params) -> dict[str, list[str]]:
    """By section of params.yaml, the entries that no strategy of `quick` needs."""
    trained = {name: settings.strategies[name] for name in settings.quick.strategies}
    tasks = {entry.task for entry in trained.values()}
    sets = {f"{task}/{suite}" for task in tasks for suite in settings.suites_of(task)}
    for entry in trained.values():
        sets |= {entry.train_on, entry.features.removeprefix("data/")}
    # A suite is composed of the pictures of another, or of a source.
    waiting = list(sets)
    while waiting:
        suite = settings.suites.get(PurePosixPath(waiting.pop()).name)
        if suite and suite.source not in sets:
            sets.add(suite.source)
            waiting.append(suite.source)
    return {
        "strategies": [name for name in settings.strategies if name not in trained],
        "features": [name for name in settings.features if name not in trained],
        "reported": [task for task in settings.reported if task not in tasks],
        "package": [task for task in settings.package if task not in tasks],
        "suites": [name for name, suite in settings.suites.items() if f"{suite.task}/{name}" not in sets],
        "sources": [name for name in settings.sources if f"raw/{name}" not in sets],
        "suspects": [name for name, looked_at in settings.suspects.items() if looked_at.source not in sets],
        "previews.suites": [name for name, shown in settings.previews.suites.items() if shown not in sets],
    }


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _place(revision: str, settings: params.Params, folder: Path) -> None:
    """Copy the report, the leaderboard and the packaged models of the experiment to `folder`."""
    write_text(folder / "leaderboard.md", runs.text(revision, "metrics/leaderboard.md") + "\n")
    with Storage.at(Path(), revision) as storage, replacing(folder / "artifacts") as artifacts:
        storage.fetch("reports/report.html", folder / "report.html")
        for task in settings.package:
            (artifacts / task).mkdir(parents=True)
            storage.fetch(f"artifacts/{task}/model.onnx", artifacts / task / "model.onnx")
            for name in ("manifest.json", "MODEL_CARD.md"):
                write_text(artifacts / task / name, runs.text(revision, f"artifacts/{task}/{name}") + "\n")
            for strategy in storage.names(f"artifacts/{task}/strategies"):
                for name in ("model.onnx", "manifest.json"):
                    path = f"{task}/strategies/{strategy}/{name}"
                    storage.fetch(f"artifacts/{path}", artifacts / path)


def _new_to_git(settings: params.Params) -> list[str]:
    """Code that was not added to git, and folders of pictures inside the project that git does not track."""
    folders = {source.origin for source in settings.sources.values()} - {PUBLIC}
    top = Path.cwd()
    inside = sorted(folder for folder in folders if (top / folder).resolve().is_relative_to(top))
    # A folder's name is no pattern.
    literal = [f":(literal){folder}" for folder in inside]
    pictures = workspace.paths("ls-files", "--others", "--directory", "--", *literal) if inside else []
    return [*workspace.untracked(), *workspace.ignored(), *pictures]

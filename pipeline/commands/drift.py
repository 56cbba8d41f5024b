"""`make drift`: test the prediction log for drift, write a report, and exit with 5 after an alarm. Not a DVC stage."""

import os
from pathlib import Path

from pipeline.core.errors import ConfigurationError, DataError, DriftError
from pipeline.core.files import write_text
from pipeline.monitoring import reading, watching
from pipeline.monitoring.log import QUARANTINE
from pipeline.monitoring.monitor import PREDICTIONS
from pipeline.monitoring.reference import ALL_SUITES
from pipeline.monitoring.segments import locked, segments
from pipeline.monitoring.settings import DEFAULT_FOLDER, FOLDER_VARIABLE
from pipeline.monitoring.statistics import SCHEME
from pipeline.project import command
from pipeline.records.manifest import Manifest
from pipeline.records.monitoring import DriftState
from pipeline.reports import drift
from pipeline.runtime.reader import load_manifests
from pipeline.runtime.releases import models_folder


def main(
    task: str = "", suite: str = "", accept: bool = False, reset: bool = False, *, log: str = "", artifacts: str = ""
) -> str:
    """Test what was logged since the last call, and write `drift/TASK.html` below the log for each task with traffic.

    Args:
        task: the only one to look at; "" for every task with traffic.
        suite: whose valid split is the reference; "" for all suites of the task together. It begins the test anew.
        accept: take the latest logged traffic as the reference, and start again.
        reset: start again with the reference of the model.
        log: the folder of the log; "" for the one that `READER_LOG` names, or `monitoring`.
        artifacts: the models that are served; "" for those of `READER_ARTIFACTS`, of artifacts/ or of release/.

    Raises:
        ConfigurationError: the arguments contradict each other, or there is no such suite.
        DataError: there is no log, what was logged or found of a task is damaged, or no task can be watched.
        DriftError: an alarm was raised, now or before, since the reference was set; damage is named with it.
    """
    if (accept or reset or suite) and not task:
        raise ConfigurationError("ACCEPT, RESET and SUITE are for one task, expected TASK with them, as in TASK=strips")
    if accept and (reset or suite):
        raise ConfigurationError("ACCEPT with RESET or SUITE found, expected one reference")
    folder = Path(log or os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)
    if not segments(folder / PREDICTIONS):
        raise DataError(f"{folder}: no prediction log, expected one; `READER_LOG=monitoring make serve` writes it")
    manifests = load_manifests(Path(artifacts) if artifacts else models_folder(Path()))
    if task and task not in manifests:
        raise ConfigurationError(f"TASK: {task[:40]!r} found, expected one of {', '.join(manifests)}")
    states: list[DriftState] = []
    notes: list[str] = []
    damaged: list[str] = []
    for manifest in manifests.values():
        if task in ("", manifest.task):
            try:
                states += _watch(manifest, folder, suite, accept=accept, reset=reset)
            except watching.NoReferenceError as error:
                notes.append(f"{manifest.task}: not watched: {error}")
            except DataError as error:
                damaged.append(f"{manifest.task}: not watched: {error}")
    if not states and not damaged:
        raise DataError("; ".join(notes) or f"{folder}: nothing of the packaged models is in the log")
    lines = [*map(_line, states), *notes]
    try:
        _expect_sound(states, damaged, folder)
    except (DriftError, DataError):
        # What is fine is said all the same.
        print(*lines, sep="\n", end="\n" if lines else "")
        raise
    return "\n".join(lines)


def _expect_sound(states: list[DriftState], damaged: list[str], folder: Path) -> None:
    """Check that there is neither an alarm nor damage; an alarm comes first, for its exit code says more.

    Raises:
        DriftError, DataError: as `main` does.
    """
    if alarms := [state for state in states if state.alarms]:
        pages = ", ".join(str(_page(folder, state.task)) for state in alarms)
        raise DriftError("; ".join([f"{', '.join(state.task for state in alarms)}: see {pages}", *damaged]))
    if damaged:
        raise DataError("; ".join(damaged))


def _watch(manifest: Manifest, folder: Path, suite: str, *, accept: bool, reset: bool) -> list[DriftState]:
    """The state of a model's test after what is new in the log, if it has traffic.

    Raises:
        NoReferenceError: it has no reference.
        DataError: its state or the log is damaged, or there is too little traffic to be accepted.
    """
    path = folder / watching.FOLDER / f"{manifest.task}.json"
    path.parent.mkdir(exist_ok=True)
    model = manifest.model.sha256
    with locked(path.parent):
        latest = reading.latest(folder / PREDICTIONS, manifest.task, model, drift.LATEST)
        if not latest:
            return []
        # A new start needs nothing of the state, so a damaged one does not matter.
        state = None if accept or reset or suite else _former(path, manifest.task)
        # Another model, or bins of another version: what was seen before says nothing about it.
        if state is None or (state.model, state.scheme) != (model, SCHEME):
            state = watching.accept(manifest, folder) if accept else watching.begin(manifest, suite or ALL_SUITES)
            if reset or suite:
                state = watching.skip(state, folder)
        state = watching.follow(state, folder)
        state.write(path)
        write_text(_page(folder, manifest.task), drift.render(state, latest, folder / QUARANTINE))
    return [state]


def _former(path: Path, task: str) -> DriftState | None:
    """How far the test of a task has come; None where nothing was tested.

    Raises:
        DataError: the state is damaged.
    """
    if not path.is_file():
        return None
    try:
        return DriftState.read(path)
    except DataError as error:
        reason = str(error).partition("; r")[0]
        raise DataError(f"{reason}; `make drift TASK={task} RESET=1` starts again, without its evidence") from None


def _page(folder: Path, task: str) -> Path:
    return folder / watching.FOLDER / f"{task}.html"


def _line(state: DriftState) -> str:
    name = max(state.levels, key=lambda key: state.levels[key])
    seen = f"{state.task}: {state.pictures:,} pictures, against {state.reference}"
    if not state.alarms:
        return f"{seen}: no drift; most evidence: {name}, {state.levels[name]:.2g} of an alarm"
    raised = ", ".join(
        f"{alarm.statistic} at {drift.format_time(alarm.time)} (picture {alarm.pictures:,})" for alarm in state.alarms
    )
    return f"{seen}: drift: {raised}"


if __name__ == "__main__":
    command.run(main)

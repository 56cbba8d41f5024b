"""What happens when the person is done: DVC tracks the labels, params.yaml takes them in, and feedback makes room."""

from collections.abc import Collection
from pathlib import Path

from pipeline.config import params
from pipeline.config.params import Params
from pipeline.core.errors import DataError
from pipeline.data.corrections import FOLDER, LABELS
from pipeline.labelling import suites
from pipeline.labelling.folder import Corrections
from pipeline.monitoring import feedback
from pipeline.project import dvc

PARAMS = Path("params.yaml")


def expect_checked_out(tasks: Collection[str]) -> None:
    """Check that the labels which DVC tracks are here: to track the folder anew without them would drop them.

    Raises:
        DataError: a folder is missing, or is of another version than git has.
    """
    tracked = [task for task in tasks if _file(task).is_file()]
    if not tracked:
        return
    with dvc.opened() as repo:
        changed = repo.status([str(_file(task)) for task in tracked])
    for task in tracked:
        labels = FOLDER / task / LABELS
        if not labels.is_file() or (str(_file(task)) in changed and not _is_newer(labels, _file(task))):
            raise DataError(
                f"{FOLDER / task}: not the labels that {_file(task)} names; `dvc checkout {_file(task)}` brings them, "
                "after `make pull` where they are in the remote only"
            )


def record(log: Path, corrections: Corrections) -> list[str]:
    """Have DVC track every folder of labels that changed, and add what is missing to params.yaml.

    Args:
        log: the folder of the log; what it has of labelled pictures as feedback is removed.
        corrections: that were labelled.

    Returns:
        Sentences on what was changed, and the command that comes next; none where nothing was changed.

    Raises:
        Stopped: DVC failed; labels are kept, and the next call goes on.
        ConfigurationError: a person has to edit params.yaml.
    """
    sentences = []
    settings = params.load(PARAMS)
    for task in corrections.tasks():
        rows = corrections.labels(task).rows()
        if not rows and not _file(task).is_file():
            continue
        if _is_newer(FOLDER / task / LABELS, _file(task)):
            dvc.run("make label", "add", "--quiet", str(FOLDER / task))
            # DVC leaves a file alone that says the same.
            _file(task).touch()
            sentences.append(f"{_file(task)}: tracked, labels of {task}: {len(rows):,}")
        if not rows:
            continue
        if keys := suites.lacking(settings, task):
            suites.add(PARAMS, keys)
            settings = params.load(PARAMS)
            sentences.append(f"{PARAMS}: added {suites.format_keys(keys)}: from now on they take the labels in")
        if not any(getattr(settings.suites[name], suites.KEY) for name in suites.taking(settings, task)):
            sentences.append(f"{PARAMS}: no suite takes in the labels of {task}, so nothing trains on them")
    _make_room(log, corrections)
    return sentences


def unused_reviews(settings: Params, corrections: Corrections) -> list[str]:
    """Sentences on reviewed pictures that no suite of params.yaml leaves out.

    Raises:
        DataError: a table is damaged.
    """
    used = {getattr(suite, "leave_out", "") for suite in settings.suites.values()}
    tables = [corrections.excluded_table(source) for source in settings.suspects]
    return [
        f"{table.path}: no suite leaves these pictures out; `leave_out: {table.path}` in its entry of {PARAMS} does"
        for table in tables
        if str(table.path) not in used and table.rows()
    ]


def _make_room(log: Path, corrections: Corrections) -> None:
    """Remove feedback on pictures that were looked at, and on answers that are right: the store is bounded."""
    looked_at = corrections.pictures()
    for each in feedback.corrections(log):
        # The service counted a right answer when it arrived, and there is nothing to label in it.
        if not each.wrong or (each.task, each.digest) in looked_at:
            feedback.remove(log, each)


def _file(task: str) -> Path:
    return FOLDER / f"{task}.dvc"


def _is_newer(path: Path, other: Path) -> bool:
    """Whether a file was written after another one, which may be missing."""
    return not other.is_file() or path.stat().st_mtime_ns > other.stat().st_mtime_ns

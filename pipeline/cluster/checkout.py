"""The params and the results of a run in a checkout: those of the commit, changed."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.core.files import replacing, write_text
from pipeline.experiments import changes, keeping
from pipeline.records.outcome import Outcome

RESULTS = frozenset(
    (
        "artifacts",
        "calibrations",
        "data",
        "exports",
        "metrics",
        "models",
        "predictions",
        "previews",
        "reports",
        "timings",
    )
)
"""The folders to which stages write. Code and settings are the commit's, whatever a remote says."""


def set_params(changed: Sequence[str], folder: Path) -> None:
    """Change params.yaml as `dvc exp run --set-param` does.

    Args:
        changed: each of one value.
        folder: of the project; its params.yaml is that of the commit.
    """
    if changed:
        path = folder / changes.PARAMS
        document = params.read(path)
        apply_overrides(path, [changes.with_plus(change, document) for change in changed])


def record(several: Iterable[Outcome], folder: Path) -> None:
    """Put the outcomes of stages into dvc.lock, and the files that git keeps into the folder of the project.

    Raises:
        DataError: an outcome names a file that no stage writes; nothing of it is written.
    """
    path = folder / keeping.LOCK
    lock = (YAML(typ="safe").load(path) if path.exists() else None) or {"schema": "2.0", "stages": {}}
    for outcome in several:
        # They come from a remote that others write to.
        if others := [name for name in outcome.files if not _is_result(name)]:
            raise DataError(
                f"the outcome of {outcome.stage}: {others[0]}: expected a file below {', '.join(sorted(RESULTS))}"
            )
        lock["stages"][outcome.stage] = dict(outcome.lock)
        for name, text in outcome.files.items():
            write_text(folder / name, text)
    yaml = YAML()
    yaml.width = 1 << 16
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        yaml.dump(lock, file)


def _is_result(name: str) -> bool:
    path = PurePosixPath(name)
    return len(path.parts) > 1 and path.parts[0] in RESULTS and ".." not in path.parts

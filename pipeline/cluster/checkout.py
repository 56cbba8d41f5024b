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
        DataError: an outcome names a file outside of the project; nothing of it is written.
    """
    path = folder / keeping.LOCK
    lock = (YAML(typ="safe").load(path) if path.exists() else None) or {"schema": "2.0", "stages": {}}
    for outcome in several:
        # They come from a remote that others write to.
        if outside := [name for name in outcome.files if not _is_inside(name)]:
            raise DataError(f"the outcome of {outcome.stage}: {outside[0]}: expected a path in the project")
        lock["stages"][outcome.stage] = dict(outcome.lock)
        for name, text in outcome.files.items():
            write_text(folder / name, text)
    yaml = YAML()
    yaml.width = 1 << 16
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        yaml.dump(lock, file)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.parts[:1] not in ((), (".git",), (".dvc",))

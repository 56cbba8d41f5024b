"""Changes of params.yaml, as `dvc exp run --set-param` takes them, checked before a run begins."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from ruamel.yaml import YAML

from pipeline.config import params
from pipeline.core.errors import ConfigurationError

PARAMS = "params.yaml"
_MOST_SHOWN = 300
"""Characters of a change or a reason in a message."""


def combinations(changes: Sequence[str], path: Path = Path(PARAMS)) -> list[tuple[str, ...]]:
    """Expand changes into runs, and check params.yaml with the changes of each run.

    Args:
        changes: `key=value`; several values are `key=1,2` or `key=range(1,5)`. A key that params.yaml leaves to its
            default needs no `+`.
        path: the params that are changed; `pipeline/` is beside them.

    Returns:
        The changes of every run, each of one value: the product of all choices, or one run without any.

    Raises:
        ConfigurationError: a change is not `key=value`, its key is unknown, or its key does not take the value.
    """
    for change in changes:
        key, equals, _ = change.partition("=")
        if not equals:
            raise ConfigurationError(f"--set-param {_short(change)}: expected key=value, for instance seed=1,2")
        if key.startswith("~"):
            raise ConfigurationError(f"--set-param {_short(change)}: a key cannot be removed; expected key=value")
    if not changes:
        params.load(path)
        return [()]
    try:
        runs = [tuple(sweep[PARAMS]) for sweep in get_hydra_sweeps({PARAMS: list(changes)})]
    except (DvcException, ValueError) as error:
        raise ConfigurationError(f"--set-param {_short(' '.join(changes))}: {_short(error)}") from None
    except Exception as error:
        # Hydra's grammar errors share no base class but Exception.
        if not type(error).__module__.startswith("hydra"):
            raise
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"--set-param {_short(' '.join(changes))}: {_short(reason)}") from None
    document = params.read(path)
    for run in runs:
        apply(document, run, path)
    return runs


def with_plus(change: str, document: Mapping[str, Any]) -> str:
    """Mark a change of a key that params.yaml leaves to its default with `+`: DVC then adds the key.

    Args:
        change: `key=value`.
        document: the content of params.yaml.
    """
    key = change.partition("=")[0]
    return change if key.startswith(("+", "~")) or key in _keys(document) else f"+{change}"


def apply(document: Mapping[str, Any], changes: Sequence[str], path: Path = Path(PARAMS)) -> dict[str, Any]:
    """A params document with changes applied as DVC applies them, checked as `make repro` checks it; see `applied`."""
    return applied(document, changes, path)[0]


def applied(
    document: Mapping[str, Any], changes: Sequence[str], path: Path = Path(PARAMS)
) -> tuple[dict[str, Any], params.Params]:
    """A params document with changes applied as DVC applies them, as it is written and as it is read.

    Args:
        document: the content of params.yaml.
        changes: each of one value.
        path: what messages call it; `pipeline/` is beside it.

    Raises:
        ConfigurationError: DVC cannot apply the changes, or the result is not valid.
    """
    where = f"--set-param {_short(' '.join(changes))}: " if changes else ""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PARAMS
        with copy.open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(dict(document), file)
        (Path(folder) / "pipeline").symlink_to(path.resolve().with_name("pipeline"))
        try:
            if changes:
                apply_overrides(copy, [with_plus(change, document) for change in changes])
            return params.read(copy), params.load(copy)
        except DvcException as error:
            raise ConfigurationError(f"{where}{_short(error.__cause__ or error)}") from None
        except ConfigurationError as error:
            raise ConfigurationError(where + str(error).replace(str(copy), str(path))) from None


def _keys(values: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")


def _short(text: object) -> str:
    """A text for a message, cut where it is long."""
    return str(text) if len(str(text)) <= _MOST_SHOWN else f"{str(text)[:_MOST_SHOWN]}…"

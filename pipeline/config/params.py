"""params.yaml, typed and checked. `make repro` loads it before any work; importing this does not import TensorFlow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, create_model
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from pipeline.config import consistency
from pipeline.config.sections import (
    AnySuite,
    Compose,
    Fetch,
    Frozen,
    Gates,
    Normalization,
    Packaging,
    Previews,
    Sources,
    Strategy,
    Task,
    Validation,
)
from pipeline.config.signatures import settings_model, strategy_names
from pipeline.config.types import Name, Positive, Precision, Section, Whole, explain, nearest
from pipeline.core.errors import ConfigurationError


class Named(dict):
    """A section by name. A name that is not in it is the user's error; the message lists the names that are."""

    def __init__(self, section: str, entries: Mapping[str, Any]) -> None:
        super().__init__(entries)
        self.section = section

    def __missing__(self, name: str) -> Any:
        raise ConfigurationError(
            f"params.yaml: {self.section}: no {name!r}{nearest(name, list(self))}; there are {', '.join(self)}"
        )


class Params(Section):
    """All of params.yaml. `load` adds the field `strategies`, whose type depends on `pipeline/strategies`."""

    seed: Whole
    budget: Positive
    precision: Precision
    fetch: Fetch
    sources: Sources
    compose: Compose
    suites: Annotated[dict[Name, AnySuite], Field(min_length=1)]
    reported: dict[Task, list[str]]
    validation: Validation = Field(alias="validate")
    normalize: Normalization
    previews: Previews
    features: dict[Name, Frozen] = Field(default={})
    proposals: list[Name] = Field(default=[])
    strategies: Any
    package: Annotated[dict[Task, Packaging], Field(min_length=1)]
    gates: Gates

    def origin_of(self, source: str) -> str:
        """Where the pictures of a source come from: `public`, or a folder.

        Raises:
            ConfigurationError: there is no such source.
        """
        return Named("sources", dict(self.sources))[source].origin

    def suites_of(self, task: str) -> list[str]:
        """The names of the suites that a task's strategies are scored on, in the order of params.yaml."""
        return [name for key, names in self.reported.items() if key == task for name in names]

    def strategies_of(self, task: str) -> list[str]:
        """The names of a task's strategies, in the order of params.yaml."""
        return [name for name, strategy in self.strategies.items() if strategy.task == task]


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        ConfigurationError: the file cannot be read, a key is unknown or missing, a value is not what its key takes, or
            two values contradict each other; the message names the key, what was expected and what was found.
    """
    document = read(path)
    kind = _root()
    try:
        params = kind.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {explain(error, kind)}") from None
    written = document["strategies"]
    named = {name: getattr(params.strategies, name) for name in written}
    params = params.model_copy(
        update={
            "suites": Named("suites", params.suites),
            "features": Named("features", params.features),
            "strategies": Named("strategies", named),
        }
    )
    consistency.check(params, Path(path))
    return params


class _Strategies(Section):
    unknown_key = ("unknown strategy", "there are")


def _root() -> type[Params]:
    """The model of the whole file, with a field for each strategy that exists."""
    models: dict[str, Any] = {name: (settings_model(name, Strategy), None) for name in strategy_names()}
    strategies = create_model("Strategies", __base__=_Strategies, **models)
    filled = Annotated[strategies, BeforeValidator(_mapping)]  # type: ignore[valid-type]
    return create_model("Params", __base__=Params, strategies=(filled, ...))


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict) or not value:
        raise ValueError("a mapping with at least one entry")
    return value


def read(path: Path) -> dict[str, Any]:
    """Parse a YAML file into plain Python values; duplicate keys and Python tags are errors.

    Raises:
        ConfigurationError: the file is missing, empty, not a mapping, or not plain YAML.
    """
    path = Path(path)
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file; run from the project's top folder") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{path}: a folder; expected a YAML file") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: not UTF-8 text") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = (error.problem or "not valid YAML").splitlines()[0]
        raise ConfigurationError(f"{where}: {problem}; expected plain YAML with every key once") from None
    if document is None:
        raise ConfigurationError(f"{path}: the file is empty; `git checkout {path.name}` restores the standard one")
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: expected a mapping of sections, found {type(document).__name__}")
    return document

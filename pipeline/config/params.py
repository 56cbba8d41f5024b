"""params.yaml, typed and checked. `make repro` loads it before any work; importing this does not import TensorFlow."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, create_model
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from pipeline.config import consistency
from pipeline.config.names import checked, shown
from pipeline.config.sections import (
    Analysis,
    AnySuite,
    Calibration,
    Compose,
    Fetch,
    Frozen,
    Gates,
    Normalization,
    Packaging,
    Previews,
    Quick,
    RobustnessSection,
    Source,
    Strategy,
    Suspects,
    Task,
    Validation,
)
from pipeline.config.signatures import settings_model, strategy_names
from pipeline.config.types import Length, Name, Precision, Section, Seed, Switch, explain, nearest
from pipeline.core.errors import ConfigurationError

MOST_BYTES = 128 << 10
"""Bytes of a file that `read` parses at most; the standard params.yaml has a tenth of it."""
MOST_VALUES = 20_000
"""Values of a file at most, where an alias counts as often as it is used."""
MOST_OPEN = 100
"""Brackets of a file that are open at once at most."""
DEEPEST = 20
"""Levels of mappings and lists in a file at most."""


class Named(dict):
    """A section by name. A name that is not in it is the user's error; the message lists the names that are."""

    def __init__(self, section: str, entries: Mapping[str, Any]) -> None:
        super().__init__(entries)
        self.section = section

    def __missing__(self, name: str) -> Any:
        raise ConfigurationError(
            f"params.yaml: {self.section}: no {shown(name)}{nearest(name, list(self))}; there are {', '.join(self)}"
        )


class Params(Section):
    """All of params.yaml. `load` adds the field `strategies`, whose type depends on `pipeline/strategies`."""

    seed: Seed
    budget: Length
    precision: Precision
    deterministic: Switch = True
    fetch: Fetch
    sources: Annotated[dict[Name, Source], Field(min_length=1)]
    compose: Compose
    suites: Annotated[dict[Name, AnySuite], Field(min_length=1)]
    reported: dict[Task, list[str]]
    validation: Validation = Field(alias="validate")
    normalize: Normalization
    previews: Previews
    features: dict[Name, Frozen] = Field(default={})
    proposals: list[Name] = Field(default=[])
    strategies: Any
    calibrate: Calibration
    package: Annotated[dict[Task, Packaging], Field(min_length=1)]
    robustness: RobustnessSection
    analysis: Analysis
    suspects: dict[Name, Suspects] = Field(default={})
    gates: Gates
    quick: Quick = Field(default_factory=Quick)

    def origin_of(self, source: str) -> str:
        """Where the pictures of a source come from: `public`, or a folder.

        Raises:
            ConfigurationError: there is no such source.
        """
        return Named("sources", self.sources)[source].origin

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
    _check_strategy_names(document.get("strategies"), path)
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


def _check_strategy_names(strategies: Any, path: Path) -> None:
    """A strategy's name is that of its file, and that can be any; the other sections check their own names."""
    for name in strategies if isinstance(strategies, dict) else ():
        try:
            checked(name)
        except ValueError as error:
            raise ConfigurationError(f"{path}: strategies: expected {error}, found {shown(name)}") from None


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict) or not value:
        raise ValueError("a mapping with at least one entry")
    return value


def read(path: Path) -> dict[str, Any]:
    """Parse a YAML file into plain Python values; duplicate keys and Python tags are errors.

    Raises:
        ConfigurationError: the file is missing, empty, too large, not a mapping, or not plain YAML.
    """
    path = Path(path)
    document = _parsed(_text(path), path)
    if document is None:
        raise ConfigurationError(f"{path}: the file is empty; `git checkout {path.name}` restores the standard one")
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: expected a mapping of sections, found {type(document).__name__}")
    try:
        values = _values(document, {}, 0)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if values > MOST_VALUES:
        raise ConfigurationError(f"{path}: {shown(values)} values, aliases included; expected at most {MOST_VALUES:,}")
    return document


def _text(path: Path) -> str:
    if path.is_dir():
        raise ConfigurationError(f"{path}: a folder; expected a YAML file")
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"{path}: a device or a pipe; expected a YAML file")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file; run from the project's top folder") from None
    if len(content) > MOST_BYTES:
        raise ConfigurationError(f"{path}: more than {MOST_BYTES >> 10} KiB; expected a file that people write")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: not UTF-8 text") from None


def _parsed(text: str, path: Path) -> Any:
    # The parser's time grows with the third power of the depth.
    levels = itertools.accumulate((char in "[{") - (char in "]}") for char in text)
    if max(levels, default=0) > MOST_OPEN:
        raise ConfigurationError(f"{path}: more than {MOST_OPEN} brackets are open at once")
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = (error.problem or "not valid YAML").splitlines()[0]
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        where, problem = f"{path}:{line}", f"the character {error.character:#06x} is not allowed"
    except RecursionError:
        where, problem = str(path), "nested too deeply"
    except Exception as error:
        # A scalar that its tag does not take, for instance `!!int abc` or the date 2024-13-45, ends in whatever the
        # conversion raises: ValueError, TypeError, AttributeError and others.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        where, problem = str(path), f"a value that its type does not take: {reason}"
    raise ConfigurationError(f"{where}: {problem}; expected plain YAML with every key once") from None


def _values(value: Any, counted: dict[int, int | None], depth: int) -> int:
    """The number of values below and including `value`, where an alias counts as often as it is used.

    Args:
        value: of a parsed document.
        counted: by identity, the number of those that were counted before; None while one is being counted. Filled.
        depth: of `value` in the document.

    Raises:
        ValueError: a value contains itself, is nested too deeply, or is a number of more than 64 bits.
    """
    if isinstance(value, int) and value.bit_length() > 64:
        raise ValueError(f"the number {shown(value)}; expected 64 bits at most")
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if depth > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} levels deep")
    if id(value) not in counted:
        counted[id(value)] = None
        parts = [*value, *value.values()] if isinstance(value, dict) else list(value)
        counted[id(value)] = 1 + sum(_values(part, counted, depth + 1) for part in parts)
    number = counted[id(value)]
    if number is None:
        raise ValueError("a value that contains itself, by an alias")
    return number

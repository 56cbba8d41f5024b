"""params.yaml, typed and checked. Imports no TensorFlow: `make repro` asks it before any work."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from pipeline.config import types as setting_types
from pipeline.config.sections import (
    Compose,
    Fetch,
    Frozen,
    Gates,
    Normalization,
    Packaging,
    Previews,
    SceneSuite,
    Sources,
    SplitSuite,
    StripSuite,
    Validation,
)
from pipeline.config.types import Positive, Precision, Whole, checked, nearest
from pipeline.core.errors import ConfigurationError

TASKS = ("strips", "scenes", "mnist", "cifar10")
STRATEGIES_FOLDER = Path(__file__).parents[1] / "strategies"
STRATEGY_KEYS = ("task", "train_on", "uses")
CONTRACT_ARGUMENTS = ("normalizer", "seed", "budget", "features")
FEATURES_FOLDER = "data/features"
"""Where stages.features writes; a strategy whose `uses` is a folder in it trains on what it holds."""
PUBLIC = "public"
"""The origin of a source that is fetched from its public addresses; any other is a folder."""
PUBLIC_SIZES = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}
"""Pictures in the official train and test files of the public sources."""


class Named(dict):
    """A section by name; asking for a name that is not in it is the user's error, and says which there are."""

    def __init__(self, section: str, entries: Mapping[str, Any]) -> None:
        super().__init__(entries)
        self.section = section

    def __missing__(self, name: str) -> Any:
        raise ConfigurationError(
            f"params.yaml: {self.section}: no {name!r} in it{nearest(name, list(self))}; there are {', '.join(self)}"
        )


@dataclass(frozen=True)
class Strategy:
    """One entry under `strategies`: where it stands in the pipeline, and the keyword arguments of its `train`."""

    name: str
    task: str
    train_on: str
    uses: str
    settings: Mapping[str, Any]

    @property
    def on_features(self) -> bool:
        """Whether `uses` names features of the frozen part of its network."""
        return PurePosixPath(self.uses).parent == PurePosixPath(FEATURES_FOLDER)


@dataclass(frozen=True)
class Params:
    """All of params.yaml."""

    seed: int
    budget: float
    precision: Precision
    fetch: Fetch
    sources: Sources
    compose: Compose
    suites: Mapping[str, SplitSuite | StripSuite | SceneSuite]
    reported: Mapping[str, list[str]]
    validate: Validation
    normalize: Normalization
    previews: Previews
    strategies: Mapping[str, Strategy]
    features: Mapping[str, Frozen]
    package: Mapping[str, Packaging]
    gates: Gates

    def origin_of(self, source: str) -> str:
        """Where a source's pictures come from: `public`, or a folder.

        Raises:
            ConfigurationError: there is no such source.
        """
        return Named("sources", dict(self.sources))[source].origin

    def suites_of(self, task: str) -> list[str]:
        """The names of a task's suites that its strategies are scored on, in the order of params.yaml."""
        return list(self.reported.get(task, []))


_SECTIONS: dict[str, Any] = {
    "seed": Whole,
    "budget": Positive,
    "precision": Precision,
    "fetch": Fetch,
    "sources": Sources,
    "compose": Compose,
    "reported": dict[Literal[TASKS], list[str]],
    "validate": Validation,
    "normalize": Normalization,
    "previews": Previews,
    "gates": Gates,
}
_MAPPINGS = ("suites", "strategies", "package")


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        ConfigurationError: the file cannot be read, a key is unknown or missing, or a value is not what its key takes;
            the message names the key, what was expected, what was found, and the nearest key that exists.
    """
    document = read(path)
    _known(document, [*_SECTIONS, *_MAPPINGS], path, "", optional=["features"])
    values = {name: _checked(kind, document[name], path, name) for name, kind in _SECTIONS.items()}
    for name in _MAPPINGS:
        if not isinstance(document[name], dict) or not document[name]:
            raise ConfigurationError(
                f"{path}: {name}: expected a mapping with at least one entry, found {document[name]!r}"
            )
    suites = {name: _suite(entry, path, f"suites.{name}") for name, entry in document["suites"].items()}
    strategies = {
        str(name): _strategy(str(name), entry, suites, path) for name, entry in document["strategies"].items()
    }
    package = {}
    for task, entry in document["package"].items():
        able = [name for name, strategy in strategies.items() if strategy.task == task]
        if not able:
            raise ConfigurationError(
                f"{path}: package.{task}: no strategy has this task; expected one of {', '.join(TASKS)}"
            )
        if not any(_constant(name, "DEPLOYABLE", True) for name in able):
            raise ConfigurationError(
                f"{path}: package.{task}: none of {', '.join(able)} can be deployed; expected a strategy that can"
            )
        package[task] = _checked(Packaging, entry, path, f"package.{task}")
        if task not in values["gates"].tasks:
            raise ConfigurationError(
                f"{path}: gates.tasks.{task}: missing; expected what a version of {task} must keep to"
            )
    features = _checked(dict[str, Frozen], document.get("features", {}), path, "features")
    params = Params(
        features=Named("features", features),
        suites=Named("suites", suites),
        strategies=Named("strategies", strategies),
        package=package,
        **values,
    )
    _consistent(params, path)
    return params


def read(path: Path) -> dict[str, Any]:
    """Parse a YAML file into plain Python values; duplicate keys and Python tags are errors.

    Raises:
        ConfigurationError: the file is missing, empty, no mapping, or not plain YAML.
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
        raise ConfigurationError(f"{path}: the file is empty; `git checkout {path.name}` brings the standard one back")
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: expected a mapping of sections, found {type(document).__name__}")
    return document


def strategy_names() -> list[str]:
    """The names of the strategies there are: the files of `pipeline/strategies`."""
    return sorted(file.stem for file in STRATEGIES_FOLDER.glob("*.py") if not file.stem.startswith("_"))


def settings_of(name: str) -> dict[str, tuple[Any, bool]]:
    """The settings of a strategy as `{setting: (type, required)}`, read from its `train` without importing it.

    Importing a strategy imports TensorFlow, which takes seconds; its source says the same in milliseconds.
    """
    trains = [node for node in _module(name).body if isinstance(node, ast.FunctionDef) and node.name == "train"]
    if not trains:
        raise ConfigurationError(f"pipeline/strategies/{name}.py: no function train(train, valid, *, ...) in it")
    arguments = trains[0].args
    settings = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if argument.arg in CONTRACT_ARGUMENTS:
            continue
        annotation = ast.unparse(argument.annotation) if argument.annotation else "Any"
        try:
            # The annotation is this project's own source, never a user's text.
            kind = eval(annotation, dict(vars(setting_types)))
        except NameError as error:
            raise ConfigurationError(
                f"pipeline/strategies/{name}.py: {argument.arg}: {annotation}: {error}; "
                "annotate settings with the types of pipeline/config/types.py, with Literal, or with a plain Python type"
            ) from None
        settings[argument.arg] = (kind, default is None)
    return settings


def _strategy(name: str, entry: Any, suites: Mapping[str, Any], path: Path) -> Strategy:
    where = f"strategies.{name}"
    names = strategy_names()
    if name not in names:
        raise ConfigurationError(
            f"{path}: {where}: unknown strategy{nearest(name, names)}; there are {', '.join(names)}"
        )
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{path}: {where}: expected a mapping, found {entry!r}")
    settings = settings_of(name)
    required = [key for key, (_, needed) in settings.items() if needed]
    _known(entry, [*STRATEGY_KEYS, *required], path, where, optional=[key for key in settings if key not in required])
    task = _checked(Literal[TASKS], entry["task"], path, f"{where}.task")
    _data_set(entry["train_on"], suites, path, f"{where}.train_on")
    _inside_project(entry["uses"], path, f"{where}.uses")
    if not Path(path).with_name("pipeline").is_dir():
        raise ConfigurationError(f"{path}: no folder pipeline/ beside it; run from the project's top folder")
    made = PurePosixPath(entry["uses"]).parent == PurePosixPath(FEATURES_FOLDER)
    if not made and not (Path(path).parent / entry["uses"]).exists():
        raise ConfigurationError(
            f"{path}: {where}.uses: no file or folder {entry['uses']!r}, expected one below pipeline/"
        )
    values = {
        key: _checked(kind, entry[key], path, f"{where}.{key}") for key, (kind, _) in settings.items() if key in entry
    }
    return Strategy(name=name, task=task, train_on=entry["train_on"], uses=entry["uses"], settings=values)


def _suite(entry: Any, path: Path, where: str) -> SplitSuite | StripSuite | SceneSuite:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{path}: {where}: expected a mapping, found {entry!r}")
    if "task" not in entry:
        raise ConfigurationError(f"{path}: {where}.task: missing; expected one of {', '.join(TASKS)}")
    task = _checked(Literal[TASKS], entry["task"], path, f"{where}.task")
    suite = _checked({"strips": StripSuite, "scenes": SceneSuite}.get(task, SplitSuite), entry, path, where)
    _inside_project(suite.source, path, f"{where}.from")
    return suite


def _consistent(params: Params, path: Path) -> None:
    for name, suite in params.suites.items():
        if not isinstance(suite, SplitSuite):
            continue
        source = PurePosixPath(suite.source).name
        origin = getattr(params.sources, source, None)
        if suite.source != f"raw/{source}" or origin is None:
            raise ConfigurationError(
                f"{path}: suites.{name}.from: expected raw/mnist or raw/cifar10 for a suite of single pictures, "
                f"found {suite.source!r}"
            )
        if origin.origin != PUBLIC:
            continue
        official_train, official_test = PUBLIC_SIZES[source]
        given = suite.train + suite.valid + suite.gate
        if given != official_train or suite.test != official_test:
            raise ConfigurationError(
                f"{path}: suites.{name}: train + valid + gate is {given} and test {suite.test}; "
                f"expected {official_train} and {official_test}, the sizes of the official files"
            )
    for name, suite in params.suites.items():
        digits = [key for key, other in params.suites.items() if f"{other.task}/{key}" == suite.source]
        if not isinstance(suite, SplitSuite) and (not digits or params.suites[digits[0]].task != "mnist"):
            raise ConfigurationError(
                f"{path}: suites.{name}.from: {suite.task} are composed from single digits, expected mnist/mnist, "
                f"found {suite.source!r}"
            )
    for task, names in params.reported.items():
        _reported(params, task, names, f"{path}: reported.{task}")
    for name, wanted in params.previews.suites.items():
        _data_set(wanted, params.suites, path, f"previews.suites.{name}")
    for name in params.features:
        if name not in params.strategies:
            raise ConfigurationError(
                f"{path}: features.{name}: no strategy of this name{nearest(name, list(params.strategies))}; "
                f"there are {', '.join(params.strategies)}"
            )
    for name, strategy in params.strategies.items():
        if not params.suites_of(strategy.task):
            raise ConfigurationError(
                f"{path}: reported.{strategy.task}: no suite in it; expected at least one to score {name} on"
            )
        _consistent_features(params, strategy, path)
        _consistent_pictures(params, strategy, path)
        batch = strategy.settings.get("batch", 1)
        suite = params.suites[PurePosixPath(strategy.train_on).name]
        size = suite.train if isinstance(suite, SplitSuite) else _fewest_composed(params, suite)
        if batch > size:
            raise ConfigurationError(
                f"{path}: strategies.{name}.batch: {batch} is more than the {size} pictures of {strategy.train_on}'s "
                "training split; expected at most that"
            )


def _consistent_pictures(params: Params, strategy: Strategy, path: Path) -> None:
    where = f"{path}: strategies.{strategy.name}"
    suite = params.suites[PurePosixPath(strategy.train_on).name]
    # Strips can be read digit by digit.
    allowed = (strategy.task, "mnist") if strategy.task == "strips" else (strategy.task,)
    if suite.task not in allowed:
        raise ConfigurationError(
            f"{where}.train_on: {strategy.train_on!r} does not teach {strategy.task}; expected a data set of "
            f"{' or '.join(allowed)}"
        )
    mode = strategy.settings.get("normalization")
    whitens = mode == "zca" or (isinstance(mode, Mapping) and mode.get("zca_whitening"))
    if whitens and not isinstance(suite, SplitSuite):
        raise ConfigurationError(
            f"{where}.normalization: pictures of {strategy.train_on} are too large to whiten; expected another mode, "
            "or to train on single digits"
        )


def _reported(params: Params, task: str, names: list[str], where: str) -> None:
    there = [name for name, suite in params.suites.items() if suite.task == task]
    of_task = [name for name, strategy in params.strategies.items() if strategy.task == task]
    readable = {suite for name in of_task for suite in _constant(name, "SUITES", ())}
    for name in names:
        if name not in there:
            raise ConfigurationError(
                f"{where}: no suite {name!r} of {task}{nearest(name, there)}; there are {', '.join(there) or 'none'}"
            )
        if names.count(name) > 1:
            raise ConfigurationError(f"{where}: {name!r} stands in it twice; expected every suite once")
        if of_task and name not in readable:
            raise ConfigurationError(
                f"{where}: no strategy reads {name!r}; expected it in the SUITES of those that can, in "
                "pipeline/strategies/NAME.py"
            )


def _constant(strategy: str, name: str, default: Any) -> Any:
    """A constant of a strategy's module, read from its source like its settings."""
    for node in _module(strategy).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    return default


def _module(strategy: str) -> ast.Module:
    return ast.parse((STRATEGIES_FOLDER / f"{strategy}.py").read_text(encoding="utf-8"))


def _consistent_features(params: Params, strategy: Strategy, path: Path) -> None:
    frozen = params.features.get(strategy.name)
    if strategy.on_features and (frozen is None or PurePosixPath(strategy.uses).name != strategy.name):
        raise ConfigurationError(
            f"{path}: strategies.{strategy.name}.uses: expected {FEATURES_FOLDER}/{strategy.name} and an entry "
            f"features.{strategy.name}, found {strategy.uses!r} and {', '.join(params.features) or 'no entry'}"
        )
    if frozen and frozen.source != strategy.train_on:
        raise ConfigurationError(
            f"{path}: features.{strategy.name}.from: expected {strategy.train_on!r}, what the strategy trains on, "
            f"found {frozen.source!r}"
        )


def _fewest_composed(params: Params, suite: StripSuite | SceneSuite) -> int:
    """Pictures of a composed training split; of scenes, which take as many digits as is drawn, at least."""
    digits = params.suites[PurePosixPath(suite.source).name]
    return digits.train // (5 if isinstance(suite, StripSuite) else suite.digits[1]) * suite.rounds


def _data_set(name: Any, suites: Mapping[str, Any], path: Path, where: str) -> None:
    sets = [f"{suite.task}/{key}" for key, suite in suites.items()]
    if name not in sets:
        raise ConfigurationError(
            f"{path}: {where}: no data set {name!r}{nearest(name, sets)}; there are {', '.join(sets)}"
        )


def _inside_project(value: Any, path: Path, where: str) -> None:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{path}: {where}: expected a path inside the project, found {value!r}")
    pure = PurePosixPath(value)
    if pure.is_absolute() or ".." in pure.parts or "\\" in value or value.startswith("~"):
        raise ConfigurationError(f"{path}: {where}: {value!r} leads outside the project; expected a path inside it")


def _checked(kind: Any, value: Any, path: Path, where: str) -> Any:
    return checked(kind, value, f"{path}: {where}")


def _known(entry: Any, required: list[str], path: Path, where: str, optional: list[str] | None = None) -> None:
    allowed = [*required, *(optional or [])]
    prefix = f"{where}." if where else ""
    for key in entry:
        if key not in allowed:
            hint = nearest(str(key), allowed)
            raise ConfigurationError(f"{path}: {prefix}{key}: unknown key{hint}; expected {', '.join(allowed)}")
    for key in required:
        if key not in entry:
            raise ConfigurationError(f"{path}: {prefix}{key}: missing; expected {', '.join(required)}")

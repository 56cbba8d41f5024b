"""Checks of params.yaml that compare one section with another."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.config import signatures
from pipeline.config.names import is_plain_path, shown
from pipeline.config.sections import (
    FEATURES_FOLDER,
    LINE_SIZES,
    PROPOSALS_FOLDER,
    PUBLIC,
    PUBLIC_SIZES,
    PUBLIC_SOURCES,
    REVIEWS_FOLDER,
    TASKS,
    AnySuite,
    LabelledSceneSuite,
    LabelledSuite,
    LineSuite,
    SceneSuite,
    SplitSuite,
    Strategy,
    StripSuite,
)
from pipeline.config.types import nearest
from pipeline.core.errors import ConfigurationError

if TYPE_CHECKING:
    from pipeline.config.params import Params


def check(params: "Params", path: Path) -> None:
    """Compare the sections of params.yaml.

    Args:
        params: the sections, each valid on its own.
        path: of the file, for messages; `pipeline/` is beside it.

    Raises:
        ConfigurationError: two values contradict each other, or one names something that does not exist.
    """
    if not path.with_name("pipeline").is_dir():
        raise ConfigurationError(f"{path}: no folder pipeline/ beside it; run from the project's top folder")
    _check_sources(params, path)
    _check_suites(params, path)
    _check_computed(params, path)
    for name, strategy in params.strategies.items():
        _check_strategy(params, name, strategy, path)
    for task in params.package:
        _check_package(params, task, path)


def _check_sources(params: "Params", path: Path) -> None:
    _distinct(params.sources, f"{path}: sources")
    for name, source in params.sources.items():
        if source.origin == PUBLIC and name not in PUBLIC_SOURCES:
            raise ConfigurationError(
                f"{path}: sources.{name}.from: only {', '.join(PUBLIC_SOURCES)} are public"
                f"{nearest(name, list(PUBLIC_SOURCES))}; expected a folder of labelled lines"
            )


def _check_suites(params: "Params", path: Path) -> None:
    _distinct(params.suites, f"{path}: suites")
    _distinct(params.normalize.custom, f"{path}: normalize.custom")
    _distinct(params.previews.suites, f"{path}: previews.suites")
    for name, suite in params.suites.items():
        _inside_project(suite.source, f"{path}: suites.{name}.from")
        if isinstance(suite, SplitSuite):
            _check_split_suite(params, suite, f"{path}: suites.{name}")
        if isinstance(suite, LabelledSuite | LabelledSceneSuite):
            _check_labelled_suite(params, suite, f"{path}: suites.{name}")
        if isinstance(suite, SplitSuite | LabelledSuite) and suite.leave_out:
            _check_list(suite.leave_out, path, f"{path}: suites.{name}.leave_out")
    for name, looked_at in params.suspects.items():
        raw = [f"raw/{source}" for source in params.sources]
        if looked_at.source not in raw:
            raise ConfigurationError(
                f"{path}: suspects.{name}.from: no source {shown(looked_at.source)}{nearest(looked_at.source, raw)}; "
                f"there are {', '.join(raw)}"
            )
    for name, suite in params.suites.items():
        if not isinstance(suite, SplitSuite | LabelledSuite | LabelledSceneSuite):
            _check_composed_suite(params, suite, f"{path}: suites.{name}")
    for task, names in params.reported.items():
        _check_reported(params, task, names, f"{path}: reported.{task}")
    for name, wanted in params.previews.suites.items():
        _check_data_set(params, wanted, f"{path}: previews.suites.{name}")


def _check_list(value: str, path: Path, where: str) -> None:
    """A list of pictures to leave out is a file in the folder that the stage `compose` depends on."""
    _inside_project(value, where)
    folder = path.parent / REVIEWS_FOLDER
    there = sorted(f"{REVIEWS_FOLDER}/{file.name}" for file in folder.glob("*.csv"))
    if value not in there:
        raise ConfigurationError(
            f"{where}: no list {shown(value)}{nearest(value, there)}; expected a CSV file of {REVIEWS_FOLDER}/, "
            f"there are {', '.join(there) or 'none'}"
        )


def _check_computed(params: "Params", path: Path) -> None:
    """What is computed before training: features and proposals."""
    for name in params.features:
        if name not in params.strategies:
            raise ConfigurationError(
                f"{path}: features.{name}: no strategy of this name{nearest(name, list(params.strategies))}; "
                f"there are {', '.join(params.strategies)}"
            )
    scenes = [key for key, suite in params.suites.items() if suite.task == "scenes"]
    for name in params.proposals:
        if name not in scenes:
            raise ConfigurationError(
                f"{path}: proposals: no suite of scenes {shown(name)}{nearest(name, scenes)}; "
                f"there are {', '.join(scenes) or 'none'}"
            )


def _check_strategy(params: "Params", name: str, strategy: Strategy, path: Path) -> None:
    where = f"{path}: strategies.{name}"
    _check_data_set(params, strategy.train_on, f"{where}.train_on")
    _inside_project(strategy.code, f"{where}.code")
    if not strategy.code.startswith("pipeline/") or not (path.parent / strategy.code).exists():
        raise ConfigurationError(f"{where}.code: no file or folder {strategy.code!r}, expected one below pipeline/")
    if not params.suites_of(strategy.task):
        raise ConfigurationError(
            f"{path}: reported.{strategy.task}: no suite; expected at least one to score {name} on"
        )
    _check_pictures(params, strategy, where)
    _check_features(params, name, strategy, path)
    _check_batch(params, strategy, where)


def _check_split_suite(params: "Params", suite: SplitSuite, where: str) -> None:
    source = PurePosixPath(suite.source).name
    origin = params.sources.get(source)
    if suite.source != f"raw/{source}" or source not in PUBLIC_SIZES or origin is None:
        raise ConfigurationError(
            f"{where}.from: expected raw/mnist or raw/cifar10 for a suite of single pictures, "
            f"found {shown(suite.source)}"
        )
    if origin.origin != PUBLIC:
        return
    official_train, official_test = PUBLIC_SIZES[source]
    given = suite.train + suite.valid + suite.gate
    if given != official_train or suite.test != official_test:
        raise ConfigurationError(
            f"{where}: train + valid + gate is {given} and test {suite.test}; "
            f"expected {official_train} and {official_test}, the sizes of the official files"
        )


def _check_labelled_suite(params: "Params", suite: LabelledSuite | LabelledSceneSuite, where: str) -> None:
    known = [name for name in params.sources if name not in PUBLIC_SIZES]
    source = PurePosixPath(suite.source).name
    if suite.source != f"raw/{source}" or source not in known:
        raise ConfigurationError(
            f"{where}.from: expected mnist/mnist, or raw/NAME of a source of labelled {suite.task} "
            f"({', '.join(known) or 'there is none'}), found {shown(suite.source)}{nearest(source, known)}"
        )
    if isinstance(suite, LabelledSuite) and suite.labels == "reviewed" and source != "cheques":
        raise ConfigurationError(
            f"{where}.labels: only labels of cheques were reviewed; expected 'published', found 'reviewed'"
        )


def _check_composed_suite(params: "Params", suite: StripSuite | SceneSuite | LineSuite, where: str) -> None:
    digits = [key for key, other in params.suites.items() if f"{other.task}/{key}" == suite.source]
    if not digits or params.suites[digits[0]].task != "mnist":
        raise ConfigurationError(
            f"{where}.from: {suite.task} are composed from single digits, expected mnist/mnist, "
            f"found {shown(suite.source)}"
        )


def _check_reported(params: "Params", task: str, names: list[str], where: str) -> None:
    there = [name for name, suite in params.suites.items() if suite.task == task]
    of_task = params.strategies_of(task)
    readable = {suite for name in of_task for suite in signatures.constant(name, "SUITES", ())}
    for name in names:
        if name not in there:
            raise ConfigurationError(
                f"{where}: no suite {shown(name)} of {task}{nearest(name, there)}; "
                f"there are {', '.join(there) or 'none'}"
            )
        if names.count(name) > 1:
            raise ConfigurationError(f"{where}: duplicate suite {shown(name)}")
        if of_task and name not in readable:
            raise ConfigurationError(
                f"{where}: no strategy reads {shown(name)}; expected it in the SUITES of those that can, in "
                "pipeline/strategies/NAME.py"
            )


def _check_features(params: "Params", name: str, strategy: Strategy, path: Path) -> None:
    takes_regions = not signatures.constant(name, "DEPLOYABLE", True)
    frozen = dict(params.features).get(name)
    if takes_regions:
        expected, reason = PROPOSALS_FOLDER, "since its model takes regions"
    elif frozen:
        expected, reason = f"{FEATURES_FOLDER}/{name}", f"since there is an entry features.{name}"
    elif strategy.features.startswith("models/"):
        _check_initial_model(params, name, strategy, f"{path}: strategies.{name}.features")
        return
    elif (
        signatures.takes_features(name)
        and strategy.features.startswith("data/")
        and not strategy.features.startswith(f"{FEATURES_FOLDER}/")
    ):
        _check_second_data_set(params, strategy, f"{path}: strategies.{name}.features")
        return
    else:
        expected, reason = f"data/{strategy.train_on}", f"since there is no entry features.{name}"
    if strategy.features != expected:
        raise ConfigurationError(
            f"{path}: strategies.{name}.features: expected {expected!r}, {reason}, found {shown(strategy.features)}"
        )
    if frozen and frozen.source != strategy.train_on:
        raise ConfigurationError(
            f"{path}: features.{name}.from: expected {shown(strategy.train_on)}, what the strategy trains on, "
            f"found {shown(frozen.source)}"
        )
    suites = [PurePosixPath(strategy.train_on).name, *params.suites_of(strategy.task)] if takes_regions else []
    for suite in suites:
        if suite not in params.proposals:
            raise ConfigurationError(f"{path}: proposals: expected every suite that {name} reads, {suite!r} is missing")


def _check_initial_model(params: "Params", name: str, strategy: Strategy, where: str) -> None:
    """A strategy may begin with the weights of another one's model, which begins with none itself."""
    if not signatures.takes_features(name):
        raise ConfigurationError(f"{where}: expected 'data/{strategy.train_on}', since {name} takes no features")
    first = [other for other, entry in params.strategies.items() if not entry.features.startswith("models/")]
    models = [f"models/{params.strategies[other].task}/{other}" for other in first]
    if strategy.features not in models:
        raise ConfigurationError(
            f"{where}: no model of a strategy that begins anew {shown(strategy.features)}"
            f"{nearest(strategy.features, models)}; there are {', '.join(models) or 'none'}"
        )


def _check_second_data_set(params: "Params", strategy: Strategy, where: str) -> None:
    """A strategy may train on two data sets, the second one of its own task, or name its own data set again."""
    own, task = f"data/{strategy.train_on}", strategy.task
    there = [f"data/{task}/{key}" for key, suite in params.suites.items() if suite.task == task]
    if strategy.features not in (own, *there):
        raise ConfigurationError(
            f"{where}: no data set of {task} {shown(strategy.features)}{nearest(strategy.features, there)}; "
            f"there are {', '.join(there) or 'none'}"
        )


def _check_pictures(params: "Params", strategy: Strategy, where: str) -> None:
    suite = params.suites[PurePosixPath(strategy.train_on).name]
    # Strips can be read digit by digit.
    allowed = (strategy.task, "mnist") if strategy.task == "strips" else (strategy.task,)
    if suite.task not in allowed:
        raise ConfigurationError(
            f"{where}.train_on: {shown(strategy.train_on)} does not teach {strategy.task}; expected a data set of "
            f"{' or '.join(allowed)}"
        )
    modes = params.normalize.modes
    if strategy.normalization not in modes:
        raise ConfigurationError(
            f"{where}.normalization: expected one of {', '.join(modes)}, found {shown(strategy.normalization)}"
            f"{nearest(strategy.normalization, list(modes))}"
        )
    mode = modes[strategy.normalization]
    whitens = mode == "zca" or (isinstance(mode, dict) and mode.get("zca_whitening"))
    if whitens and not isinstance(suite, SplitSuite):
        raise ConfigurationError(
            f"{where}.normalization: pictures of {strategy.train_on} are too large to whiten; expected another "
            "normalization, or a strategy that trains on single digits"
        )


def _check_batch(params: "Params", strategy: Strategy, where: str) -> None:
    batch = strategy.settings.get("batch", 1)
    suite = params.suites[PurePosixPath(strategy.train_on).name]
    size = _training_pictures(params, suite)
    if size is not None and batch > size:
        raise ConfigurationError(
            f"{where}.batch: {batch} is more than the {size} pictures in the training split of {strategy.train_on}; "
            "expected at most that"
        )


def _check_package(params: "Params", task: str, path: Path) -> None:
    able = params.strategies_of(task)
    if not able:
        raise ConfigurationError(
            f"{path}: package.{task}: no strategy has this task; expected one of {', '.join(TASKS)}"
        )
    if not any(signatures.constant(name, "DEPLOYABLE", True) for name in able):
        raise ConfigurationError(
            f"{path}: package.{task}: none of {', '.join(able)} can be deployed; expected a strategy that can"
        )
    if task not in params.gates.tasks:
        raise ConfigurationError(f"{path}: gates.tasks.{task}: missing; expected the bounds for a version of {task}")


def _training_pictures(params: "Params", suite: AnySuite) -> int | None:
    """Pictures of a training split, or None for labelled pictures of a folder, which were not counted yet.

    The number of scenes depends on draws, so theirs is a lower bound.
    """
    if isinstance(suite, SplitSuite | LineSuite):
        return suite.train
    if isinstance(suite, LabelledSuite | LabelledSceneSuite):
        is_public = params.sources[PurePosixPath(suite.source).name].origin == PUBLIC
        recomposed = suite.recomposed if isinstance(suite, LabelledSuite) else 0
        return LINE_SIZES["train"] + recomposed if is_public else None
    digits = params.suites[PurePosixPath(suite.source).name]
    assert isinstance(digits, SplitSuite)  # its `from` was checked to name single digits
    return digits.train // (5 if isinstance(suite, StripSuite) else suite.digits[1]) * suite.rounds


def _check_data_set(params: "Params", name: Any, where: str) -> None:
    sets = [f"{suite.task}/{key}" for key, suite in params.suites.items()]
    if name not in sets:
        raise ConfigurationError(
            f"{where}: no data set {shown(name)}{nearest(name, sets)}; there are {', '.join(sets)}"
        )


def _distinct(entries: Iterable[str], where: str) -> None:
    """Two names that differ in case alone are one folder on some file systems."""
    seen: dict[str, str] = {}
    for name in entries:
        if other := seen.get(name.lower()):
            raise ConfigurationError(f"{where}.{name}: differs from {other} in upper and lower case alone")
        seen[name.lower()] = name


def _inside_project(value: str, where: str) -> None:
    if not value:
        raise ConfigurationError(f"{where}: expected a path inside the project, found {value!r}")
    pure = PurePosixPath(value)
    if pure.is_absolute() or ".." in pure.parts or "\\" in value or value.startswith("~"):
        raise ConfigurationError(f"{where}: {shown(value)} leads outside the project; expected a path inside it")
    if not is_plain_path(value):
        raise ConfigurationError(
            f"{where}: expected a path whose parts have letters, digits, ., - and _ alone, found {shown(value)}"
        )

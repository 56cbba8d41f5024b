"""Studies: a grid of experiments in one file, and how its runs are started. docs/experiments.md has the format."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError

from pipeline.config import names, params
from pipeline.config.names import shown
from pipeline.config.types import Section, explain
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.experiments import changes, runs
from pipeline.experiments.runs import Run
from pipeline.project import dvc

MOST_RUNS = 10_000
"""Runs of a study at most."""
Level = bool | int | float | str
Changes = dict[str, Any]


def plain_level(value: Any) -> Any:
    """Check a plain value of a study file.

    Raises:
        ValueError: it is a list, a mapping or nothing.
    """
    if isinstance(value, Level):
        return value
    raise ValueError("a plain value")


def levels(value: Any) -> Any:
    """Check the levels of an axis: a list of plain values, or names with the changes that each stands for.

    Raises:
        ValueError: they are something else; the message says what is expected.
    """
    plain = isinstance(value, list) and all(isinstance(level, Level) for level in value)
    named = isinstance(value, dict) and all(
        isinstance(name, Level) and isinstance(changed, dict) and all(isinstance(key, str) for key in changed)
        for name, changed in value.items()
    )
    if value and (plain or named):
        return value
    raise ValueError("a list of plain values, or names with {key: value} each")


Levels = Annotated[list[Level] | dict[str, Changes], PlainValidator(levels)]


PlainLevel = Annotated[Any, PlainValidator(plain_level)]


class _File(Section):
    targets: Annotated[list[str], Field(min_length=1)]
    fixed: Changes = Field(default_factory=dict)
    grid: Annotated[dict[str, Levels], Field(min_length=1)]
    baseline: dict[str, PlainLevel] = Field(default_factory=dict)
    repeat: str | None = None
    split: Literal["valid", "gate", "test"] = "valid"


@dataclass(frozen=True)
class Study:
    """A study file.

    Attributes:
        name: of the file, without its suffix; the name of every run begins with it.
        targets: stages `evaluate@STRATEGY`; each runs at every point of the grid.
        fixed: changes of params.yaml that all runs have.
        grid: by axis and level the changes that the level stands for.
        baseline: the level of every axis but `repeat` with which the others are compared; empty for no comparison.
        repeat: the axis over which mean and spread are computed, or None.
        split: the split whose readings are scored.
    """

    name: str
    targets: tuple[str, ...]
    fixed: Mapping[str, Any]
    grid: Mapping[str, Mapping[str, Mapping[str, Any]]]
    baseline: Mapping[str, str]
    repeat: str | None
    split: str

    @property
    def axes(self) -> list[str]:
        """The axes that distinguish settings: all but `repeat`."""
        return [axis for axis in self.grid if axis != self.repeat]

    @classmethod
    def load(cls, path: Path) -> "Study":
        """Read and check a study file.

        Raises:
            ConfigurationError: the file cannot be read, or has a key or a value that cannot be run.
        """
        check_name(path)
        try:
            file = TypeAdapter(_File).validate_python(params.read(path))
        except ValidationError as error:
            raise ConfigurationError(f"{path}: {explain(error, _File)}") from None
        check_targets(path, file.targets)
        grid = {axis: named_levels(axis, each, f"{path}: grid.{shown(axis)}") for axis, each in file.grid.items()}
        baseline = {axis: format_value(level) for axis, level in file.baseline.items()}
        if file.repeat is not None and file.repeat not in grid:
            raise ConfigurationError(f"{path}: repeat: expected an axis of the grid, found {shown(file.repeat)}")
        study = cls(path.stem, tuple(file.targets), file.fixed, grid, baseline, file.repeat, file.split)
        if baseline and set(baseline) != set(study.axes):
            raise ConfigurationError(
                f"{path}: baseline: expected a level for each of {', '.join(study.axes)}, found {shown([*baseline])}"
            )
        for axis, level in baseline.items():
            if level not in grid[axis]:
                raise ConfigurationError(
                    f"{path}: baseline.{axis}: expected one of {', '.join(grid[axis])}, found {shown(level)}"
                )
        study.check_names(path)
        return study

    def check_names(self, path: Path) -> None:
        """Check that every run has a name of its own that an experiment can have.

        Raises:
            ConfigurationError: two runs have one name, a name is too long, or there are too many runs.
        """
        number = len(self.targets) * math.prod(map(len, self.grid.values()))
        if number > MOST_RUNS:
            raise ConfigurationError(f"{path}: a grid of {shown(number)} runs; expected at most {MOST_RUNS:,}")
        seen = set()
        for _, run in self.points():
            names.check_experiment(run.name, f"{path}: the name of a run")
            # On some file systems, upper and lower case are one.
            if run.name.lower() in seen:
                raise ConfigurationError(f"{path}: two runs have the name {run.name}; give the levels names")
            seen.add(run.name.lower())

    def points(self) -> Iterator[tuple[dict[str, str], Run]]:
        """Every run in order, with its level on each axis."""
        for target, levels in itertools.product(self.targets, itertools.product(*self.grid.values())):
            point = dict(zip(self.grid, levels, strict=True))
            changed = dict(self.fixed)
            for axis, level in point.items():
                changed |= self.grid[axis][level]
            parts = [f"{axis.rpartition('.')[2]}_{level}" for axis, level in point.items()]
            name = "-".join([self.name, target.partition("@")[2], *parts])
            name = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
            yield point, Run(name, tuple(f"{key}={format_value(value)}" for key, value in changed.items()), target)


def check_name(path: Path) -> None:
    """Check the name of a study file: the results are written beside it, and the names of the runs begin with it.

    Raises:
        ConfigurationError: it is no name, or not one of a YAML file.
    """
    try:
        names.checked(path.stem)
    except ValueError as error:
        raise ConfigurationError(f"STUDY: {shown(str(path))}: expected {error}") from None
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigurationError(f"STUDY: {shown(str(path))}: expected a file NAME.yaml")


def check_targets(path: Path, targets: Sequence[str]) -> None:
    """Check that targets are `evaluate@STRATEGY` with a strategy of params.yaml.

    Raises:
        ConfigurationError: one is not.
    """
    known = params.load(Path(changes.PARAMS)).strategies
    for target in targets:
        stage, _, strategy = target.partition("@")
        if stage != "evaluate" or strategy not in known:
            raise ConfigurationError(
                f"{path}: targets: expected evaluate@STRATEGY with a strategy of params.yaml, found {shown(target)}"
            )


def named_levels(axis: str, given: Sequence[Level] | Mapping[str, Changes], where: str) -> dict[str, Changes]:
    """By the name of each level of an axis, what it changes.

    Args:
        axis: the key of params.yaml that plain values are for.
        given: the levels as the file has them.
        where: what messages call them.

    Raises:
        ConfigurationError: two levels have one name.
    """
    pairs = given.items() if isinstance(given, Mapping) else [(level, {axis: level}) for level in given]
    found = {format_value(level): dict(changed) for level, changed in pairs}
    if len(found) < len(given):
        raise ConfigurationError(f"{where}: two of its levels are written alike")
    return found


def run(study: Study, jobs: int = 0) -> None:
    """Run what is not finished, each run as an experiment of the current commit in a folder of its own.

    An interrupted study continues where it stopped: finished runs stay, and DVC's run cache restores the finished
    stages of the run that was interrupted.

    Args:
        study: the grid.
        jobs: 0 runs one after another, here; a larger number puts the runs into DVC's queue and starts that many
            workers.

    Raises:
        Stopped: a run failed, or could not be queued.
    """
    points, unstarted = list(study.points()), False
    waiting = set(runs.queued())
    for number, (_, each) in enumerate(points, 1):
        head = f"{number}/{len(points)} {each.name}"
        if runs.finished(each):
            print(f"{head}: finished before")
            continue
        if each.name in waiting:
            print(f"{head}: in the queue already")
            # An interrupted call may have queued it and started no workers; DVC starts none twice.
            unstarted = jobs > 0
            continue
        print(head, flush=True)
        start(each, queue=jobs > 0)
        unstarted = jobs > 0
    if unstarted:
        dvc.run("make study", "queue", "start", "--jobs", str(jobs))


def start(each: Run, *, queue: bool = False) -> None:
    """Run or queue an experiment of a study that is not finished.

    Raises:
        DataError: it ran, and does not count as finished.
        Stopped: it failed, or could not be queued.
    """
    # An experiment of this name on this commit may be that of other values in the study file.
    if runs.revision(each.name):
        dvc.run("make study", "exp", "remove", "--quiet", each.name)
    runs.start("make study", each.changes, target=each.target, name=each.name, queue=queue)
    if not queue and not runs.finished(each):
        raise DataError(f"make study: {each.name} ended, but its record is not that of this commit; run it again")


def format_value(value: Any) -> str:
    """A value in the grammar of Hydra, which DVC's command line takes."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{format_value(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return f"[{','.join(format_value(part) for part in value)}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)

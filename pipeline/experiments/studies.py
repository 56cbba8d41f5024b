"""Studies: a grid of experiments written down in one file, and run one after another.

docs/experiments.md says what a study file holds.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError

from pipeline.config import params
from pipeline.config.types import Section
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import runs
from pipeline.experiments.runs import Run
from pipeline.project import workspace

Level = bool | int | float | str
Changes = dict[str, Any]


def _levels(value: Any) -> Any:
    plain = isinstance(value, list) and all(isinstance(level, Level) for level in value)
    named = isinstance(value, dict) and all(isinstance(changes, dict) for changes in value.values())
    if value and (plain or named):
        return value
    raise ValueError(f"expected a list of plain values, or names with {{key: value}} each, found {value!r}")


Levels = Annotated[list[Level] | dict[str, Changes], PlainValidator(_levels)]


class _File(Section):
    targets: Annotated[list[str], Field(min_length=1)]
    fixed: Changes = Field(default_factory=dict)
    grid: Annotated[dict[str, Levels], Field(min_length=1)]
    baseline: dict[str, Level] = Field(default_factory=dict)
    repeat: str | None = None
    split: Literal["valid", "gate", "test"] = "valid"


@dataclass(frozen=True)
class Study:
    """A study file.

    Attributes:
        name: the file's, without its ending; every run's name begins with it.
        targets: stages `evaluate@STRATEGY`; each is run at every point of the grid.
        fixed: params that all runs change alike.
        grid: by axis and level the params that the level stands for.
        baseline: the level of every axis but `repeat` that the others are compared with; empty for no comparison.
        repeat: the axis that mean and spread are taken over, or None.
        split: whose readings are scored.
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
        """The axes that settings are told apart by: all but `repeat`."""
        return [axis for axis in self.grid if axis != self.repeat]

    @classmethod
    def load(cls, path: Path) -> "Study":
        """Read and check a study file.

        Raises:
            ConfigurationError: the file cannot be read, or says something that cannot be run.
        """
        try:
            file = TypeAdapter(_File).validate_python(params.read(path))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            known = ", ".join(_File.model_fields)
            said = f"unknown key; expected {known}" if first["type"] == "extra_forbidden" else first["msg"]
            said = said.removeprefix("Value error, ")
            raise ConfigurationError(f"{path}: {where}: {said}") from None
        known = params.load(Path(runs.PARAMS)).strategies
        for target in file.targets:
            stage, _, strategy = target.partition("@")
            if stage != "evaluate" or strategy not in known:
                raise ConfigurationError(
                    f"{path}: targets: expected evaluate@STRATEGY with a strategy of params.yaml, found {target!r}"
                )
        grid = {}
        for axis, levels in file.grid.items():
            named = isinstance(levels, dict)
            grid[axis] = dict(levels) if named else {written(level): {axis: level} for level in levels}
        baseline = {axis: written(level) for axis, level in file.baseline.items()}
        if file.repeat is not None and file.repeat not in grid:
            raise ConfigurationError(f"{path}: repeat: expected an axis of the grid, found {file.repeat!r}")
        study = cls(path.stem, tuple(file.targets), file.fixed, grid, baseline, file.repeat, file.split)
        if baseline and set(baseline) != set(study.axes):
            raise ConfigurationError(
                f"{path}: baseline: expected a level for each of {', '.join(study.axes)}, found {', '.join(baseline)}"
            )
        for axis, level in baseline.items():
            if level not in grid[axis]:
                raise ConfigurationError(
                    f"{path}: baseline.{axis}: expected one of {', '.join(grid[axis])}, found {level!r}"
                )
        return study

    def points(self) -> Iterator[tuple[dict[str, str], Run]]:
        """Every run in order, with its level on each axis."""
        for target, levels in itertools.product(self.targets, itertools.product(*self.grid.values())):
            point = dict(zip(self.grid, levels, strict=True))
            changes = dict(self.fixed)
            for axis, level in point.items():
                changes |= self.grid[axis][level]
            parts = [f"{axis.rpartition('.')[2]}_{level}" for axis, level in point.items()]
            name = "-".join([self.name, target.partition("@")[2], *parts])
            named = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
            yield point, Run(named, tuple(f"{key}={written(value)}" for key, value in changes.items()), target)


def run(study: Study, jobs: int = 0) -> None:
    """Run what is not finished, each an experiment of the current commit in a folder of its own.

    What was finished stays, so a study that was interrupted goes on where it was; of a run that broke off, DVC's
    run cache gives back the stages that were done.

    Args:
        study: what is asked.
        jobs: 0 runs one after another, here; more puts them into DVC's queue and starts so many workers.

    Raises:
        Stopped: a run failed, or could not be queued.
    """
    points, queued = list(study.points()), False
    waiting = set(runs.queued())
    for number, (_, each) in enumerate(points, 1):
        if runs.finished(each):
            print(f"{number}/{len(points)} {each.name}: finished before")
            continue
        if each.name in waiting:
            print(f"{number}/{len(points)} {each.name}: in the queue already")
            continue
        print(f"{number}/{len(points)} {each.name}", flush=True)
        set_params = [option for change in each.changes for option in ("--set-param", change)]
        # An experiment of this name on this commit may be there from other values in the study file.
        if workspace.experiment(each.name):
            workspace.dvc("make study", "exp", "remove", "--quiet", each.name)
        place = "--queue" if jobs else "--temp"
        workspace.dvc("make study", "exp", "run", place, "--name", each.name, *set_params, each.target)
        queued = bool(jobs)
    if queued:
        workspace.dvc("make study", "queue", "start", "--jobs", str(jobs))


def written(value: Any) -> str:
    """A value as it stands on DVC's command line, in Hydra's grammar."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{written(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return f"[{','.join(written(part) for part in value)}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)

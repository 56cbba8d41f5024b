"""Search files: a study file with `search:` in place of `grid:`. docs/experiments.md has the format."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.config import names, params
from pipeline.config.names import shown
from pipeline.config.types import Length, Section, Seed, explain
from pipeline.core.errors import ConfigurationError
from pipeline.experiments import studies
from pipeline.experiments.runs import Run
from pipeline.search.space import Choices, Dimension, DimensionOption, Range, Value

MOST_TRIALS = 1_000
"""Trials of a search at most: Optuna suggests the last of so many within a second or two."""
BUDGET = "budget"
Trials = Annotated[int, Field(strict=True, ge=1, le=MOST_TRIALS)]


class _Search(Section):
    space: Annotated[dict[str, DimensionOption], Field(min_length=1)]
    trials: Trials
    sampler: Literal["tpe", "random"] = "tpe"
    seed: Seed = 0
    budgets: list[Length] = Field(default_factory=list)
    reduction: Annotated[int, Field(strict=True, ge=2, le=MOST_TRIALS)] = 3
    parallel: Trials = 1
    enqueue: list[dict[str, studies.PlainLevel]] = Field(default_factory=list)


class _File(Section):
    targets: Annotated[list[str], Field(min_length=1)]
    fixed: dict[str, Any] = Field(default_factory=dict)
    search: _Search
    split: Literal["valid", "gate", "test"] = "valid"


@dataclass(frozen=True)
class Search:
    """A search file.

    Attributes:
        name: of the file, without its suffix; the name of every run begins with it.
        target: the stage `evaluate@STRATEGY` whose score on valid is maximized.
        fixed: changes of params.yaml that all runs have.
        space: by axis, what is searched.
        trials: how many points of the space are tried.
        sampler: `tpe`, the tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023), or `random`.
        seed: of the sampler; that of trainings is a param.
        budgets: the values of the param `budget` at which a trial is run, one after another; empty for one run with
            the budget that params.yaml or `fixed` has.
        reduction: one trial in so many goes on from a budget to the next.
        parallel: trials that are suggested at a time, without each other's scores.
        enqueue: values of the first trials, by axis; what is left out is suggested.
    """

    name: str
    target: str
    fixed: Mapping[str, Any]
    space: Mapping[str, Dimension]
    trials: int
    sampler: str
    seed: int
    budgets: tuple[float, ...]
    reduction: int
    parallel: int
    enqueue: tuple[Mapping[str, Value], ...]

    @property
    def strategy(self) -> str:
        """The strategy that the target evaluates."""
        return self.target.partition("@")[2]

    @property
    def rungs(self) -> tuple[float | None, ...]:
        """The budgets of a trial; None is that of params.yaml or `fixed`."""
        return self.budgets or (None,)

    @property
    def titles(self) -> dict[str, str]:
        """By axis, what tables call it: the last part of the key, if no other axis has the same."""
        short = {axis: axis.rpartition(".")[2] for axis in self.space}
        return {axis: axis if [*short.values()].count(name) > 1 else name for axis, name in short.items()}

    def run(self, number: int, values: Mapping[str, Value], budget: float | None) -> Run:
        """The experiment of a trial at a budget.

        Args:
            number: of the trial, from 0.
            values: by axis.
            budget: one of `rungs`.
        """
        changed = dict(self.fixed)
        for axis, value in values.items():
            changed |= self.space[axis].changes(axis, value)
        name = f"{self.name}-{self.strategy}-trial_{number}"
        if budget is not None:
            changed[BUDGET] = budget
            name += f"-budget_{studies.format_value(budget)}"
        return Run(name, tuple(f"{key}={studies.format_value(value)}" for key, value in changed.items()), self.target)

    def extremes(self) -> Iterator[tuple[str, ...]]:
        """Changes with each axis at its ends in turn, and with each budget: what is checked before a search begins."""
        first = {axis: dimension.extremes()[0] for axis, dimension in self.space.items()}
        for budget in self.rungs:
            yield self.run(0, first, budget).changes
        for axis, dimension in self.space.items():
            for value in dimension.extremes()[1:]:
                yield self.run(0, {**first, axis: value}, self.rungs[-1]).changes

    @classmethod
    def load(cls, path: Path) -> "Search":
        """Read and check a search file.

        Raises:
            ConfigurationError: the file cannot be read, or has a key or a value that cannot be run.
        """
        studies.check_name(path)
        document = params.read(path)
        if "grid" in document:
            raise ConfigurationError(f"{path}: expected grid, which runs every point, or search, found both")
        try:
            file = TypeAdapter(_File).validate_python(document)
        except ValidationError as error:
            raise ConfigurationError(f"{path}: {explain(error, _File)}") from None
        studies.check_targets(path, file.targets)
        if len(file.targets) > 1:
            raise ConfigurationError(
                f"{path}: targets: a search maximizes the score of one, found {len(file.targets)}; a file for each"
            )
        if file.split != "valid":
            raise ConfigurationError(
                f"{path}: split: expected valid, found {file.split}: a search chooses params by the score, and what "
                f"params were chosen by is no evidence about them any more; evaluate its best trial on {file.split}"
            )
        settings = file.search
        space = {axis: _dimension(path, axis, option) for axis, option in settings.space.items()}
        search = cls(
            path.stem, file.targets[0], file.fixed, space, settings.trials, settings.sampler, settings.seed,
            tuple(settings.budgets), settings.reduction, settings.parallel, _enqueued(path, settings, space),
        )  # fmt: skip
        search.check(path)
        return search

    def check(self, path: Path) -> None:
        """Check what concerns several keys of the file.

        Raises:
            ConfigurationError: budgets do not rise, a key is set twice, or a run would have no possible name.
        """
        if list(self.budgets) != sorted(set(self.budgets)):
            raise ConfigurationError(f"{path}: search.budgets: expected rising values, found {shown([*self.budgets])}")
        owners = dict.fromkeys(self.fixed, "fixed")
        if self.budgets and owners.setdefault(BUDGET, "search.budgets") == "fixed":
            raise ConfigurationError(f"{path}: fixed.{BUDGET}: search.budgets sets it; leave one of them out")
        first = {axis: dimension.extremes()[0] for axis, dimension in self.space.items()}
        for axis, dimension in self.space.items():
            for key in {key for value in dimension.extremes() for key in dimension.changes(axis, value)}:
                if owners.setdefault(key, axis) != axis:
                    where = f"{path}: search.space.{shown(axis)}"
                    raise ConfigurationError(f"{where}: changes {shown(key)}, which {shown(owners[key])} sets already")
        for budget in self.rungs:
            names.check_experiment(self.run(self.trials - 1, first, budget).name, f"{path}: the name of a run")


def is_search(path: Path) -> bool:
    """Whether a study file has a search in place of a grid.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    studies.check_name(path)
    return "search" in params.read(path)


def _dimension(path: Path, axis: str, option: Any) -> Dimension:
    if isinstance(option, Range):
        return option
    return Choices(studies.named_levels(axis, option, f"{path}: search.space.{shown(axis)}"))


def _enqueued(path: Path, settings: _Search, space: Mapping[str, Dimension]) -> tuple[Mapping[str, Value], ...]:
    if len(settings.enqueue) > settings.trials:
        raise ConfigurationError(
            f"{path}: search.enqueue: expected at most {settings.trials}, the number of trials, found "
            f"{len(settings.enqueue)}"
        )
    found = []
    for number, values in enumerate(settings.enqueue):
        for axis, value in values.items():
            where = f"{path}: search.enqueue.{number}.{shown(axis)}"
            if axis not in space:
                raise ConfigurationError(f"{where}: expected an axis of the space: {', '.join(space)}")
            try:
                space[axis].parse(value)
            except ValueError as error:
                raise ConfigurationError(f"{where}: expected {error}, found {shown(value)}") from None
        found.append({axis: space[axis].parse(value) for axis, value in values.items()})
    return tuple(found)

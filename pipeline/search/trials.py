"""The trials of a search: what Optuna suggests, how far each trial goes, and which is the best.

Optuna's own storage lives as long as the command. It is filled again from DVC's experiments each time: the sampler is
seeded, results are reported in order, and a trial whose experiments are finished is read in place of run. An
interrupted search therefore goes on where it stopped, here or in a clone that has the experiments.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.images import ImageSet
from pipeline.experiments import results, runs
from pipeline.experiments.results import Score
from pipeline.experiments.runs import Run
from pipeline.search.searches import Search
from pipeline.search.space import Value

if TYPE_CHECKING:
    import optuna

FEWEST = 10
"""Trials from which importances are computed: fewer say nothing."""
Look = Callable[[Run], Score | None]
"""The score of a run, None where it is not finished."""
Execute = Callable[[Sequence[Run]], None]
"""Runs experiments that are not finished; they are afterwards, or it raises an error."""


@dataclass
class Trial:
    """One point of the space.

    Attributes:
        number: from 0, in the order in which they were suggested.
        values: by axis.
        scores: at each budget that it reached.
        state: `complete` at the last budget, `pruned` before it, or `unfinished`.
    """

    number: int
    values: dict[str, Value]
    scores: list[Score] = field(default_factory=list)
    state: Literal["complete", "pruned", "unfinished"] = "unfinished"


@dataclass(frozen=True)
class History:
    """What a search has found so far.

    Attributes:
        trials: in order; fewer than the file wants where some are not finished.
        best: the number of the complete trial with the highest score at the last budget; the first of equal ones.
        importances: by axis, its share of what decides whether a trial is among the best at the first budget
            (PED-ANOVA: Watanabe, Bansal and Hutter 2023); None for fewer than `FEWEST` trials or equal scores.
        missing: the names of the runs without which it does not go on.
    """

    trials: tuple[Trial, ...]
    best: int | None
    importances: dict[str, float] | None
    missing: tuple[str, ...]


def library() -> ModuleType:
    """Optuna, silent.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise ConfigurationError("optuna: not installed; make setup (or pip install -e '.[search]')") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def recorded(search: Search) -> Look:
    """The scores that the finished experiments of a search have on valid, computed from their stored readings."""
    pictures: dict[tuple[str, str], ImageSet] = {}
    known: dict[str, Score] = {}

    def look(run: Run) -> Score | None:
        commit = runs.finished(run)
        if commit is None:
            return None
        if commit not in known:
            known[commit] = results.score(commit, search.strategy, "valid", pictures)
        return known[commit]

    return look


def replay(search: Search, look: Look, execute: Execute | None = None) -> History:
    """Go through the trials of a search in order.

    Every `parallel` trials are suggested together, without each other's scores. They climb from budget to budget
    together, and those of them go on that Optuna's successive halving does not prune (Li et al. 2020).

    Args:
        search: what is tried.
        look: gives the scores.
        execute: runs what is not finished; None stops there, and reports what there is.

    Raises:
        ConfigurationError: Optuna is not installed.
        DataError: a run has no score after it was executed.
    """
    optuna = library()
    study = _study(optuna, search)
    space = {axis: dimension.distribution() for axis, dimension in search.space.items()}
    for values in search.enqueue:
        study.enqueue_trial(dict(values))
    found: list[Trial] = []
    missing: list[str] = []
    while len(found) < search.trials and not missing:
        asked = [study.ask(space) for _ in range(min(search.parallel, search.trials - len(found)))]
        batch = [
            Trial(each.number, {axis: search.space[axis].value(value) for axis, value in each.params.items()})
            for each in asked
        ]
        missing = _climb(search, list(zip(asked, batch, strict=True)), look, execute)
        for each, trial in zip(asked, batch, strict=True):
            if trial.state == "complete":
                study.tell(each, trial.scores[-1].accuracy)
            elif trial.state == "pruned":
                study.tell(each, state=optuna.trial.TrialState.PRUNED)
        found += batch
    complete = [trial for trial in found if trial.state == "complete"]
    best = max(complete, key=lambda trial: trial.scores[-1].accuracy, default=None)
    return History(tuple(found), best.number if best else None, _importances(optuna, space, found), tuple(missing))


def _study(optuna: ModuleType, search: Search) -> "optuna.Study":
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    pruner: Any = optuna.pruners.NopPruner()
    if search.budgets:
        # The resource is counted in powers of the reduction, so that each budget is one rung, whatever their ratios.
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=search.reduction)
    # With a storage in memory, a name of the study makes no file.
    return optuna.create_study(
        study_name=search.name, direction="maximize", sampler=samplers[search.sampler](seed=search.seed), pruner=pruner
    )


def _climb(
    search: Search, batch: Sequence[tuple["optuna.Trial", Trial]], look: Look, execute: Execute | None
) -> list[str]:
    """Take the trials of a batch from budget to budget; returns the names of the runs that are missing."""
    climbing = list(batch)
    for rung, budget in enumerate(search.rungs):
        wanted = [search.run(trial.number, trial.values, budget) for _, trial in climbing]
        scores = [look(run) for run in wanted]
        if execute and None in scores:
            execute([run for run, score in zip(wanted, scores, strict=True) if score is None])
            scores = [score or look(run) for run, score in zip(wanted, scores, strict=True)]
        for (_, trial), score in zip(climbing, scores, strict=True):
            trial.scores += [score] if score else []
        if missing := [run.name for run, score in zip(wanted, scores, strict=True) if score is None]:
            if execute:
                raise DataError(f"make study: {missing[0]} ended, but it has no score; run it again")
            return missing
        last = rung == len(search.rungs) - 1
        for asked, trial in climbing:
            asked.report(trial.scores[-1].accuracy, search.reduction**rung)
            if last:
                trial.state = "complete"
            elif asked.should_prune():
                trial.state = "pruned"
            if execute:
                _print(search, trial, budget)
        climbing = [(asked, trial) for asked, trial in climbing if trial.state == "unfinished"]
        if not climbing:
            break
    return []


def _print(search: Search, trial: Trial, budget: float | None) -> None:
    at = "" if budget is None else f" at budget {budget:g}"
    values = ", ".join(f"{search.titles[axis]} {format_rounded(value)}" for axis, value in trial.values.items())
    state = "goes on" if trial.state == "unfinished" else trial.state
    print(f"trial {trial.number} ({values}): {100 * trial.scores[-1].accuracy:.2f}{at}, {state}", flush=True)


def format_rounded(value: Value) -> str:
    """Format a value for a person: a real number with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _importances(optuna: ModuleType, space: dict[str, Any], trials: Sequence[Trial]) -> dict[str, float] | None:
    """Of all trials at the first budget: the later ones are reached by the best alone."""
    scored = [trial for trial in trials if trial.scores]
    if len(scored) < FEWEST or len({trial.scores[0].accuracy for trial in scored}) == 1:
        return None
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        optuna.trial.create_trial(params=trial.values, distributions=space, value=trial.scores[0].accuracy)
        for trial in scored
    )
    found = optuna.importance.get_param_importances(study)
    return {axis: float(found[axis]) for axis in space}

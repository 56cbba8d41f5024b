"""The result of a search as CSV, as a page of Markdown, and as a chart."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

from pipeline.experiments.studies import format_value
from pipeline.plots.style import BLUE, GRID, MUTED, STYLE, VERMILLION
from pipeline.reports.formats import csv_text
from pipeline.reports.markdown import table
from pipeline.search.searches import Search
from pipeline.search.space import Range
from pipeline.search.trials import FEWEST, History, Trial, format_rounded

_SHADES = LinearSegmentedColormap.from_list("rungs", [MUTED, BLUE])
_SAMPLERS = {"tpe": "the tree-structured Parzen estimator", "random": "random draws"}
_ACROSS = 4
"""Panels of params in a row."""


def render_csv(search: Search, history: History) -> str:
    """Render the trials as CSV: scores as shares with four decimals, values as they were run."""
    header = ["trial", "strategy", "split", "origin", *search.titles.values(), *_budgets(search), "state", "best"]
    lines = [
        [
            str(trial.number), search.strategy, "valid", _origin(history), *map(format_value, trial.values.values()),
            *_padded(search, [f"{score.accuracy:.4f}" for score in trial.scores]),
            trial.state, format_value(trial.number == history.best),
        ]
        for trial in history.trials
    ]  # fmt: skip
    return csv_text(header, lines)


def render_markdown(search: Search, history: History) -> str:
    """Render the trials and the importances as a page of Markdown; scores in per cent, the best in bold."""
    header = ["trial", *search.titles.values(), *(each.replace("_", " ") for each in _budgets(search)), "state"]
    page = f"# Search {search.name}\n\n{_introduction(search, history)}\n\n"
    page += table(header, [_cells(search, history, trial) for trial in history.trials])
    if history.importances:
        lines = [[search.titles[axis], f"{100 * share:.0f}"] for axis, share in _sorted(history.importances)]
        page += (
            "\n## Importance\n\nShare in per cent of what decides whether a trial is among the best"
            f"{' at the first budget' if search.budgets else ''} (PED-ANOVA, Watanabe, Bansal and Hutter 2023), over "
            "the whole space.\n\n" + table(["param", "importance"], lines)
        )
    return page


def _cells(search: Search, history: History, trial: Trial) -> list[str]:
    cells = [str(trial.number), *map(format_rounded, trial.values.values())]
    cells += _padded(search, [f"{100 * score.accuracy:.2f}" for score in trial.scores])
    cells.append(trial.state)
    return [f"**{cell}**" for cell in cells] if trial.number == history.best else cells


def _introduction(search: Search, history: History) -> str:
    states = [trial.state for trial in history.trials]
    runs = sum(len(trial.scores) for trial in history.trials)
    suites = next((list(trial.scores[0].suites) for trial in history.trials if trial.scores), [])
    where = f"the suite {suites[0]}" if len(suites) == 1 else f"the mean of the suites {', '.join(suites)}"
    stand_in = ", the embedded stand-in" if _origin(history) == "embedded" else ""
    counts = f"{states.count('complete')} complete and {states.count('pruned')} pruned, in {runs} runs"
    lines = [
        f"Sequence accuracy of `{search.strategy}` on valid in per cent, {where}{stand_in}.",
        f"{len(states)} of {search.trials} trials: {counts}.",
        f"Suggested by Optuna: {_SAMPLERS[search.sampler]}, seed {search.seed}, {search.parallel} at a time.",
    ]
    if search.budgets:
        budgets = ", ".join(f"{budget:g}" for budget in search.budgets)
        lines.append(
            f"Budgets {budgets}: successive halving prunes a trial that is not among the best 1/{search.reduction} of "
            "those that have reached its budget by then."
        )
    if search.fixed:
        fixed = ", ".join(f"`{key}={format_value(value)}`" for key, value in search.fixed.items())
        lines.append(f"All runs have {fixed}.")
    if history.missing:
        lines.append(f"Not finished: it goes on when there is {', '.join(history.missing)}.")
    if not history.importances:
        lines.append(f"No importances: fewer than {FEWEST} trials, or equal scores.")
    if history.best is not None:
        best = history.trials[history.best]
        name = search.run(best.number, best.values, search.rungs[-1]).name
        lines.append(
            f"The best is trial {best.number}, the experiment `{name}`. It was chosen for its score on valid, so that "
            "score is too high an estimate of another one's."
        )
    lines.append(f"Made by `make study STUDY=studies/{search.name}.yaml`.")
    return "\n".join(lines)


def _budgets(search: Search) -> list[str]:
    return [f"budget_{budget:g}" for budget in search.budgets] or ["accuracy"]


def _padded(search: Search, cells: list[str]) -> list[str]:
    """One cell for each budget, empty where a trial did not reach it."""
    return cells + [""] * (len(search.rungs) - len(cells))


def _origin(history: History) -> str:
    return next(trial.scores[0].origin for trial in history.trials if trial.scores)


def _sorted(importances: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(importances.items(), key=lambda pair: -pair[1])


@matplotlib.rc_context(STYLE)
def draw(search: Search, history: History) -> Figure:
    """The score of every trial at each budget in order, and below it each param against the score."""
    rows = -(-len(search.space) // _ACROSS)
    drawn = Figure(figsize=(7.6, 2.9 + 2.1 * rows), layout="constrained")
    outer = drawn.add_gridspec(1 + rows, 1, height_ratios=[2.6, *[2.0] * rows])
    stand_in = " (embedded stand-in)" if _origin(history) == "embedded" else ""
    first = drawn.add_subplot(outer[0])
    first.set_title(f"{search.strategy}, valid: sequence accuracy in per cent{stand_in}")
    _draw_history(first, search, history)
    drawn.legend(*first.get_legend_handles_labels(), fontsize=8, ncols=len(search.rungs) + 1, loc="outside lower left")
    axes_of_rows = [outer[1 + row].subgridspec(1, min(_ACROSS, len(search.space))) for row in range(rows)]
    for place, axis in enumerate(search.space):
        axes = drawn.add_subplot(axes_of_rows[place // _ACROSS][place % _ACROSS])
        share = f", importance {100 * history.importances[axis]:.0f} %" if history.importances else ""
        axes.set_title(f"{search.titles[axis]}{share}", fontsize=8)
        _draw_param(axes, search, history, axis)
        if place % _ACROSS:
            axes.tick_params(labelleft=False)
    return drawn


def _draw_history(axes: Axes, search: Search, history: History) -> None:
    for trial in history.trials:
        scores = [100 * score.accuracy for score in trial.scores]
        axes.plot([trial.number] * len(scores), scores, color=GRID, zorder=1)
    for rung in range(len(search.rungs)):
        reached = [trial for trial in history.trials if len(trial.scores) > rung]
        label = f"budget {search.budgets[rung]:g}" if search.budgets else "a run"
        _dots(axes, [trial.number for trial in reached], reached, rung, search, label)
    complete = [trial for trial in history.trials if trial.state == "complete"]
    if complete:
        heights = np.maximum.accumulate([100 * trial.scores[-1].accuracy for trial in complete])
        ends = [*(trial.number for trial in complete), history.trials[-1].number]
        axes.step(ends, [*heights, heights[-1]], where="post", color=VERMILLION, linewidth=1, label="best so far")
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")


def _draw_param(axes: Axes, search: Search, history: History, axis: str) -> None:
    dimension = search.space[axis]
    for rung in range(len(search.rungs)):
        reached = [trial for trial in history.trials if len(trial.scores) > rung]
        if isinstance(dimension, Range):
            places = [float(trial.values[axis]) for trial in reached]
        else:
            places = [float([*dimension.levels].index(str(trial.values[axis]))) for trial in reached]
        _dots(axes, places, reached, rung, search)
        for place, trial in zip(places, reached, strict=True):
            if trial.number == history.best and rung == len(search.rungs) - 1:
                axes.plot(place, 100 * trial.scores[-1].accuracy, "o", markersize=9, fillstyle="none", color=VERMILLION)
    if isinstance(dimension, Range):
        if dimension.log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
            axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
            axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xticks(range(len(dimension.levels)), list(dimension.levels))
        axes.margins(x=0.2)
    axes.grid(axis="y")


def _dots(
    axes: Axes, places: Sequence[float], reached: Sequence[Trial], rung: int, search: Search, label: str = ""
) -> None:
    shade = _SHADES(rung / max(len(search.rungs) - 1, 1))
    heights = [100 * trial.scores[rung].accuracy for trial in reached]
    axes.plot(places, heights, "o", markersize=3.5 + rung, color=shade, zorder=2 + rung, label=label or None)

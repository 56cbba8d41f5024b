"""The accuracy of a task's strategies side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.analysis import cost
from pipeline.plots.style import BLUE, HEADING, MUTED, STYLE
from pipeline.records.comparison import Score


@matplotlib.rc_context(STYLE)
def accuracies(rows: Sequence[Score], suites: Sequence[str], task: str) -> Figure:
    """Draw sequence accuracies with their intervals, one panel for each suite: test filled, valid hollow.

    Args:
        rows: of the leaderboard, of this task.
        suites: of the task, in the order of the panels.
        task: named in the title.
    """
    strategies = sorted({row.strategy for row in rows}, key=lambda name: (_mean_valid(rows, name, suites), name))
    embedded = any(row.origin == "embedded" for row in rows)
    figure = Figure(figsize=(max(9.6, 2.9 * len(suites)), 1.5 + 0.42 * len(strategies)))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.06)
    note = " (embedded stand-in)" if embedded else ""
    figure.suptitle(f"{task}: sequence accuracy with 95 % intervals{note}", **HEADING)
    axes = figure.subplots(1, len(suites), sharex=True, sharey=True, squeeze=False)[0]
    marks: dict[str, dict[str, Any]] = {
        "test": {"color": BLUE, "marker": "o", "ms": 5.5, "lw": 1.6},
        "valid": {"color": MUTED, "marker": "o", "ms": 5.5, "lw": 1.6, "mfc": "white"},
    }
    for axis, suite in zip(axes, suites, strict=True):
        here = {(row.strategy, row.split): row for row in rows if row.suite == suite}
        for height, strategy in enumerate(strategies):
            if (strategy, "test") not in here:
                middle = {"transform": axis.get_yaxis_transform(), "ha": "center", "va": "center"}
                axis.text(0.5, height, "cannot read it", color=MUTED, size=8, **middle)
                continue
            for split, offset in (("test", 0.11), ("valid", -0.13)):
                row = here[strategy, split]
                axis.plot([100 * row.ci_low, 100 * row.ci_high], [height + offset] * 2, **marks[split] | {"marker": ""})
                axis.plot(100 * row.sequence_accuracy, height + offset, **marks[split])
        axis.set_title(suite)
        axis.grid(axis="x")
        axis.tick_params(left=False)
        axis.spines["left"].set_visible(False)
    axes[0].set_yticks(range(len(strategies)), strategies)
    axes[0].set_ylim(-0.6, len(strategies) - 0.4)
    low = 100 * min((row.ci_low for row in rows), default=0.0)
    axes[0].set_xlim(max(0.0, low - 0.08 * (100 - low)), 100.0 + 0.02 * (100 - low))
    figure.supxlabel(f"sequence accuracy, % (the axis starts at {axes[0].get_xlim()[0]:.0f})", size=9)
    figure.legend(
        handles=[Line2D([], [], **mark, label=split) for split, mark in marks.items()], loc="lower right", ncols=2
    )
    return figure


@matplotlib.rc_context(STYLE)
def costs(rows: Sequence[Score], suites: Sequence[str], costs: Mapping[str, int], task: str) -> Figure:
    """Draw sequence accuracies on test against multiply-adds, one panel for each suite, with the Pareto front.

    Strategies on the front are filled and named in full colour: none that needs at most as many multiply-adds is as
    accurate.

    Args:
        rows: of the leaderboard, of this task.
        suites: of the task, in the order of the panels.
        costs: multiply-adds for one picture, by strategy.
        task: named in the title.
    """
    figure = Figure(figsize=(max(5.6, 4.2 * len(suites)), 4.0))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.06)
    note = " (embedded stand-in)" if any(row.origin == "embedded" for row in rows) else ""
    figure.suptitle(f"{task}: accuracy on test against cost{note}", **HEADING)
    for axis, suite in zip(figure.subplots(1, len(suites), squeeze=False)[0], suites, strict=True):
        here = [row for row in rows if row.suite == suite and row.split == "test"]
        points = {row.strategy: (costs[row.strategy] / 1e6, 100 * row.sequence_accuracy) for row in here}
        best = cost.front((name, *point) for name, point in points.items())
        axis.step(
            *zip(*(points[name] for name in best), strict=True) if best else ([], []), where="post", color=BLUE, lw=1
        )
        for name, (x, y) in points.items():
            colour = BLUE if name in best else MUTED
            axis.plot(x, y, "o", ms=5.5, color=colour, mfc=colour if name in best else "white")
            axis.annotate(name, (x, y), (4, 3), textcoords="offset points", size=7, color=colour)
        axis.set(xscale="log", title=suite)
        axis.margins(x=0.25, y=0.12)
        axis.grid(axis="both")
    figure.supxlabel("multiply-adds for one picture, millions", size=9)
    figure.supylabel("sequence accuracy, %", size=9)
    return figure


def _mean_valid(rows: Sequence[Score], strategy: str, suites: Sequence[str]) -> float:
    return sum(row.sequence_accuracy for row in rows if row.strategy == strategy and row.split == "valid") / len(suites)

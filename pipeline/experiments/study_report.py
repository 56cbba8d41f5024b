"""The result of a study as CSV, as a page of Markdown, and as a chart."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.experiments.results import Interval, Results, Row
from pipeline.experiments.studies import Study, format_value
from pipeline.plots.style import BLUE, INK, MUTED, STYLE
from pipeline.reports.formats import csv_text
from pipeline.reports.markdown import table

_SHARES = ("mean", "deviation", "lowest", "highest", "difference", "ci_low", "ci_high")


def render_csv(study: Study, results: Results) -> str:
    """Render the rows as CSV: shares with four decimals, an empty cell where there is no value."""
    header = ["strategy", "suite", "split", "origin", *map(_short, study.axes), "runs", *_SHARES]
    lines = []
    for row in results.rows:
        spread = [row.mean, row.deviation, min(row.accuracies), max(row.accuracies)]
        shares = [*spread, *(row.difference or (None, None, None))]
        head = [row.strategy, row.suite, study.split, row.origin, *row.levels.values(), str(len(row.accuracies))]
        lines.append(head + ["" if share is None else f"{share:.4f}" for share in shares])
    return csv_text(header, lines)


def render_markdown(study: Study, results: Results) -> str:
    """Render the rows, and the effects if there are any, as a page of Markdown; shares as percentages."""
    several = any(len(row.accuracies) > 1 for row in results.rows)
    header = ["strategy", "suite", *map(_short, study.axes), "sequence accuracy"]
    header += ["deviation", "lowest to highest", "runs"] if several else []
    header += ["difference from the baseline", "95 % interval"] if study.baseline else []
    rows = table(header, [_cells(study, row, several) for row in results.rows])
    page = f"# Study {study.name}\n\n{_introduction(study, results)}\n\n{rows}"
    if results.effects:
        lines = [
            [
                effect.strategy,
                effect.suite,
                _short(effect.axis),
                f"{effect.level} for {effect.against}",
                *_difference(effect.difference),
            ]
            for effect in results.effects
        ]
        header = ["strategy", "suite", "setting", "change", "difference", "95 % interval"]
        page += (
            "\n## Effects\n\nEach level against the baseline's, averaged over the levels of all other settings.\n\n"
            + table(header, lines)
        )
    return page


def _cells(study: Study, row: Row, several: bool) -> list[str]:
    stand_in = " (stand-in)" if row.origin == "embedded" else ""
    cells = [row.strategy + stand_in, row.suite, *row.levels.values(), f"{100 * row.mean:.2f}"]
    if several:
        deviation = "" if row.deviation is None else f"{100 * row.deviation:.2f}"
        spread = f"{100 * min(row.accuracies):.2f} to {100 * max(row.accuracies):.2f}"
        cells += [deviation, spread, str(len(row.accuracies))]
    return cells + (_difference(row.difference) if study.baseline else [])


def _introduction(study: Study, results: Results) -> str:
    finished = len(list(study.points())) - len(results.missing)
    missing = f" Missing: {', '.join(results.missing)}." if results.missing else ""
    lines = [f"Sequence accuracy on {study.split} in per cent, from {finished} finished runs.{missing}"]
    if study.fixed:
        fixed = ", ".join(f"`{key}={format_value(value)}`" for key, value in study.fixed.items())
        lines.append(f"All runs have {fixed}.")
    if study.repeat:
        levels = ", ".join(study.grid[study.repeat])
        lines.append(f"Repeated over `{study.repeat}`: {levels}; the deviation is that of a single run.")
    if study.baseline:
        levels = ", ".join(f"{_short(axis)} {level}" for axis, level in study.baseline.items())
        lines.append(
            f"The baseline is {levels}; differences are in percentage points on the same pictures, with a paired "
            "bootstrap interval over them."
        )
    lines.append(f"Made by `make study STUDY=studies/{study.name}.yaml`.")
    return "\n".join(lines)


def _short(axis: str) -> str:
    """`normalization` of `strategies.cnn.normalization`."""
    return axis.rpartition(".")[2]


def _difference(difference: Interval | None) -> list[str]:
    if difference is None:
        return ["", ""]
    mean, low, high = (100 * share for share in difference)
    return [f"{mean:+.2f}", f"{low:+.2f} to {high:+.2f}"]


@matplotlib.rc_context(STYLE)
def draw(study: Study, results: Results) -> Figure:
    """A panel for each suite: every setting's mean accuracy, its runs, and the interval of its difference.

    Strategies and their settings, in the order of the grid, run from top to bottom on one scale. The interval is drawn
    around the accuracy of the baseline plus the difference.
    """
    suites = dict.fromkeys(row.suite for row in results.rows)
    panels = {suite: [row for row in results.rows if row.suite == suite] for suite in suites}
    heights = [0.8 + 0.24 * len(rows) for rows in panels.values()]
    drawn = Figure(figsize=(7.6, sum(heights) + 0.3), layout="constrained")
    grid = drawn.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for axes, (suite, rows) in zip(grid[:, 0], panels.items(), strict=True):
        stand_in = " (embedded stand-in)" if any(row.origin == "embedded" for row in rows) else ""
        axes.set_title(f"{suite}, {study.split}: sequence accuracy in per cent{stand_in}")
        for place, row in enumerate(rows):
            _draw(axes, row, place)
        axes.set_yticks(range(len(rows)), [", ".join([row.strategy, *row.levels.values()]) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, 0), min(high, 100.2))
        axes.grid(axis="x")
    drawn.supxlabel(_legend(study), x=0.01, ha="left", fontsize=8, color=MUTED)
    return drawn


def _draw(axes: Axes, row: Row, place: int) -> None:
    repeats = len(row.accuracies)
    if repeats > 1:
        # One below the other, so that equal ones are distinct.
        axes.plot(100 * np.array(row.accuracies), place + np.linspace(-0.18, 0.18, repeats), ".", color=MUTED, zorder=2)
    axes.plot(100 * row.mean, place, "o", color=INK if row.difference is None else BLUE, zorder=3)
    if row.difference is not None:
        mean, low, high = (100 * share for share in row.difference)
        base = 100 * row.mean - mean
        axes.plot([base + low, base + high], [place, place], color=BLUE, linewidth=2, zorder=1)
        axes.plot([base, base], [place - 0.5, place + 0.5], color=MUTED, linewidth=0.8, linestyle="--", zorder=0)


def _legend(study: Study) -> str:
    parts = [f"rows: strategy, {', '.join(map(_short, study.axes))}"] if study.axes else []
    if study.repeat:
        parts.append(f"large dots: mean; small dots: single runs, one for each {study.repeat}")
    if study.baseline:
        parts.append("bars: 95 % interval of the difference from the baseline (black; dashed)")
    return "\n".join(parts)

"""What a study found: how many pictures each setting read, its spread over repeated runs, and its paired differences.

Computed from the readings that the experiments left, never from figures that were copied.
"""

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.errors import DataError, RegistryError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation import bootstrap
from pipeline.evaluation.accuracy import rounded
from pipeline.evaluation.evaluated import Evaluated
from pipeline.experiments import runs
from pipeline.experiments.studies import Study, written
from pipeline.plots.style import BLUE, INK, MUTED, STYLE
from pipeline.registry import artifacts
from pipeline.registry.storage import Storage
from pipeline.reports.markdown import table as markdown_table

RESAMPLES = 9_999
DIFFERENCE = ("difference", "ci_low", "ci_high")
SEED = 0
"""Of the bootstrap: the same readings give the same intervals."""


@dataclass(frozen=True)
class Row:
    """What the runs of one setting read right, on one suite.

    Attributes:
        strategy, suite, levels: what was run, and its level on each axis but the repeated one.
        origin: of the pictures.
        accuracies: the share read whole, a run each.
        difference: from the baseline's on the same pictures, and its 95 % interval; None for the baseline itself, or
            without one.
    """

    strategy: str
    suite: str
    levels: Mapping[str, str]
    origin: str
    accuracies: tuple[float, ...]
    difference: tuple[float, float, float] | None = None

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def deviation(self) -> float | None:
        """The standard deviation of one run (n - 1 in the divisor); None of a single run."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else None


@dataclass(frozen=True)
class Effect:
    """What a level does against the baseline's, averaged over the levels of all other axes."""

    strategy: str
    suite: str
    axis: str
    level: str
    against: str
    difference: tuple[float, float, float]


@dataclass(frozen=True)
class Findings:
    """A study's result: rows in the order of the grid, effects, and the names of runs that are missing."""

    rows: tuple[Row, ...]
    effects: tuple[Effect, ...]
    missing: tuple[str, ...]


def collect(study: Study) -> Findings:
    """Score the readings that the finished runs left in DVC's cache or remote.

    Raises:
        DataError: readings or pictures cannot be had, or do not give the accuracy that the run itself recorded.
    """
    right: dict[tuple[str, str], dict[tuple[str, ...], list[np.ndarray]]] = {}
    origins: dict[tuple[str, str], str] = {}
    missing = []
    truths: dict[tuple[str, str], ImageSet] = {}
    for point, each in study.points():
        revision = runs.finished(each)
        if revision is None:
            missing.append(each.name)
            continue
        strategy = each.target.partition("@")[2]
        levels = tuple(point[axis] for axis in study.axes)
        for suite, origin, correct in _correct(revision, strategy, study.split, truths):
            right.setdefault((strategy, suite), {}).setdefault(levels, []).append(correct)
            origins[strategy, suite] = origin
    rows, effects = [], []
    base = tuple(study.baseline[axis] for axis in study.axes) if study.baseline else None
    for (strategy, suite), settings in right.items():
        means = {levels: np.mean(each, axis=0) for levels, each in settings.items()}
        for levels, outcomes in settings.items():
            compared = base in means and levels != base
            rows.append(
                Row(
                    strategy,
                    suite,
                    dict(zip(study.axes, levels, strict=True)),
                    origins[strategy, suite],
                    tuple(float(np.mean(each)) for each in outcomes),
                    paired(means[levels] - means[base]) if compared else None,
                )
            )
        if base is not None:
            effects += list(_effects(study, strategy, suite, means))
    return Findings(tuple(rows), tuple(effects), tuple(missing))


def paired(differences: np.ndarray) -> tuple[float, float, float]:
    """The mean of differences on the same pictures, float (n,), and its 95 % interval."""
    return bootstrap.mean_difference(differences, resamples=RESAMPLES, seed=SEED)


def _effects(study: Study, strategy: str, suite: str, means: Mapping[tuple[str, ...], np.ndarray]) -> Iterator[Effect]:
    """Effects of every level whose counterparts were all run."""
    if len(study.axes) < 2:
        return
    for index, axis in enumerate(study.axes):
        others = [levels for levels in means if levels[index] == study.baseline[axis]]
        for level in study.grid[axis]:
            pairs = [((*levels[:index], level, *levels[index + 1 :]), levels) for levels in others]
            if level == study.baseline[axis] or not pairs or not all(pair[0] in means for pair in pairs):
                continue
            differences = np.mean([means[here] - means[there] for here, there in pairs], axis=0)
            yield Effect(strategy, suite, axis, level, study.baseline[axis], paired(differences))


def _correct(
    revision: str, strategy: str, split: str, truths: dict[tuple[str, str], ImageSet]
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Suite, origin, and bool (n,) which pictures a run read whole; `truths` holds what was loaded by its digest."""
    task = runs.document(revision, "params.yaml")["strategies"][strategy]["task"]
    scored = artifacts.evaluation(task, strategy)
    evaluation = runs.document(revision, scored)
    outs = {
        out["path"]: out["md5"]
        for stage in runs.document(revision, "dvc.lock")["stages"].values()
        for out in stage.get("outs", [])
        if "md5" in out
    }
    with Storage.at(Path(), revision) as storage, tempfile.TemporaryDirectory() as copies:
        for suite, scores in evaluation["suites"].items():
            folder = f"data/{evaluation['task']}/{suite}"
            key = (outs.get(folder, folder), split)
            if key not in truths:
                truths[key] = ImageSet.load(_copied(storage, f"{folder}/{split}.npz", Path(copies)))
            said = artifacts.predictions(task, strategy, suite, split)
            readings = Readings.load(_copied(storage, said, Path(copies)))
            correct = Evaluated.of(readings, truths[key]).correct
            recorded = scores[split]["sequence_accuracy"]
            if rounded(float(correct.mean())) != recorded:
                raise DataError(
                    f"experiment {revision[:7]}: {said} gives {correct.mean():.6f}, but "
                    f"{scored} says {recorded:.6f}; expected the same"
                )
            yield suite, evaluation["origin"], correct


def _copied(storage: Storage, path: str, folder: Path) -> Path:
    """A file of an experiment, from the cache or else a remote, below `folder`."""
    try:
        return storage.fetch(path, folder / path)
    except RegistryError as error:
        raise DataError(
            f"{path} of experiment {storage.revision[:7]}: neither in DVC's cache nor in a remote ({error}); run the "
            "study again, or pull it"
        ) from None


def table(study: Study, findings: Findings) -> str:
    """The rows as CSV: shares with four decimals, nothing where there is no value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    named = [_short(axis) for axis in study.axes]
    writer.writerow(
        ("strategy", "suite", "split", "origin", *named, "runs", "mean", "deviation", "lowest", "highest", *DIFFERENCE)
    )
    for row in findings.rows:
        shares = [row.mean, row.deviation, min(row.accuracies), max(row.accuracies), *(row.difference or (None,) * 3)]
        head = [row.strategy, row.suite, study.split, row.origin, *row.levels.values(), len(row.accuracies)]
        writer.writerow(head + ["" if share is None else f"{share:.4f}" for share in shares])
    return out.getvalue()


def markdown(study: Study, findings: Findings) -> str:
    """The rows, and the effects where there are any, as a page of Markdown; shares in per cent."""
    several = any(len(row.accuracies) > 1 for row in findings.rows)
    named = [_short(axis) for axis in study.axes]
    header = ["strategy", "suite", *named, "read whole"]
    header += ["deviation", "lowest to highest", "runs"] if several else []
    header += ["against the baseline", "95 % interval"] if study.baseline else []
    lines = []
    for row in findings.rows:
        stand_in = " (stand-in)" if row.origin == "embedded" else ""
        line = [row.strategy + stand_in, row.suite, *row.levels.values(), f"{100 * row.mean:.2f}"]
        if several:
            deviation = "" if row.deviation is None else f"{100 * row.deviation:.2f}"
            spread = f"{100 * min(row.accuracies):.2f} to {100 * max(row.accuracies):.2f}"
            line += [deviation, spread, str(len(row.accuracies))]
        line += _compared(row.difference) if study.baseline else []
        lines.append(line)
    page = f"# Study {study.name}\n\n{_said(study, findings)}\n\n{markdown_table(header, lines)}"
    if findings.effects:
        lines = [
            (
                each.strategy,
                each.suite,
                _short(each.axis),
                f"{each.level} for {each.against}",
                *_compared(each.difference),
            )
            for each in findings.effects
        ]
        header = ["strategy", "suite", "setting", "change", "difference", "95 % interval"]
        page += (
            "\n## Effects\n\nEach level against the baseline's, averaged over the levels of all other settings.\n\n"
            + markdown_table(header, lines)
        )
    return page


def _said(study: Study, findings: Findings) -> str:
    found = len(list(study.points())) - len(findings.missing)
    said = [
        f"Per cent of the pictures of {study.split} read whole, of {found} finished runs"
        + (f"; {len(findings.missing)} are missing: {', '.join(findings.missing)}." if findings.missing else ".")
    ]
    if study.fixed:
        said.append("All with " + ", ".join(f"`{key}={written(value)}`" for key, value in study.fixed.items()) + ".")
    if study.repeat:
        runs = ", ".join(study.grid[study.repeat])
        said.append(f"Repeated over `{study.repeat}`: {runs}; the deviation is that of a single run.")
    if study.baseline:
        levels = ", ".join(f"{_short(axis)} {level}" for axis, level in study.baseline.items())
        said.append(
            f"The baseline is {levels}; differences are in points, on the same pictures, with a paired bootstrap "
            "interval over them."
        )
    return "\n".join(said) + f"\nMade by `make study STUDY=studies/{study.name}.yaml`."


def _short(axis: str) -> str:
    """`normalization` of `strategies.cnn.normalization`."""
    return axis.rpartition(".")[2]


def _compared(difference: tuple[float, float, float] | None) -> list[str]:
    if difference is None:
        return ["", ""]
    mean, low, high = (100 * each for each in difference)
    return [f"{mean:+.2f}", f"{low:+.2f} to {high:+.2f}"]


@matplotlib.rc_context(STYLE)
def figure(study: Study, findings: Findings) -> Figure:
    """A panel for each suite: every setting's mean accuracy, its runs, and the interval of its difference.

    Strategies, and of each its settings in the order of the grid, stand from top to bottom on one scale. The interval
    is drawn where the setting would stand if the baseline's accuracy were what it is.
    """
    suites = dict.fromkeys(row.suite for row in findings.rows)
    panels = {suite: [row for row in findings.rows if row.suite == suite] for suite in suites}
    heights = [0.8 + 0.24 * len(shown) for shown in panels.values()]
    drawn = Figure(figsize=(7.6, sum(heights) + 0.3), layout="constrained")
    grid = drawn.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for axes, (suite, shown) in zip(grid[:, 0], panels.items(), strict=True):
        stand_in = " (embedded stand-in)" if any(row.origin == "embedded" for row in shown) else ""
        axes.set_title(f"{suite}, {study.split}: per cent read whole{stand_in}")
        for place, row in enumerate(shown):
            _draw(axes, study, row, place)
        axes.set_yticks(range(len(shown)), [", ".join([row.strategy, *row.levels.values()]) for row in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, 0), min(high, 100.2))
        axes.grid(axis="x")
    drawn.supxlabel(_legend(study), x=0.01, ha="left", fontsize=8, color=MUTED)
    return drawn


def _draw(axes: Axes, study: Study, row: Row, place: int) -> None:
    repeats = len(row.accuracies)
    if repeats > 1:
        # One below the other, so that equal ones are seen.
        axes.plot(100 * np.array(row.accuracies), place + np.linspace(-0.18, 0.18, repeats), ".", color=MUTED, zorder=2)
    axes.plot(100 * row.mean, place, "o", color=INK if row.difference is None else BLUE, zorder=3)
    if row.difference is not None:
        mean, low, high = (100 * each for each in row.difference)
        base = 100 * row.mean - mean
        axes.plot([base + low, base + high], [place, place], color=BLUE, linewidth=2, zorder=1)
        axes.plot([base, base], [place - 0.5, place + 0.5], color=MUTED, linewidth=0.8, linestyle="--", zorder=0)


def _legend(study: Study) -> str:
    parts = [f"rows: strategy, {', '.join(axis.rpartition('.')[2] for axis in study.axes)}"] if study.axes else []
    if study.repeat:
        parts.append(f"large dots: mean; small dots: single runs, one for each {study.repeat}")
    if study.baseline:
        parts.append("bars: 95 % interval of the difference from the baseline (black; dashed)")
    return "\n".join(parts)

"""The pictures of evaluation and comparison. Equal input gives equal bytes; no pyplot, no display, no state."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.files import replacing
from pipeline.images import ImageSet
from pipeline.readings import Readings
from pipeline.scoring import (
    Score,
    confusion,
    correctness,
    per_slot_accuracy,
    reliability,
    wilson,
)

# Okabe and Ito's colours, which stay apart for every kind of colour vision.
BLUE, VERMILLION, GREEN, INK, MUTED, GRID = "#0072B2", "#D55E00", "#009E73", "#1B1F24", "#667080", "#E3E6EA"
ERRORS = LinearSegmentedColormap.from_list("errors", ["#FFFFFF", "#F6C7A3", VERMILLION])
STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "savefig.facecolor": "white",
}
DPI = 130
CURVES = ("loss", "exact_match")
"""The metrics of the training loop that are drawn."""
WORST = 24
"""Readings in a gallery."""


def save(figure: Figure, path: Path) -> None:
    """Write a PNG that carries neither a date nor the name of what drew it."""
    with replacing(path) as temporary, matplotlib.rc_context(STYLE):
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def as_text(classes: np.ndarray, class_names: Sequence[str]) -> str:
    """One row of classes as a person writes it: digits joined, blanks left out, `nothing` where none is left."""
    names = [class_names[index] if index < len(class_names) else f"class {index}" for index in classes]
    names = [name for name in names if name != "blank"]
    return ("" if all(len(name) == 1 for name in names) else " ").join(names) or "nothing"


def worst(readings: Readings, pictures: ImageSet, most: int = WORST) -> np.ndarray:
    """Indices of wrong readings, the most confident first; at most `most` of them."""
    wrong = np.flatnonzero(~correctness(readings, pictures))
    return wrong[np.argsort(-readings.confidence[wrong], kind="stable")][:most]


@matplotlib.rc_context(STYLE)
def gallery(readings: Readings, pictures: ImageSet, title: str, most: int = WORST) -> Figure:
    """The pictures read wrong with the highest confidence, each with what was read, what it was, and how sure.

    In a strip, the slots that differ are underlined.
    """
    wrong, shown = int((~correctness(readings, pictures)).sum()), worst(readings, pictures, most)
    height, width = pictures.shape[:2]
    wide = width >= 2 * height
    columns = 4 if wide else 8
    rows = max(1, -(-len(shown) // columns))
    cell = 9.6 / columns
    tall = rows * (cell * 0.94 * height / width + (0.26 if wide else 0.42)) + 0.45
    figure = Figure(figsize=(9.6, tall), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.04)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    count = f"{wrong:,} of {len(pictures):,} read wrong" + (f", the {len(shown)} surest" if wrong > len(shown) else "")
    figure.suptitle(f"{title}: {count}", x=0.005, ha="left", weight="bold", size=10)
    for axis in axes:
        axis.set_axis_off()
    for axis, index in zip(axes, shown, strict=False):
        axis.imshow(pictures.images[index], cmap="gray", vmin=0, vmax=255)
        _underline(axis, readings.classes[index], pictures.labels[index], height, width)
        read, was = (as_text(rows[index], pictures.class_names) for rows in (readings.classes, pictures.labels))
        text = f"read {read},{' ' if wide else chr(10)}was {was}, {readings.confidence[index]:.2f}"
        axis.set_title(text, size=7.5 if wide else 6.8, weight="normal", pad=3)
    if not len(shown):
        axes[0].text(0, 0.5, "No picture was read wrong.", transform=axes[0].transAxes)
    return figure


@matplotlib.rc_context(STYLE)
def sheet(readings: Readings, pictures: ImageSet, title: str, positional: bool = True) -> Figure:
    """What is taken for what, whether the confidence can be believed, and which slots or classes are hard.

    The last panel shows slots where there are several, else classes. Without positions only the middle one is drawn.
    """
    widths = [1.25, 1, 1] if positional else [1]
    figure = Figure(figsize=(10.8 if positional else 4.2, 4.1), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)
    figure.suptitle(title, x=0.01, ha="left", weight="bold", size=11)
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    _draw_reliability(axes[len(widths) // 2], readings.confidence, correctness(readings, pictures))
    if positional:
        _draw_confusion(axes[0], readings, pictures)
        several = pictures.slots > 1
        _draw_shares(axes[2], *(_by_slot if several else _by_class)(readings, pictures), "slot" if several else "class")
    return figure


def save_evaluation(
    folder: Path,
    strategy: str,
    suite: str,
    readings: Mapping[str, Readings],
    pictures: Mapping[str, ImageSet],
    positional: bool = True,
) -> None:
    """Write `SUITE-sheet.png` of the test split, and `SUITE-worst.png` of valid, on which work is steered.

    Args:
        folder: where the two go.
        strategy: who read.
        suite: what was read.
        readings: by split.
        pictures: by split.
        positional: whether slot i of a reading stands for slot i of the truth.
    """
    note = " (embedded stand-in)" if pictures["valid"].origin == "embedded" else ""
    summary = sheet(readings["test"], pictures["test"], f"{strategy} on {suite}, test{note}", positional)
    save(summary, folder / f"{suite}-sheet.png")
    save(
        gallery(readings["valid"], pictures["valid"], f"{strategy} on {suite}, valid{note}"),
        folder / f"{suite}-worst.png",
    )


@matplotlib.rc_context(STYLE)
def accuracies(rows: Sequence[Score], suites: Sequence[str], task: str) -> Figure:
    """Sequence accuracy with its interval, a panel for each of the task's suites: test filled, valid hollow."""
    strategies = sorted({row.strategy for row in rows}, key=lambda name: (_mean_valid(rows, name, suites), name))
    embedded = any(row.origin == "embedded" for row in rows)
    figure = Figure(figsize=(max(9.6, 2.9 * len(suites)), 1.5 + 0.42 * len(strategies)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    figure.suptitle(
        f"{task}: pictures read whole, with 95 % intervals" + (" (embedded stand-in)" if embedded else ""),
        x=0.01,
        ha="left",
        weight="bold",
        size=11,
    )
    axes = figure.subplots(1, len(suites), sharex=True, sharey=True, squeeze=False)[0]
    marks = {
        "test": {"color": BLUE, "marker": "o", "ms": 5.5, "lw": 1.6},
        "valid": {"color": MUTED, "marker": "o", "ms": 5.5, "lw": 1.6, "mfc": "white"},
    }
    for axis, suite in zip(axes, suites, strict=True):
        here = {(row.strategy, row.split): row for row in rows if row.suite == suite}
        for height, strategy in enumerate(strategies):
            if (strategy, "test") not in here:
                place = {"transform": axis.get_yaxis_transform(), "ha": "center", "va": "center"}
                axis.text(0.5, height, "cannot read it", color=MUTED, size=8, **place)
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
def curves(training: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]], title: str) -> Figure:
    """Loss above, exact match below, a column for each strategy: training dashed, valid solid.

    Args:
        training: for each strategy what `read_curves` found.
        title: what stands above it all.
    """
    columns = min(5, max(1, len(training)))
    bands = max(1, -(-len(training) // columns))
    figure = Figure(figsize=(max(5.0, 3.0 * columns), 0.7 + 3.9 * bands), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    figure.suptitle(title, x=0.01, ha="left", weight="bold", size=11)
    axes = figure.subplots(2 * bands, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_visible(False)
    for place, (strategy, series) in enumerate(training.items()):
        band, column = divmod(place, columns)
        for axis, metric in zip(axes[2 * band : 2 * band + 2, column], CURVES, strict=True):
            axis.set_visible(True)
            axis.grid()
            axis.margins(x=0.02)
            _draw_curves(axis, series, metric)
        axes[2 * band, column].set_title(strategy)
        axes[2 * band + 1, column].set_xlabel("epoch")
    handles = [
        Line2D([], [], color=MUTED, ls=(0, (4, 2)), lw=1.5, label="train"),
        Line2D([], [], color=BLUE, lw=1.8, label="valid"),
    ]
    figure.legend(handles=handles, loc="upper right", ncols=2)
    return figure


def read_curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What DVCLive's Keras callback wrote below `folder`: `train/loss`, `eval/loss` and so on, as (step, value)."""
    root = Path(folder) / "plots" / "metrics"
    found = {}
    for path in sorted(root.rglob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))[1:]
        found[path.relative_to(root).with_suffix("").as_posix()] = [(int(step), float(value)) for step, value in rows]
    return found


def _draw_curves(axis: Axes, series: Mapping[str, Sequence[tuple[int, float]]], metric: str) -> None:
    axis.set_ylabel("loss" if metric == "loss" else "exact match, %")
    for part, look in (("train", {"color": MUTED, "ls": (0, (4, 2)), "lw": 1.5}), ("eval", {"color": BLUE, "lw": 1.8})):
        steps, values = np.array(series.get(f"{part}/{metric}", []), float).reshape(-1, 2).T
        axis.plot(steps + 1, values if metric == "loss" else 100 * values, **look, marker="o", ms=3)
    axis.xaxis.get_major_locator().set_params(integer=True)


def _draw_confusion(axis: Axes, readings: Readings, pictures: ImageSet) -> None:
    size = max(pictures.classes, readings.probabilities.shape[-1])
    counts = confusion(readings.classes, pictures.labels, size)
    names = [*pictures.class_names, *(f"class {index}" for index in range(pictures.classes, size))]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # Colour goes to the errors alone: on the scale of the diagonal they would all look white.
    np.fill_diagonal(shares, 0)
    axis.imshow(shares, cmap=ERRORS, vmin=0, vmax=max(float(shares.max()), 1e-9))
    for actual, predicted in np.argwhere(counts):
        right = actual == predicted
        axis.text(
            predicted,
            actual,
            f"{counts[actual, predicted]}",
            ha="center",
            va="center",
            size=6.5,
            color=MUTED if right else INK,
        )
    axis.set_xticks(
        range(size), names, size=8, rotation=0 if all(len(name) < 3 for name in pictures.class_names[:10]) else 60
    )
    axis.set_yticks(range(size), names, size=8)
    axis.tick_params(length=0)
    axis.set_xlabel("read")
    axis.set_ylabel("was")
    axis.set_title("Confusion (slots; errors coloured)" if pictures.slots > 1 else "Confusion (errors coloured)")
    for spine in axis.spines.values():
        spine.set_visible(False)


def _draw_reliability(axis: Axes, confidence: np.ndarray, correct: np.ndarray) -> None:
    bins = reliability(confidence, correct)
    full = bins.count > 0
    axis.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 2)))
    axis.vlines(bins.confidence[full], bins.confidence[full], bins.accuracy[full], color=VERMILLION, lw=1.4)
    # Area by the number of pictures, on a log scale: nearly all of them sit in the last bin.
    axis.scatter(
        bins.confidence[full], bins.accuracy[full], s=12 + 22 * np.log10(bins.count[full]), color=BLUE, zorder=3
    )
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="confidence", ylabel="share read whole", aspect="equal")
    axis.grid()
    axis.set_title("Reliability")
    axis.text(0.96, 0.05, f"ECE {bins.ece:.4f}\n{len(correct):,} pictures", ha="right", transform=axis.transAxes)


def _draw_shares(axis: Axes, names: Sequence[str], right: np.ndarray, total: np.ndarray, noun: str) -> None:
    shares = right / total
    intervals = np.array([wilson(*pair) for pair in zip(right, total, strict=True)])
    axis.vlines(range(len(names)), 100 * intervals[:, 0], 100 * intervals[:, 1], color=BLUE, lw=1.6)
    axis.plot(range(len(names)), 100 * shares, "o", color=BLUE, ms=6)
    axis.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) < 3 else 60)
    axis.set_xlim(-0.6, len(names) - 0.4)
    low = 100 * intervals[:, 0].min()
    axis.set_ylim(max(0.0, low - 0.1 * (100 - low)), 100 + 0.03 * (100 - low))
    axis.grid(axis="y")
    axis.set_xlabel("slot, left to right" if noun == "slot" else "class")
    axis.set_ylabel(f"read right, % (the axis starts at {axis.get_ylim()[0]:.1f})")
    axis.set_title(f"Accuracy by {noun}, 95 % intervals")


def _by_slot(readings: Readings, pictures: ImageSet) -> tuple[list[str], np.ndarray, np.ndarray]:
    shares = per_slot_accuracy(readings.classes, pictures.labels)
    n = np.full(pictures.slots, len(pictures))
    return [str(slot + 1) for slot in range(pictures.slots)], np.rint(shares * n).astype(int), n


def _by_class(readings: Readings, pictures: ImageSet) -> tuple[list[str], np.ndarray, np.ndarray]:
    size = max(pictures.classes, readings.probabilities.shape[-1])
    counts = confusion(readings.classes, pictures.labels, size)
    present = np.flatnonzero(counts.sum(axis=1))
    return [pictures.class_names[index] for index in present], np.diag(counts)[present], counts.sum(axis=1)[present]


def _underline(axis: Axes, read: np.ndarray, was: np.ndarray, height: int, width: int) -> None:
    slots = len(was)
    if slots == 1 or len(read) != slots or width != slots * height:
        return
    for slot in np.flatnonzero(read != was):
        axis.plot([slot * height + 2, (slot + 1) * height - 3], [height + 1] * 2, color=VERMILLION, lw=2, clip_on=False)


def _mean_valid(rows: Sequence[Score], strategy: str, suites: Sequence[str]) -> float:
    return sum(row.sequence_accuracy for row in rows if row.strategy == strategy and row.split == "valid") / len(suites)

"""The charts of evaluation and comparison. Equal input gives equal bytes; no pyplot, no display, no state."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings, in_order
from pipeline.evaluation.scoring import (
    Score,
    blank_of,
    confusion,
    correctness,
    per_slot_accuracy,
    reliability,
    wilson,
)

# Okabe and Ito's colours, which stay apart for every kind of colour vision.
BLUE, VERMILLION, INK, MUTED, GRID = "#0072B2", "#D55E00", "#1B1F24", "#667080", "#E3E6EA"
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


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of at most 256 colours that carries neither a date nor the name of what drew it."""
    with matplotlib.rc_context(STYLE):
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    # A palette is a third of the bytes, and the report holds some hundred pictures.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    with replacing(path) as temporary:
        image.quantize(256, dither=Image.Dither.NONE).save(temporary, "PNG", dpi=(DPI, DPI))


@matplotlib.rc_context(STYLE)
def sheet(readings: Readings, pictures: ImageSet, title: str, positional: bool = True) -> Figure:
    """What is taken for what, whether the confidence can be believed, and what is hard.

    With positions the confusion compares slot with slot, and the last panel shows slots where there are several, else
    classes. Without, the confusion compares digits from left to right in those pictures where as many were read as
    there are, and the last panel shows pictures by their number of digits.
    """
    figure = Figure(figsize=(10.8, 4.1), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)
    figure.suptitle(title, x=0.01, ha="left", weight="bold", size=11)
    axes = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
    several = pictures.slots > 1
    if positional:
        size = max(pictures.classes, readings.probabilities.shape[-1])
        names = [*pictures.class_names, *(f"class {index}" for index in range(pictures.classes, size))]
        _draw_confusion(axes[0], readings.classes, pictures.labels, names)
        axes[0].set_title(f"Confusion ({'slots; ' if several else ''}errors coloured)")
        _draw_shares(axes[2], *(_by_slot if several else _by_class)(readings, pictures), "slot" if several else "class")
    else:
        read, was, complete = _paired(readings, pictures)
        _draw_confusion(axes[0], read, was, [name for name in pictures.class_names if name != "blank"])
        axes[0].set_title("Confusion (digits; errors coloured)")
        axes[0].set_xlabel(
            f"read, in {complete:,} of {len(pictures):,} pictures: those with as many digits read", size=8
        )
        _draw_shares(axes[2], *_by_number(readings, pictures), "number")
        axes[2].set_xlabel("digits in the picture")
    _draw_reliability(axes[1], readings.confidence, correctness(readings, pictures))
    return figure


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
    bands = max(1, -(-len(training) // 5))
    columns = max(1, -(-len(training) // bands))
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


def _draw_confusion(axis: Axes, read: np.ndarray, was: np.ndarray, names: Sequence[str]) -> None:
    size = len(names)
    counts = confusion(read, was, size)
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
    axis.set_xticks(range(size), names, size=8, rotation=0 if all(len(name) < 3 for name in names[:10]) else 60)
    axis.set_yticks(range(size), names, size=8)
    axis.tick_params(length=0)
    axis.set_xlabel("read")
    axis.set_ylabel("was")
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
    axis.set_xlabel("slot, left to right" if noun == "slot" else noun)
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


def _by_number(readings: Readings, pictures: ImageSet) -> tuple[list[str], np.ndarray, np.ndarray]:
    number = np.sum(pictures.labels != blank_of(pictures.class_names), axis=1)
    total = np.bincount(number)
    right = np.bincount(number, correctness(readings, pictures)).astype(int)
    present = np.flatnonzero(total)
    return [str(count) for count in present], right[present], total[present]


def _paired(readings: Readings, pictures: ImageSet) -> tuple[np.ndarray, np.ndarray, int]:
    """The digits read and those of the truth one by one, and in how many pictures there are as many of both."""
    blank = blank_of(pictures.class_names)
    slots = min(readings.classes.shape[1], pictures.slots)
    read, was = (in_order(rows, blank) for rows in (readings.classes, pictures.labels))
    complete = np.sum(read != blank, axis=1) == np.sum(was != blank, axis=1)
    digits = complete[:, None] & (was[:, :slots] != blank)
    return read[:, :slots][digits], was[:, :slots][digits], int(complete.sum())


def _mean_valid(rows: Sequence[Score], strategy: str, suites: Sequence[str]) -> float:
    return sum(row.sequence_accuracy for row in rows if row.strategy == strategy and row.split == "valid") / len(suites)

"""The diagnostics of one split: the confusion matrix, the reliability diagram, and the accuracy of its parts."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluation.accuracy import per_slot_accuracy, wilson
from pipeline.evaluation.calibration import reliability
from pipeline.evaluation.confusion import Confusion
from pipeline.evaluation.confusion import counts as confusion_counts
from pipeline.evaluation.evaluated import Evaluated
from pipeline.plots.style import BLUE, ERRORS, HEADING, INK, MUTED, STYLE, VERMILLION


@matplotlib.rc_context(STYLE)
def diagnostics(evaluated: Evaluated, title: str) -> Figure:
    """Draw three panels: confusion, reliability, and the accuracy by slot, class or number of digits.

    With positions, the confusion compares slot with slot, and the last panel shows slots where there are several, else
    classes. Without, the confusion compares digits from left to right in the pictures whose number of digits was read
    correctly, and the last panel shows pictures by their number of digits.
    """
    figure = Figure(figsize=(10.8, 4.1))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.06)
    figure.suptitle(title, **HEADING)
    axes = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
    confusion = Confusion.of(evaluated)
    _draw_confusion(axes[0], confusion)
    several = evaluated.pictures.slots > 1
    if not evaluated.positional:
        axes[0].set_title("Confusion (digits; errors coloured)")
        axes[0].set_xlabel(
            f"predicted; {confusion.pictures:,} of {len(evaluated):,} pictures, those with a correct count", size=8
        )
        _draw_accuracies(axes[2], *_by_number(evaluated), "number of digits")
    elif several:
        axes[0].set_title("Confusion (slots; errors coloured)")
        _draw_accuracies(axes[2], *_by_slot(evaluated), "slot")
        axes[2].set_xlabel("slot, left to right")
    else:
        axes[0].set_title("Confusion (errors coloured)")
        _draw_accuracies(axes[2], *_by_class(evaluated), "class")
    _draw_reliability(axes[1], evaluated)
    return figure


def _draw_confusion(axis: Axes, confusion: Confusion) -> None:
    names, counts = confusion.names, confusion.counts
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # Only errors are coloured: on the scale of the diagonal they would all look white.
    np.fill_diagonal(shares, 0)
    axis.imshow(shares, cmap=ERRORS, vmin=0, vmax=max(float(shares.max()), 1e-9))
    for actual, predicted in np.argwhere(counts):
        axis.text(
            predicted,
            actual,
            f"{counts[actual, predicted]}",
            ha="center",
            va="center",
            size=6.5,
            color=MUTED if actual == predicted else INK,
        )
    axis.set_xticks(range(len(names)), names, size=8, rotation=0 if all(len(name) < 3 for name in names[:10]) else 60)
    axis.set_yticks(range(len(names)), names, size=8)
    axis.tick_params(length=0)
    axis.set_xlabel("predicted")
    axis.set_ylabel("target")
    for spine in axis.spines.values():
        spine.set_visible(False)


def _draw_reliability(axis: Axes, evaluated: Evaluated) -> None:
    bins = reliability(evaluated.readings.confidence, evaluated.correct)
    full = bins.count > 0
    axis.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 2)))
    axis.vlines(bins.confidence[full], bins.confidence[full], bins.accuracy[full], color=VERMILLION, lw=1.4)
    # Area by the number of pictures, on a log scale: nearly all of them are in the last bin.
    axis.scatter(
        bins.confidence[full], bins.accuracy[full], s=12 + 22 * np.log10(bins.count[full]), color=BLUE, zorder=3
    )
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="confidence", ylabel="sequence accuracy", aspect="equal")
    axis.grid()
    axis.set_title("Reliability")
    axis.text(0.96, 0.05, f"ECE {bins.ece:.4f}\n{len(evaluated):,} pictures", ha="right", transform=axis.transAxes)


def _draw_accuracies(axis: Axes, names: Sequence[str], correct: np.ndarray, total: np.ndarray, noun: str) -> None:
    shares = correct / total
    intervals = np.array([wilson(*pair) for pair in zip(correct, total, strict=True)])
    axis.vlines(range(len(names)), 100 * intervals[:, 0], 100 * intervals[:, 1], color=BLUE, lw=1.6)
    axis.plot(range(len(names)), 100 * shares, "o", color=BLUE, ms=6)
    axis.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) < 3 else 60)
    axis.set_xlim(-0.6, len(names) - 0.4)
    low = 100 * intervals[:, 0].min()
    axis.set_ylim(max(0.0, low - 0.1 * (100 - low)), 100 + 0.03 * (100 - low))
    axis.grid(axis="y")
    axis.set_xlabel(noun)
    axis.set_ylabel(f"accuracy, % (95 % intervals; axis starts at {axis.get_ylim()[0]:.1f})", size=8)
    axis.set_title(f"Accuracy by {noun}")


def _by_slot(evaluated: Evaluated) -> tuple[list[str], np.ndarray, np.ndarray]:
    shares = per_slot_accuracy(evaluated.readings.classes, evaluated.pictures.labels)
    n = np.full(evaluated.pictures.slots, len(evaluated))
    return [str(slot + 1) for slot in range(len(n))], np.rint(shares * n).astype(int), n


def _by_class(evaluated: Evaluated) -> tuple[list[str], np.ndarray, np.ndarray]:
    readings, pictures = evaluated.readings, evaluated.pictures
    size = max(pictures.classes, readings.probabilities.shape[-1])
    counts = confusion_counts(readings.classes, pictures.labels, size)
    present = np.flatnonzero(counts.sum(axis=1))
    return [pictures.class_names[index] for index in present], np.diag(counts)[present], counts.sum(axis=1)[present]


def _by_number(evaluated: Evaluated) -> tuple[list[str], np.ndarray, np.ndarray]:
    number = np.sum(evaluated.pictures.labels != evaluated.blank, axis=1)
    total = np.bincount(number)
    correct = np.bincount(number, evaluated.correct).astype(int)
    present = np.flatnonzero(total)
    return [str(count) for count in present], correct[present], total[present]

"""Pictures with their readings: correct and incorrect ones side by side, and the most confident errors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from pipeline.core.images import ImageSet
from pipeline.evaluation.detection import true_positives
from pipeline.evaluation.evaluated import Evaluated
from pipeline.plots import style
from pipeline.plots.diagnostics import diagnostics
from pipeline.plots.style import INK, MUTED, STYLE, VERMILLION

ERRORS = 24
"""Most pictures in a gallery of errors."""
EACH = 8
"""Correct readings, and as many errors, in a gallery of examples."""
# Of Okabe and Ito's colours those that stand out on black.
TRUE_POSITIVE, FALSE_POSITIVE, TARGET = "#56B4E9", "#E69F00", "#FFFFFF"
WIDTH = 9.6
"""Of every gallery, in inches."""


def as_text(classes: np.ndarray, class_names: Sequence[str]) -> str:
    """Format one row of classes: digits joined, blanks left out, `nothing` where no digit is left."""
    names = [class_names[index] if index < len(class_names) else f"class {index}" for index in classes]
    names = [name for name in names if name != "blank"]
    return ("" if all(len(name) == 1 for name in names) else " ").join(names) or "nothing"


def confident_errors(evaluated: Evaluated, most: int = ERRORS) -> np.ndarray:
    """Indices of incorrect readings, the most confident first; at most `most` of them."""
    wrong = np.flatnonzero(~evaluated.correct)
    return wrong[np.argsort(-evaluated.readings.confidence[wrong], kind="stable")][:most]


@matplotlib.rc_context(STYLE)
def errors(evaluated: Evaluated, title: str, most: int = ERRORS) -> Figure:
    """Draw the errors with the highest confidence, each with the prediction, the target and the confidence.

    Boxes are drawn where there are any. In a strip whose readings know positions, the slots that differ are underlined.
    """
    wrong, shown = int((~evaluated.correct).sum()), confident_errors(evaluated, most)
    columns = {"wide": 4, "large": 6, "small": 8}[_kind(evaluated.pictures)]
    rows = max(1, -(-len(shown) // columns))
    boxes = evaluated.has_boxes
    tall = _height(evaluated.pictures, rows, columns)
    figure = Figure(figsize=(WIDTH, tall + 0.3 + 0.25 * boxes))
    figure.set_layout_engine("constrained", w_pad=0.05, h_pad=0.04)
    axes = figure.subplots(rows, columns, squeeze=False)
    part = f", the {len(shown)} most confident" if wrong > len(shown) else ""
    figure.suptitle(
        f"{title}: {wrong:,} errors in {len(evaluated):,} pictures{part}", x=0.005, ha="left", weight="bold", size=10
    )
    _fill(axes, shown, evaluated, _lines(columns))
    if not len(shown):
        axes[0, 0].text(0, 0.5, "No errors.", transform=axes[0, 0].transAxes)
    if boxes:
        _legend(figure)
    return figure


@matplotlib.rc_context(STYLE)
def examples(evaluated: Evaluated, title: str, each: int = EACH) -> Figure:
    """Draw the first correct readings on the left, and the most confident errors on the right.

    Each has the prediction, the target where that differs, and the confidence. Where there are boxes, those of the
    targets are dashed; those of the readings are solid, with the class at the corner, in another colour where they are
    false positives.
    """
    correct = np.flatnonzero(evaluated.correct)[:each]
    wrong = confident_errors(evaluated, each)
    columns = {"wide": 1, "large": 2, "small": 4}[_kind(evaluated.pictures)]
    rows = -(-each // columns)
    boxes = evaluated.has_boxes
    tall = _height(evaluated.pictures, rows, 2 * columns)
    figure = Figure(figsize=(WIDTH, tall + 0.55 + 0.25 * boxes))
    figure.set_layout_engine("constrained", w_pad=0.05, h_pad=0.04)
    figure.suptitle(title, x=0.005, ha="left", weight="bold", size=10)
    halves = figure.subfigures(1, 2, wspace=0.03, squeeze=False)[0]
    heads = (f"correct: the first {len(correct)}", f"errors: the {len(wrong)} most confident")
    for half, head, shown in zip(halves, heads, (correct, wrong), strict=True):
        half.suptitle(head if len(shown) else head.partition(":")[0] + ": none", x=0.01, ha="left", size=9, color=MUTED)
        axes = half.subplots(rows, columns, squeeze=False)
        _fill(axes, shown, evaluated, _lines(2 * columns))
    if boxes:
        _legend(figure)
    return figure


def save_evaluation(folder: Path, strategy: str, suite: str, splits: Mapping[str, Evaluated]) -> None:
    """Write `SUITE-diagnostics.png` of test, and of valid `SUITE-examples.png` and `SUITE-errors.png`.

    Single errors are shown of valid only: work is steered by what they show, and test is only reported.

    Args:
        folder: where the three go.
        strategy: named in the titles.
        suite: named in the titles and the files.
        splits: `valid` and `test`.
    """
    note = " (embedded stand-in)" if splits["valid"].pictures.origin == "embedded" else ""
    title = f"{strategy} on {suite}, {{}}{note}".format
    style.save(diagnostics(splits["test"], title("test")), folder / f"{suite}-diagnostics.png")
    style.save(examples(splits["valid"], title("valid")), folder / f"{suite}-examples.png")
    style.save(errors(splits["valid"], title("valid")), folder / f"{suite}-errors.png")


def _kind(pictures: ImageSet) -> str:
    height, width = pictures.shape[:2]
    return "wide" if width >= 2 * height else "large" if width > 64 else "small"


def _height(pictures: ImageSet, rows: int, columns: int) -> float:
    """Inches for so many rows of pictures with their lines of text."""
    height, width = pictures.shape[:2]
    return rows * (WIDTH / columns * 0.94 * height / width + 0.12 + 0.14 * _lines(columns))


def _lines(columns: int) -> int:
    """Lines of a caption above a picture, with so many pictures in a row."""
    return 1 if WIDTH / columns > 3 else 2 if WIDTH / columns > 2 else 3


def _fill(axes: np.ndarray, shown: np.ndarray, evaluated: Evaluated, lines: int) -> None:
    for axis in axes.ravel():
        axis.set_axis_off()
        # Ticks take part in the layout even where no axis is drawn, and most of its time.
        axis.set(xticks=[], yticks=[])
    readings, pictures, boxes = evaluated.readings, evaluated.pictures, evaluated.has_boxes
    hits = true_positives(readings.take(shown), pictures.take(shown)) if boxes else [None] * len(shown)
    for axis, index, hit in zip(axes.ravel(), shown, hits, strict=False):
        axis.imshow(pictures.images[index], cmap="gray", vmin=0, vmax=255)
        if boxes:
            _draw_boxes(axis, evaluated, index, hit)
        elif evaluated.positional:
            _underline(axis, readings.classes[index], pictures.labels[index], *pictures.shape[:2])
        axis.set_title(_caption(evaluated, index, lines), size=7.5 if lines < 3 else 6.8, weight="normal", pad=3)


def _caption(evaluated: Evaluated, index: int, lines: int) -> str:
    names = evaluated.pictures.class_names
    predicted = as_text(evaluated.readings.classes[index], names)
    target = as_text(evaluated.pictures.labels[index], names)
    parts = [f"predicted {predicted}", *([f"target {target}"] if predicted != target else [])]
    confidence = f"confidence {evaluated.readings.confidence[index]:.2f}"
    between, before = {1: (", ", ", "), 2: (", ", "\n"), 3: ("\n", "\n")}[lines]
    return between.join(parts) + before + confidence


def _draw_boxes(axis: Axes, evaluated: Evaluated, index: int, hit: np.ndarray) -> None:
    readings, pictures, blank = evaluated.readings, evaluated.pictures, evaluated.blank
    if readings.boxes is None or pictures.boxes is None:
        return
    height, width = pictures.shape[:2]
    for box in pictures.boxes[index][pictures.labels[index] != blank]:
        if not box.any():
            # A digit whose box is unknown.
            continue
        axis.add_patch(_rectangle(box, edgecolor=TARGET, ls=(0, (2, 2)), lw=0.8, alpha=0.85))
    for box, name, is_hit in zip(readings.boxes[index], readings.classes[index], hit, strict=True):
        if name == blank:
            continue
        colour = TRUE_POSITIVE if is_hit else FALSE_POSITIVE
        axis.add_patch(_rectangle(box, edgecolor=colour, lw=1.1))
        # Inside the picture, whatever the box: a label over the edge would overlap the next picture's text.
        x, y = np.clip(box[:2], 0, (width - 5, height - 5))
        label = axis.text(x, y - 0.5, pictures.class_names[name], color=colour, size=6.5, weight="bold", va="bottom")
        label.set(path_effects=[patheffects.withStroke(linewidth=1.6, foreground="black")])
        if y < 8:
            label.set(va="top", y=y + 0.5)
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _rectangle(box: np.ndarray, **look: Any) -> Rectangle:
    # Half-open pixels: the centre of pixel 0 is at 0.
    x0, y0, x1, y1 = (float(side) - 0.5 for side in box)
    return Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, **look)


def _underline(axis: Axes, predicted: np.ndarray, target: np.ndarray, height: int, width: int) -> None:
    slots = len(target)
    if slots == 1 or len(predicted) != slots or width != slots * height:
        return
    for slot in np.flatnonzero(predicted != target):
        line = Line2D([slot * height + 2, (slot + 1) * height - 3], [height + 1] * 2, color=VERMILLION, lw=2)
        # Below the picture, in free space: pictures keep their size whether underlined or not.
        line.set(clip_on=False, in_layout=False)
        axis.add_line(line)
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=TRUE_POSITIVE, lw=1.6, label="true positive"),
        Line2D([], [], color=FALSE_POSITIVE, lw=1.6, label="false positive"),
        Line2D([], [], color=INK, lw=1, ls=(0, (2, 2)), label="target (white)"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=7.5)

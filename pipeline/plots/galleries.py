"""Pictures with what was read on them: right and wrong ones side by side, and the surest mistakes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation.scoring import blank_of, correctness, found
from pipeline.plots import figures
from pipeline.plots.figures import INK, MUTED, STYLE, VERMILLION

WORST = 24
"""Readings in a gallery of mistakes."""
EACH = 8
"""Right readings, and as many wrong ones, on a sheet of readings."""
# Of Okabe and Ito's colours those that stand out on black.
FOUND, ASTRAY, TRUTH = "#56B4E9", "#E69F00", "#FFFFFF"
WIDTH = 9.6
"""Of every gallery, in inches."""


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
def gallery(
    readings: Readings, pictures: ImageSet, title: str, most: int = WORST, *, positional: bool = True
) -> Figure:
    """The pictures read wrong with the highest confidence, each with what was read, what it was, and how sure.

    Boxes are drawn where there are any; in a strip whose readings know positions, the slots that differ are underlined.
    """
    wrong, shown = int((~correctness(readings, pictures)).sum()), worst(readings, pictures, most)
    columns = {"wide": 4, "large": 6, "small": 8}[_kind(pictures)]
    rows = max(1, -(-len(shown) // columns))
    boxes = _boxed(readings, pictures)
    figure = Figure(figsize=(WIDTH, _height(pictures, rows, columns) + 0.3 + 0.25 * boxes), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.04)
    axes = figure.subplots(rows, columns, squeeze=False)
    count = f"{wrong:,} of {len(pictures):,} read wrong" + (f", the {len(shown)} surest" if wrong > len(shown) else "")
    figure.suptitle(f"{title}: {count}", x=0.005, ha="left", weight="bold", size=10)
    _fill(axes, shown, readings, pictures, positional, _in_one_line(columns))
    if not len(shown):
        axes[0, 0].text(0, 0.5, "No picture was read wrong.", transform=axes[0, 0].transAxes)
    if boxes:
        _legend(figure)
    return figure


@matplotlib.rc_context(STYLE)
def sheet(readings: Readings, pictures: ImageSet, title: str, each: int = EACH, *, positional: bool = True) -> Figure:
    """Right readings on the left, the first by index, and wrong ones on the right, the surest.

    Each stands with what was read, what it was where that differs, and how sure the model is. Where both have boxes,
    those of the truth are dashed; those read are solid, with the class at the corner, in another colour where no digit
    of that class is there.
    """
    right = np.flatnonzero(correctness(readings, pictures))[:each]
    wrong = worst(readings, pictures, each)
    columns = {"wide": 1, "large": 2, "small": 4}[_kind(pictures)]
    rows = -(-each // columns)
    boxes = _boxed(readings, pictures)
    tall = _height(pictures, rows, 2 * columns)
    figure = Figure(figsize=(WIDTH, tall + 0.55 + 0.25 * boxes), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.04)
    figure.suptitle(title, x=0.005, ha="left", weight="bold", size=10)
    halves = figure.subfigures(1, 2, wspace=0.03)
    heads = (f"right: the first {len(right)}", f"wrong: the surest {len(wrong)}")
    for half, head, shown in zip(halves, heads, (right, wrong), strict=True):
        half.suptitle(head if len(shown) else head.partition(":")[0] + ": none", x=0.01, ha="left", size=9, color=MUTED)
        axes = half.subplots(rows, columns, squeeze=False)
        _fill(axes, shown, readings, pictures, positional, _in_one_line(2 * columns))
    if boxes:
        _legend(figure)
    return figure


def save_evaluation(
    folder: Path,
    strategy: str,
    suite: str,
    readings: Mapping[str, Readings],
    pictures: Mapping[str, ImageSet],
    positional: bool = True,
) -> None:
    """Write `SUITE-sheet.png` of test; of valid, on which work is steered, `SUITE-readings.png` and `SUITE-worst.png`.

    Args:
        folder: where the three go.
        strategy: who read.
        suite: what was read.
        readings: by split, from left to right.
        pictures: by split.
        positional: whether slot i of a reading stands for slot i of the truth.
    """
    note = " (embedded stand-in)" if pictures["valid"].origin == "embedded" else ""
    title = f"{strategy} on {suite}, {{}}{note}".format
    summary = figures.sheet(readings["test"], pictures["test"], title("test"), positional)
    figures.save(summary, folder / f"{suite}-sheet.png")
    for kind, draw in (("readings", sheet), ("worst", gallery)):
        drawn = draw(readings["valid"], pictures["valid"], title("valid"), positional=positional)
        figures.save(drawn, folder / f"{suite}-{kind}.png")


def _kind(pictures: ImageSet) -> str:
    height, width = pictures.shape[:2]
    return "wide" if width >= 2 * height else "large" if width > 64 else "small"


def _height(pictures: ImageSet, rows: int, columns: int) -> float:
    """Inches that so many rows of pictures need, with their lines of text."""
    height, width = pictures.shape[:2]
    return rows * (WIDTH / columns * 0.94 * height / width + (0.26 if _in_one_line(columns) else 0.42))


def _in_one_line(columns: int) -> bool:
    """Whether what was read and what it was fit beside each other above a picture of so many across."""
    return WIDTH / columns > 2


def _boxed(readings: Readings, pictures: ImageSet) -> bool:
    return readings.boxes is not None and pictures.boxes is not None


def _fill(
    axes: np.ndarray, shown: np.ndarray, readings: Readings, pictures: ImageSet, positional: bool, in_one_line: bool
) -> None:
    for axis in axes.ravel():
        axis.set_axis_off()
        # Ticks take part in the layout even where no axis is drawn, and most of its time.
        axis.set(xticks=[], yticks=[])
    boxes = _boxed(readings, pictures)
    hits = found(readings.take(shown), pictures.take(shown)) if boxes else [None] * len(shown)
    for axis, index, hit in zip(axes.ravel(), shown, hits, strict=False):
        axis.imshow(pictures.images[index], cmap="gray", vmin=0, vmax=255)
        if boxes:
            _draw_boxes(axis, readings, pictures, index, hit)
        elif positional:
            _underline(axis, readings.classes[index], pictures.labels[index], *pictures.shape[:2])
        said, was = (as_text(rows[index], pictures.class_names) for rows in (readings.classes, pictures.labels))
        rest = ", ".join([*([f"was {was}"] if said != was else []), f"{readings.confidence[index]:.2f}"])
        axis.set_title(
            f"read {said},{' ' if in_one_line else chr(10)}{rest}",
            size=7.5 if in_one_line else 6.8,
            weight="normal",
            pad=3,
        )


def _draw_boxes(axis: Axes, readings: Readings, pictures: ImageSet, index: int, hit: np.ndarray) -> None:
    blank = blank_of(pictures.class_names)
    height, width = pictures.shape[:2]
    for box in pictures.boxes[index][pictures.labels[index] != blank]:
        axis.add_patch(_rectangle(box, edgecolor=TRUTH, ls=(0, (2, 2)), lw=0.8, alpha=0.85))
    for box, name, right in zip(readings.boxes[index], readings.classes[index], hit, strict=True):
        if name == blank:
            continue
        colour = FOUND if right else ASTRAY
        axis.add_patch(_rectangle(box, edgecolor=colour, lw=1.1))
        # Inside the picture, whatever the box: a label over the edge would stand in the next picture's text.
        x, y = np.clip(box[:2], 0, (width - 5, height - 5))
        label = axis.text(x, y - 0.5, pictures.class_names[name], color=colour, size=6.5, weight="bold", va="bottom")
        label.set(path_effects=[patheffects.withStroke(linewidth=1.6, foreground="black")])
        if y < 8:
            label.set(va="top", y=y + 0.5)
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _rectangle(box: np.ndarray, **look: object) -> Rectangle:
    # Half-open pixels: the middle of pixel 0 is at 0.
    x0, y0, x1, y1 = (float(side) - 0.5 for side in box)
    return Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, **look)


def _underline(axis: Axes, read: np.ndarray, was: np.ndarray, height: int, width: int) -> None:
    slots = len(was)
    if slots == 1 or len(read) != slots or width != slots * height:
        return
    for slot in np.flatnonzero(read != was):
        line = Line2D([slot * height + 2, (slot + 1) * height - 3], [height + 1] * 2, color=VERMILLION, lw=2)
        # Below the picture, in the space there is: pictures keep their size whether underlined or not.
        line.set(clip_on=False, in_layout=False)
        axis.add_line(line)
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=FOUND, lw=1.6, label="read, and there"),
        Line2D([], [], color=ASTRAY, lw=1.6, label="read, and not there"),
        Line2D([], [], color=INK, lw=1, ls=(0, (2, 2)), label="the truth (white)"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=7.5)

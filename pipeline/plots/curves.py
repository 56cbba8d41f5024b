"""Training curves: the loss and the exact match of every epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.plots.style import BLUE, HEADING, MUTED, STYLE

METRICS = ("loss", "exact_match")
"""The metrics of the training loop that are drawn, in this order from top to bottom."""
History = Sequence[Mapping[str, float]]
"""The metrics of each epoch; those of valid are called `val_NAME`."""
STRATEGIES_PER_ROW = 5


@matplotlib.rc_context(STYLE)
def curves(histories: Mapping[str, History], title: str) -> Figure:
    """Draw the loss above the exact match, one column for each strategy: training dashed, valid solid.

    Args:
        histories: by strategy; an epoch without a metric is left out of its curve.
        title: of the figure.
    """
    bands = max(1, -(-len(histories) // STRATEGIES_PER_ROW))
    columns = max(1, -(-len(histories) // bands))
    figure = Figure(figsize=(max(5.0, 3.0 * columns), 0.7 + 3.9 * bands))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.06)
    figure.suptitle(title, **HEADING)
    axes = figure.subplots(2 * bands, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_visible(False)
    for place, (strategy, history) in enumerate(histories.items()):
        band, column = divmod(place, columns)
        for axis, metric in zip(axes[2 * band : 2 * band + 2, column], METRICS, strict=True):
            axis.set_visible(True)
            axis.grid()
            axis.margins(x=0.02)
            _draw(axis, history, metric)
        axes[2 * band, column].set_title(strategy)
        axes[2 * band + 1, column].set_xlabel("epoch")
    handles = [
        Line2D([], [], color=MUTED, ls=(0, (4, 2)), lw=1.5, label="train"),
        Line2D([], [], color=BLUE, lw=1.8, label="valid"),
    ]
    figure.legend(handles=handles, loc="upper right", ncols=2)
    return figure


def _draw(axis: Axes, history: History, metric: str) -> None:
    axis.set_ylabel("loss" if metric == "loss" else "exact match, %")
    scale = 1 if metric == "loss" else 100
    looks: dict[str, dict[str, Any]] = {
        metric: {"color": MUTED, "ls": (0, (4, 2)), "lw": 1.5},
        f"val_{metric}": {"color": BLUE, "lw": 1.8},
    }
    for name, look in looks.items():
        points = [(epoch, scale * values[name]) for epoch, values in enumerate(history, 1) if name in values]
        axis.plot([epoch for epoch, _ in points], [value for _, value in points], **look, marker="o", ms=3)
    axis.locator_params(axis="x", integer=True)

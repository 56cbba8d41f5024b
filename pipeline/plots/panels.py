"""Panels of pixels and numbers, for illustrations."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from pipeline.plots.style import BLUE, GRID, HEADING, INK, VERMILLION

SIGNED = LinearSegmentedColormap.from_list("signed", ["#004B77", BLUE, "#FFFFFF", VERMILLION, "#8A3C00"])
"""For values around 0."""
ACTIVE = LinearSegmentedColormap.from_list("active", ["#FFFFFF", "#8CC0E0", BLUE, "#00324F"])
"""For values from 0 up."""


def grid(
    width: float, height: float, rows: int, columns: int, title: str, origin: str = ""
) -> tuple[Figure, np.ndarray]:
    """Make a figure with rows and columns of panels without axes. Width and height are in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title + (" (embedded stand-in)" if origin == "embedded" else ""), **HEADING)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        bare(axis)
    return figure, axes


def show(
    axis: Axes, values: np.ndarray, colours: str | Colormap, low: float | None = None, high: float | None = None
) -> None:
    """Draw values (H, W) or (H, W, 1) as pixels, from `low` to `high`."""
    axis.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    bare(axis)


def bare(axis: Axes) -> None:
    """Remove ticks and spines."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def frame(axis: Axes) -> None:
    """Draw a thin frame."""
    axis.spines[:].set(visible=True, color=GRID)


def numbers(axis: Axes, values: np.ndarray, colours: str | Colormap, norm: Normalize) -> None:
    """Draw values (H, W) as coloured cells with their numbers."""
    axis.imshow(values, cmap=colours, norm=norm, interpolation="nearest")
    bare(axis)
    frame(axis)
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = matplotlib.colormaps.get_cmap(colours)(norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        axis.text(column, row, format_number(value), ha="center", va="center", size=8.5, color="white" if dark else INK)


def format_number(value: float) -> str:
    """Format with two decimals, a typographic minus, and no minus before 0."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def peak(values: np.ndarray) -> tuple[int, int]:
    """Row and column of the highest value."""
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return int(row), int(column)


def format_size(values: np.ndarray) -> str:
    """Format height and width of (H, W, ...)."""
    return f"{values.shape[0]}×{values.shape[1]}"

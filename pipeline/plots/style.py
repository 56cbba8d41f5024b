"""The look of every chart, and how one is written. Equal input gives equal bytes; no pyplot, no display, no state."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from pipeline.core.files import replacing

# Okabe and Ito's colours, which can be told apart with every kind of colour vision.
BLUE, VERMILLION, INK, MUTED, GRID = "#0072B2", "#D55E00", "#1B1F24", "#667080", "#E3E6EA"
ERRORS = LinearSegmentedColormap.from_list("errors", ["#FFFFFF", "#F6C7A3", VERMILLION])
STYLE: dict[Any, Any] = {
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
HEADING: dict[str, Any] = {"x": 0.01, "ha": "left", "weight": "bold", "size": 11}
"""Of a figure's title."""
DPI = 130


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of at most 256 colours, without a date and without the name of the program."""
    with matplotlib.rc_context(STYLE):
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    # A palette is a third of the bytes, and the report holds some hundred pictures.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    with replacing(path) as temporary:
        image.quantize(256, dither=Image.Dither.NONE).save(temporary, "PNG", dpi=(DPI, DPI))

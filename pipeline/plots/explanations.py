"""Misread pictures beside their occlusion maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from pipeline.plots.style import BLUE, HEADING, STYLE, VERMILLION

WIDTH = 9.6
"""Of a sheet, in inches."""
_SIDE = 1.9
"""Of a picture that is about square, in inches."""


@dataclass(frozen=True)
class Explained:
    """A picture with its map.

    Attributes:
        caption: what stands above it.
        image: uint8 (H, W, C).
        drops: float (H, W), confidence that is lost where the picture is covered.
    """

    caption: str
    image: np.ndarray
    drops: np.ndarray


@matplotlib.rc_context(STYLE)
def sheet(explained: Sequence[Explained], title: str) -> Figure:
    """Draw pictures and maps side by side: warm where covering takes confidence away, blue where it adds some.

    Args:
        explained: at least one, all of one size.
        title: of the sheet.
    """
    height, width = explained[0].image.shape[:2]
    wide = width >= 2 * height
    across, down = (2, len(explained)) if wide else (len(explained), 2)
    column = WIDTH / 2 if wide else _SIDE
    figure = Figure(figsize=(max(column * across, 5.0), (column * height / width + 0.42) * down + 0.35))
    figure.set_layout_engine("constrained", w_pad=0.05, h_pad=0.04)
    figure.suptitle(title, **HEADING)
    axes = figure.subplots(down, across, squeeze=False)
    for index, each in enumerate(explained):
        plain, map_ = axes[index] if wide else axes[:, index]
        for axis in (plain, map_):
            axis.set_axis_off()
            axis.set(xticks=[], yticks=[])
            axis.imshow(each.image, cmap="gray", vmin=0, vmax=255)
        plain.set_title(each.caption, size=7.5, weight="normal", pad=3)
        lost = float(each.drops.max())
        map_.set_title(f"covering loses up to {lost:.2f}", size=7.5, weight="normal", pad=3)
        map_.imshow(_coloured(each.drops))
    return figure


def _coloured(drops: np.ndarray) -> np.ndarray:
    """Float (H, W, 4): a colour for loss and one for gain, the more opaque the larger; the largest is the scale."""
    scale = max(float(np.abs(drops).max()), 1e-9)
    colour = np.where((drops >= 0)[..., None], to_rgb(VERMILLION), to_rgb(BLUE))
    return np.concatenate([colour, 0.8 * np.abs(drops)[..., None] / scale], axis=-1)

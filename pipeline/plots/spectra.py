"""What normalizations do: pictures before and after, and the spectrum of a whitening."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pipeline.core.images import ImageSet
from pipeline.plots.previews import contact_sheet
from pipeline.plots.style import BLUE, INK, MUTED, STYLE, VERMILLION, save
from pipeline.preprocessing.normalization import Statistics

EPSILONS = (1e-4, 1e-2)
"""Drawn beside the epsilon in use, to see what it does."""
ROUNDING = 1 / 12 / 255**2
"""The variance of an error that is uniform between two grey levels, on the scale 0 to 1."""


def draw(statistics: Statistics, train: ImageSet, folder: Path) -> None:
    """Write `before_after.png` and, where a whitening was fitted, `spectrum.png` into `folder`.

    Args:
        statistics: of the training split.
        train: the training split; its first pictures are shown.
        folder: exists.
    """
    shown = train.images[: 4 if train.shape[1] > 2 * train.shape[0] else 16]
    modes: dict[str, Any] = {"samplewise": "samplewise", "featurewise": "featurewise"}
    if statistics.whitens:
        for epsilon in (statistics.zca_epsilon, *EPSILONS):
            modes[f"zca, epsilon {epsilon:g}"] = {"zca_whitening": True, "zca_epsilon": epsilon}
    rows = {label: statistics.apply(shown, mode) for label, mode in modes.items()}
    contact_sheet({f"{statistics.name}, {train.origin}, raw": shown, **rows}, folder / "before_after.png")
    if statistics.whitens:
        save(spectrum(statistics), folder / "spectrum.png")


@matplotlib.rc_context(STYLE)
def spectrum(statistics: Statistics) -> Figure:
    """Variance along the principal directions before and after whitening, and the gain of each with several epsilons.

    The gains are the eigenvalues of the whitening matrix; the last over the first is its condition number.
    """
    epsilon = statistics.zca_epsilon
    values = np.square(1 / statistics.zca_gains(epsilon)) - epsilon
    order = np.arange(1, len(values) + 1)
    figure = Figure(figsize=(10.8, 4.1))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.06)
    figure.suptitle(
        f"{statistics.name}, whitening with epsilon {epsilon:g}: "
        f"the condition number of the matrix is {statistics.zca_condition(epsilon):,.0f}",
        x=0.01,
        ha="left",
        weight="bold",
        size=11,
    )
    variance, gain = figure.subplots(1, 2)
    shown = np.where(values > ROUNDING / 1000, values, np.nan)
    variance.plot(order, shown, color=MUTED, lw=1.8, label="before")
    variance.plot(order, shown / (shown + epsilon), color=BLUE, lw=1.8, label="after")
    variance.axhline(epsilon, color=VERMILLION, lw=1.2, ls=(0, (4, 2)), label=f"epsilon, {epsilon:g}")
    variance.axhline(ROUNDING, color=INK, lw=1, ls=(0, (1, 2)), label=f"rounding to grey levels, {ROUNDING:.1e}")
    variance.set(xscale="log", yscale="log", ylabel="variance (pictures on the scale 0 to 1)")
    variance.set_title("Variance of the training pictures")
    for each, colour in zip((epsilon, *EPSILONS), (BLUE, VERMILLION, MUTED), strict=True):
        label = f"epsilon {each:g}: condition number {statistics.zca_condition(each):,.0f}"
        gain.plot(order, statistics.zca_gains(each), color=colour, lw=1.8, label=label)
    gain.set(xscale="log", yscale="log", ylabel="gain")
    gain.set_title("Gain: the eigenvalues of the whitening matrix")
    for axis in (variance, gain):
        axis.set_xlabel("principal direction, by falling variance")
        axis.grid()
        axis.legend(fontsize=8)
    return figure

"""The pictures of docs/convolution.md, drawn from the trained network `textbook`. Equal input gives equal bytes."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipeline.core.images import ImageSet
from pipeline.plots import panels
from pipeline.plots.convolution import convolve, pool, relu
from pipeline.plots.panels import ACTIVE, SIGNED
from pipeline.plots.style import HEADING, MUTED, STYLE, VERMILLION, save
from pipeline.plots.textbook import Net

SHOWN = 1
"""Index of the test picture that most illustrations show."""
GRID_SIDE = 9
MAPS = 16
"""Feature maps drawn of each convolution."""


def draw(net: Net, train: ImageSet, test: ImageSet, folder: Path) -> None:
    """Write every illustration as NAME.png.

    Args:
        net: the trained network.
        train: training digits, shown by `samples`.
        test: test digits, shown by all other illustrations.
        folder: where the pictures go.
    """
    for name, figure in figures(net, train, test).items():
        save(figure, folder / f"{name}.png")


def figures(net: Net, train: ImageSet, test: ImageSet) -> dict[str, Figure]:
    """Make every illustration, by name; the arguments are those of `draw`."""
    digits = net.normalized(test.images[np.resize(np.arange(len(test)), 5)])
    digit = digits[SHOWN]
    return {
        "samples": samples(train),
        "kernels": kernels(net),
        "maps": maps(net, digit),
        "worked": worked(net, digit),
        "pooling": pooling(net, digit),
        "dropout": dropout(net, digit),
        "shift": shift(net, digit),
        "strip": strip(net, digits, test.class_names),
    }


@matplotlib.rc_context(STYLE)
def samples(pictures: ImageSet) -> Figure:
    """Draw the first 81 pictures in nine rows of nine, each with its label."""
    figure, axes = panels.grid(7.2, 8.1, GRID_SIDE, GRID_SIDE, "Training digits and their labels", pictures.origin)
    for axis, picture, label in zip(axes.ravel(), pictures.images, pictures.labels[:, 0], strict=False):
        panels.show(axis, picture, "gray", 0, 255)
        axis.set_title(pictures.class_names[label], size=9, pad=2, loc="center")
    return figure


@matplotlib.rc_context(STYLE)
def kernels(net: Net) -> Figure:
    """Draw the learned 3×3 kernels of the first layer, on one scale: white is 0."""
    kernel = net.conv1[0]
    figure, axes = panels.grid(7.6, 4.5, 4, 8, "The learned kernels of the first layer")
    limit = float(np.abs(kernel).max())
    for number in range(min(axes.size, kernel.shape[-1])):
        axis = axes.flat[number]
        panels.show(axis, kernel[:, :, 0, number], SIGNED, -limit, limit)
        panels.frame(axis)
        axis.set_title(number, size=7.5, weight="normal", color=MUTED, pad=2, loc="center")
    bar = figure.colorbar(axes[0, 0].images[0], ax=axes, shrink=0.8, aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("weight")
    return figure


@matplotlib.rc_context(STYLE)
def maps(net: Net, digit: np.ndarray) -> Figure:
    """Draw a digit (28, 28, 1) and the feature maps of both convolutions that vary most over it, with their numbers."""
    figure = Figure(figsize=(9.6, 5.2), layout="constrained")
    figure.suptitle(f"Feature maps of a digit: {MAPS} of each convolution", **HEADING)
    grid = figure.add_gridspec(4, 10, width_ratios=[1, 1, *[1] * 8])
    picture = figure.add_subplot(grid[1:3, :2])
    panels.show(picture, digit, "gray")
    picture.set_title(f"input: {panels.format_size(digit)}", size=9)
    for layer, (name, found) in enumerate((("conv1", net.first(digit)), ("conv2", net.second(digit)))):
        chosen = np.sort(np.argsort(-found.std(axis=(0, 1)), kind="stable")[:MAPS])
        for place, number in enumerate(chosen):
            axis = figure.add_subplot(grid[2 * layer + place // 8, 2 + place % 8])
            panels.show(axis, found[:, :, number], ACTIVE, 0, found.max())
            panels.frame(axis)
            text = f"{name}: {found.shape[-1]} maps of {panels.format_size(found)}" if place == 0 else ""
            axis.set_title(text, size=9, pad=14)
            axis.text(0, 1.04, f"{number}", transform=axis.transAxes, size=7, color=MUTED)
    return figure


@matplotlib.rc_context(STYLE)
def worked(net: Net, digit: np.ndarray) -> Figure:
    """Draw one kernel on a patch of 5×5: the numbers, the nine products at the centre, and their sum."""
    number = net.strongest
    kernel, bias = net.conv1[0][:, :, 0, number], float(net.conv1[1][number])
    responses = convolve(digit, *net.conv1)[:, :, number]
    top, left = panels.peak(responses[1:-1, 1:-1])
    patch = digit[top : top + 5, left : left + 5, 0]
    products = patch[1:4, 1:4] * kernel
    total = products.sum() + bias
    figure = Figure(figsize=(9.6, 3.5))
    figure.set_layout_engine("constrained", w_pad=0.1)
    where = f"rows {top} to {top + 4}, columns {left} to {left + 4}"
    figure.suptitle(f"Kernel {number} on {where}: the computation of one value of a feature map", **HEADING)
    axes = figure.subplots(1, 4, width_ratios=[5, 3, 3, 3])
    limit = float(np.abs(kernel).max())
    panels.numbers(axes[0], patch, "gray", Normalize(digit.min(), digit.max()))
    axes[0].add_patch(Rectangle((0.5, 0.5), 3, 3, fill=False, ec=VERMILLION, lw=2.2))
    axes[0].set_title("patch")
    panels.numbers(axes[1], kernel, SIGNED, Normalize(-limit, limit))
    axes[1].set_title("× kernel")
    spread = float(np.abs(products).max()) or 1.0
    panels.numbers(axes[2], products, SIGNED, Normalize(-spread, spread))
    axes[2].set_title("= nine products")
    near = relu(responses[top : top + 3, left : left + 3])
    panels.numbers(axes[3], near, ACTIVE, Normalize(0, float(responses.max())))
    axes[3].add_patch(Rectangle((0.5, 0.5), 1, 1, fill=False, ec=VERMILLION, lw=2.2))
    axes[3].set_title("feature map")
    figure.supxlabel(
        f"sum of the products {panels.format_number(products.sum())} + bias {panels.format_number(bias)} = "
        f"{panels.format_number(total)}; after ReLU {panels.format_number(max(total, 0.0))}",
        size=10,
    )
    return figure


@matplotlib.rc_context(STYLE)
def pooling(net: Net, digit: np.ndarray) -> Figure:
    """Draw one map of the second convolution, and max and average pooling of it, whole and as numbers of a part."""
    found = net.second(digit)
    found = found[:, :, [int(found.std(axis=(0, 1)).argmax())]]
    figure, axes = panels.grid(8.4, 6.0, 2, 3, "Pooling: the maxima and the means of one feature map")
    norm = Normalize(0, float(found.max()))
    spread = pool(found, "max")[:, :, 0] - pool(found, "avg")[:, :, 0]
    # Two windows by two, away from the edge, where maximum and mean differ most.
    four = spread[1:-2, 1:-2] + spread[2:-1, 2:-1] + spread[1:-2, 2:-1] + spread[2:-1, 1:-2]
    row, column = (1 + place for place in panels.peak(four))
    for place, (name, values, size) in enumerate(
        (("feature map", found, 4), ("max pooling", pool(found, "max"), 2), ("average pooling", pool(found, "avg"), 2))
    ):
        top, left = row * size // 2, column * size // 2
        panels.show(axes[0, place], values, ACTIVE, norm.vmin, norm.vmax)
        panels.frame(axes[0, place])
        axes[0, place].set_title(f"{name}, {panels.format_size(values)}")
        axes[0, place].add_patch(Rectangle((left - 0.5, top - 0.5), size, size, fill=False, ec=VERMILLION, lw=1.8))
        panels.numbers(axes[1, place], values[top : top + size, left : left + size, 0], ACTIVE, norm)
        axes[1, place].set_title("the marked square" if place == 0 else "")
    for line in (-0.5, 1.5, 3.5):
        axes[1, 0].axhline(line, color=VERMILLION, lw=1.4, clip_on=False)
        axes[1, 0].axvline(line, color=VERMILLION, lw=1.4, clip_on=False)
    return figure


@matplotlib.rc_context(STYLE)
def dropout(net: Net, digit: np.ndarray) -> Figure:
    """Draw a pooled map at inference, in two training steps, and as the mean of many; dropped values are marked."""
    values = net.pooled(digit)
    values = values[:, :, int(values.std(axis=(0, 1)).argmax())]
    random = np.random.default_rng(0)
    steps = 400
    kept = random.random((steps, *values.shape)) >= net.dropout
    trained = values * kept / (1 - net.dropout)
    title = f"Dropout of {net.dropout:g}: off at inference, a new draw in every training step"
    figure, axes = panels.grid(9.6, 3.2, 1, 4, title)
    names = ("inference", "training, one step", "training, another step", f"mean of {steps} steps")
    shown = (values, trained[0], trained[1], trained.mean(axis=0))
    high = float(values.max() / (1 - net.dropout))
    for axis, name, each in zip(axes[0], names, shown, strict=True):
        panels.show(axis, each, ACTIVE, 0, high)
        panels.frame(axis)
        axis.set_title(name)
    for axis, mask in zip(axes[0, 1:3], kept, strict=False):
        rows, columns = np.nonzero(~mask)
        axis.plot(columns, rows, "x", color=VERMILLION, ms=3.6, mew=0.9)
    factor = 1 / (1 - net.dropout)
    figure.supxlabel(f"× dropped, set to 0; the other values are multiplied by {factor:.2f}", size=9)
    return figure


@matplotlib.rc_context(STYLE)
def shift(net: Net, digit: np.ndarray) -> Figure:
    """Draw the maps of a shifted digit: they shift by the same amount, a pooled map only for even shifts."""
    # The margin gives the shifts room: `np.roll` wraps nothing but background around.
    wide = np.pad(digit, ((4, 4), (4, 4), (0, 0)), constant_values=float(digit.min()))
    number = int(net.second(wide).std(axis=(0, 1)).argmax())
    figure, axes = panels.grid(8.8, 7.2, 3, 4, "Translation equivariance: a shifted picture gives a shifted map")
    columns: tuple[tuple[str, Callable[[np.ndarray], np.ndarray], str | Colormap, int], ...] = (
        ("picture", lambda picture: picture, "gray", 1),
        (f"conv1, map {net.strongest}", lambda picture: net.first(picture)[:, :, [net.strongest]], ACTIVE, 1),
        (f"conv2, map {number}", lambda picture: net.second(picture)[:, :, [number]], ACTIVE, 1),
        (f"{net.pooling} pooling of it", lambda picture: net.pooled(picture)[:, :, [number]], ACTIVE, 2),
    )
    for place, (name, layer, colours, stride) in enumerate(columns):
        before = layer(wide)
        for row, (down, right) in enumerate(((0, 0), (4, 2), (0, 1))):
            axis, found = axes[row, place], layer(np.roll(wide, (down, right), (0, 1)))
            panels.show(axis, found, colours, float(before.min()), float(before.max()))
            panels.frame(axis)
            if row == 0:
                axis.set_title(f"{name}, {panels.format_size(found)}", size=9)
                continue
            moved = np.roll(before, (down // stride, right // stride), (0, 1))
            inside = np.s_[4:-4, 4:-4]
            apart = float(np.abs(found[inside] - moved[inside]).max())
            axis.set_xlabel(f"differs by up to {apart:.2f}", size=8.5, color=MUTED if apart < 0.005 else VERMILLION)
    for row, text in enumerate(("not shifted", "4 down, 2 right", "1 right")):
        axes[row, 0].set_ylabel(text, size=9, weight="bold")
    figure.supxlabel(
        "difference: from the map of the first row, shifted by the same amount (pooled maps by half, rounded down)",
        size=9,
        color=MUTED,
    )
    return figure


@matplotlib.rc_context(STYLE)
def strip(net: Net, digits: np.ndarray, names: tuple[str, ...]) -> Figure:
    """Draw the network over five digits (5, 28, 28, 1) side by side: a map, and the probabilities at every position."""
    whole = np.concatenate(list(digits), axis=1)
    found = net.second(whole)
    number = int(found.std(axis=(0, 1)).argmax())
    outputs = net.probabilities(whole)[0]
    side, width = digits.shape[2], whole.shape[1]
    centres = 2 * np.arange(len(outputs)) + side / 2 - 0.5
    figure = Figure(figsize=(9.6, 5.4), layout="constrained")
    figure.suptitle(
        "The same kernels on a strip: a wider picture gives wider maps, and a prediction at every position", **HEADING
    )
    axes = figure.subplots(3, 1, height_ratios=[28, 28, 44])
    panels.show(axes[0], whole, "gray")
    axes[0].set_title(f"strip, {panels.format_size(whole)}", size=9)
    panels.show(axes[1], found[:, :, number], ACTIVE, 0, float(found.max()))
    axes[1].set_title(f"conv2, map {number}, {panels.format_size(found)}", size=9)
    panels.frame(axes[1])
    axes[2].imshow(
        outputs.T,
        cmap=ACTIVE,
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(centres[0] - 1, centres[-1] + 1, len(names) - 0.5, -0.5),
    )
    axes[2].set_yticks(range(len(names)), names)
    axes[2].set_ylabel("class")
    axes[2].set_title(
        f"probabilities at {len(outputs)} positions of the network's 28 columns, 2 pixels apart; "
        "circles: exactly one digit inside",
        size=9,
    )
    axes[2].set_xlabel("centre of the 28 columns, in pixels")
    for cell in range(len(digits)):
        place = cell * side // 2
        axes[2].plot(centres[place], outputs[place].argmax(), "o", mfc="none", mec=VERMILLION, mew=1.8, ms=11)
    for axis in axes:
        axis.set_xlim(-0.5, width - 0.5)
        axis.set_aspect("auto")
    axes[1].images[0].set_extent((1.5, width - 2.5, found.shape[0] - 0.5, -0.5))
    axes[1].set_xlim(-0.5, width - 0.5)
    return figure

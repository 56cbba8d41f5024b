"""The pictures of docs/convolution.md, drawn from the trained net `textbook`. Equal input gives equal bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.plots.convolution import convolve, pool, relu, softmax
from pipeline.plots.figures import BLUE, GRID, INK, MUTED, STYLE, VERMILLION, save

SIGNED = LinearSegmentedColormap.from_list("signed", ["#004B77", BLUE, "#FFFFFF", VERMILLION, "#8A3C00"])
ACTIVE = LinearSegmentedColormap.from_list("active", ["#FFFFFF", "#8CC0E0", BLUE, "#00324F"])
SHOWN = 1
"""The test picture that stands in most illustrations."""
GRID_SIDE = 9
MAPS = 16
"""Feature maps drawn of each convolution."""


@dataclass(frozen=True)
class Net:
    """The trained net as arrays.

    Attributes:
        normalized: uint8 (n, 28, 28, 1) -> float (n, 28, 28, 1), what the first convolution sees.
        conv1: kernel (3, 3, 1, 32) and bias (32,).
        conv2: kernel (3, 3, 32, 64) and bias (64,).
        dense: kernel (12, 12, 64, 128), the dense layer as what it is on a larger picture, and bias (128,).
        logits: kernel (1, 1, 128, 10) and bias (10,).
        pooling: `max` or `avg`.
        dropout: the share of pooled values dropped in training.
    """

    normalized: Callable[[np.ndarray], np.ndarray]
    conv1: tuple[np.ndarray, np.ndarray]
    conv2: tuple[np.ndarray, np.ndarray]
    dense: tuple[np.ndarray, np.ndarray]
    logits: tuple[np.ndarray, np.ndarray]
    pooling: str
    dropout: float

    @classmethod
    def of(cls, reader: keras.Model) -> "Net":
        """The arrays of a model that `pipeline.strategies.textbook` trained.

        Raises:
            DataError: the model is of another strategy.
        """
        try:
            network = reader.get_layer("textbook")
        except ValueError:
            names = ", ".join(layer.name for layer in reader.layers)
            raise DataError(f"a model of {names} found, expected one that the strategy textbook trained") from None
        normalization = keras.Model(network.inputs[0], network.get_layer("conv1").input)
        height, width, channels = network.get_layer("conv2").output.shape[1:]
        # A dense layer over flattened maps is a convolution whose kernel covers them whole.
        shapes = {
            "dense": (height // 2, width // 2, channels, -1),
            "logits": (1, 1, network.get_layer("dense").units, -1),
        }
        weights = {}
        for name in ("conv1", "conv2", "dense", "logits"):
            kernel, bias = (np.asarray(weight, np.float64) for weight in network.get_layer(name).get_weights())
            weights[name] = (kernel.reshape(shapes.get(name, kernel.shape)), bias)
        return cls(
            normalized=lambda pictures: np.asarray(normalization(pictures), np.float64),
            pooling="max" if isinstance(network.get_layer("pool"), keras.layers.MaxPooling2D) else "avg",
            dropout=network.get_layer("dropout").rate,
            **weights,
        )

    def first(self, picture: np.ndarray) -> np.ndarray:
        """The maps of the first convolution: normalized (H, W, 1) -> (H - 2, W - 2, 32)."""
        return relu(convolve(picture, *self.conv1))

    def second(self, picture: np.ndarray) -> np.ndarray:
        """The maps of the second: normalized (H, W, 1) -> (H - 4, W - 4, 64)."""
        return relu(convolve(self.first(picture), *self.conv2))

    def pooled(self, picture: np.ndarray) -> np.ndarray:
        """Those pooled: normalized (H, W, 1) -> ((H - 4) // 2, (W - 4) // 2, 64)."""
        return pool(self.second(picture), self.pooling)

    def probabilities(self, picture: np.ndarray) -> np.ndarray:
        """What the whole net says at every place where it fits: normalized (H, W, 1), at least 28×28, -> (h, w, 10).

        The dense layers are kernels as well: one as large as the pooled maps of a single digit, one of 1×1.
        """
        return softmax(convolve(relu(convolve(self.pooled(picture), *self.dense)), *self.logits))

    @cached_property
    def strongest(self) -> int:
        """The kernel of the first layer with the largest sum of squares."""
        return int(np.square(self.conv1[0]).sum(axis=(0, 1, 2)).argmax())


def draw(net: Net, learnt: ImageSet, unseen: ImageSet, folder: Path) -> None:
    """Write every illustration as NAME.png.

    Args:
        net: the trained net.
        learnt: training digits.
        unseen: digits the net has not learnt from; all illustrations but `samples` show these.
        folder: where the pictures go.
    """
    digits = net.normalized(unseen.images[np.resize(np.arange(len(unseen)), 5)])
    digit = digits[SHOWN]
    figures = {
        "samples": samples(learnt),
        "kernels": kernels(net),
        "maps": maps(net, digit),
        "worked": worked(net, digit),
        "pooling": pooling(net, digit),
        "dropout": dropout(net, digit),
        "shift": shift(net, digit),
        "strip": strip(net, digits, unseen.class_names),
    }
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")


@matplotlib.rc_context(STYLE)
def samples(pictures: ImageSet) -> Figure:
    """The first 81 pictures in nine rows of nine, each with its label."""
    figure, axes = _panels(7.2, 8.1, GRID_SIDE, GRID_SIDE, "Training digits and their labels", pictures.origin)
    for axis, picture, label in zip(axes.ravel(), pictures.images, pictures.labels[:, 0], strict=False):
        _show(axis, picture, "gray", 0, 255)
        axis.set_title(pictures.class_names[label], size=9, pad=2, loc="center")
    return figure


@matplotlib.rc_context(STYLE)
def kernels(net: Net) -> Figure:
    """The learnt 3×3 kernels of the first layer, on one scale: white is nothing."""
    kernel = net.conv1[0]
    figure, axes = _panels(7.6, 4.5, 4, 8, "The learnt kernels of the first layer")
    limit = float(np.abs(kernel).max())
    for number in range(min(axes.size, kernel.shape[-1])):
        axis = axes.flat[number]
        _show(axis, kernel[:, :, 0, number], SIGNED, -limit, limit)
        _frame(axis)
        axis.set_title(number, size=7.5, weight="normal", color=MUTED, pad=2, loc="center")
    bar = figure.colorbar(axes[0, 0].images[0], ax=axes, shrink=0.8, aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("weight")
    return figure


@matplotlib.rc_context(STYLE)
def maps(net: Net, digit: np.ndarray) -> Figure:
    """A digit (28, 28, 1) and the feature maps that vary most over it, of both convolutions, with their numbers."""
    figure = Figure(figsize=(9.6, 5.2), layout="constrained")
    figure.suptitle(f"What the net makes of a digit: {MAPS} maps of each convolution", **_HEADING)
    grid = figure.add_gridspec(4, 10, width_ratios=[1, 1, *[1] * 8])
    picture = figure.add_subplot(grid[1:3, :2])
    _show(picture, digit, "gray")
    picture.set_title(f"what comes in: {_sides(digit)}", size=9)
    for layer, (name, found) in enumerate((("conv1", net.first(digit)), ("conv2", net.second(digit)))):
        chosen = np.sort(np.argsort(-found.std(axis=(0, 1)), kind="stable")[:MAPS])
        for place, number in enumerate(chosen):
            axis = figure.add_subplot(grid[2 * layer + place // 8, 2 + place % 8])
            _show(axis, found[:, :, number], ACTIVE, 0, found.max())
            _frame(axis)
            text = f"{name}: {found.shape[-1]} maps of {_sides(found)}" if place == 0 else ""
            axis.set_title(text, size=9, pad=14)
            axis.text(0, 1.04, f"{number}", transform=axis.transAxes, size=7, color=MUTED)
    return figure


@matplotlib.rc_context(STYLE)
def worked(net: Net, digit: np.ndarray) -> Figure:
    """One kernel on a patch of 5×5: the numbers, the nine products of the middle place, and their sum."""
    number = net.strongest
    kernel, bias = net.conv1[0][:, :, 0, number], float(net.conv1[1][number])
    answers = convolve(digit, *net.conv1)[:, :, number]
    top, left = _place(answers[1:-1, 1:-1])
    patch = digit[top : top + 5, left : left + 5, 0]
    products = patch[1:4, 1:4] * kernel
    total = products.sum() + bias
    figure = Figure(figsize=(9.6, 3.5), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1)
    where = f"rows {top} to {top + 4}, columns {left} to {left + 4}"
    figure.suptitle(f"Kernel {number} on {where}: how one value of a feature map comes about", **_HEADING)
    axes = figure.subplots(1, 4, width_ratios=[5, 3, 3, 3])
    limit = float(np.abs(kernel).max())
    _numbers(axes[0], patch, "gray", Normalize(digit.min(), digit.max()))
    axes[0].add_patch(Rectangle((0.5, 0.5), 3, 3, fill=False, ec=VERMILLION, lw=2.2))
    axes[0].set_title("patch")
    _numbers(axes[1], kernel, SIGNED, Normalize(-limit, limit))
    axes[1].set_title("× kernel")
    spread = float(np.abs(products).max()) or 1.0
    _numbers(axes[2], products, SIGNED, Normalize(-spread, spread))
    axes[2].set_title("= nine products")
    near = relu(answers[top : top + 3, left : left + 3])
    _numbers(axes[3], near, ACTIVE, Normalize(0, float(answers.max())))
    axes[3].add_patch(Rectangle((0.5, 0.5), 1, 1, fill=False, ec=VERMILLION, lw=2.2))
    axes[3].set_title("the feature map there")
    figure.supxlabel(
        f"sum of the products {_number(products.sum())}, with the bias {_number(bias)} it is {_number(total)}; "
        f"ReLU makes it {_number(max(total, 0.0))}",
        size=10,
    )
    return figure


@matplotlib.rc_context(STYLE)
def pooling(net: Net, digit: np.ndarray) -> Figure:
    """One map of the second convolution, its largest and its mean values over 2×2, whole and as numbers of a corner."""
    found = net.second(digit)
    found = found[:, :, [int(found.std(axis=(0, 1)).argmax())]]
    figure, axes = _panels(8.4, 6.0, 2, 3, "Pooling: the same feature map, once its maxima, once its means")
    norm = Normalize(0, float(found.max()))
    spread = pool(found, "max")[:, :, 0] - pool(found, "avg")[:, :, 0]
    # Two windows by two, away from the edge, where largest and mean are far apart.
    four = spread[1:-2, 1:-2] + spread[2:-1, 2:-1] + spread[1:-2, 2:-1] + spread[2:-1, 1:-2]
    row, column = (1 + place for place in _place(four))
    for place, (name, values, size) in enumerate(
        (("feature map", found, 4), ("max pooling", pool(found, "max"), 2), ("average pooling", pool(found, "avg"), 2))
    ):
        top, left = row * size // 2, column * size // 2
        _show(axes[0, place], values, ACTIVE, norm.vmin, norm.vmax)
        _frame(axes[0, place])
        axes[0, place].set_title(f"{name}, {_sides(values)}")
        axes[0, place].add_patch(Rectangle((left - 0.5, top - 0.5), size, size, fill=False, ec=VERMILLION, lw=1.8))
        _numbers(axes[1, place], values[top : top + size, left : left + size, 0], ACTIVE, norm)
        axes[1, place].set_title("the marked square" if place == 0 else "")
    for line in (-0.5, 1.5, 3.5):
        axes[1, 0].axhline(line, color=VERMILLION, lw=1.4, clip_on=False)
        axes[1, 0].axvline(line, color=VERMILLION, lw=1.4, clip_on=False)
    return figure


@matplotlib.rc_context(STYLE)
def dropout(net: Net, digit: np.ndarray) -> Figure:
    """A pooled map when reading, in two steps of training, and as the mean of many: dropped values are marked."""
    values = net.pooled(digit)
    values = values[:, :, int(values.std(axis=(0, 1)).argmax())]
    random = np.random.default_rng(0)
    steps = 400
    kept = random.random((steps, *values.shape)) >= net.dropout
    trained = values * kept / (1 - net.dropout)
    title = f"Dropout of {net.dropout:g}: off when reading, a new draw in every step of training"
    figure, axes = _panels(9.6, 3.2, 1, 4, title)
    names = ("reading", "training, one step", "training, another", f"mean of {steps} steps")
    shown = (values, trained[0], trained[1], trained.mean(axis=0))
    high = float(values.max() / (1 - net.dropout))
    for axis, name, each in zip(axes[0], names, shown, strict=True):
        _show(axis, each, ACTIVE, 0, high)
        _frame(axis)
        axis.set_title(name)
    for axis, mask in zip(axes[0, 1:3], kept, strict=False):
        rows, columns = np.nonzero(~mask)
        axis.plot(columns, rows, "x", color=VERMILLION, ms=3.6, mew=0.9)
    factor = 1 / (1 - net.dropout)
    figure.supxlabel(f"× dropped, set to 0; what stays is multiplied by {factor:.2f}", size=9)
    return figure


@matplotlib.rc_context(STYLE)
def shift(net: Net, digit: np.ndarray) -> Figure:
    """Shift the digit and the maps shift along; a pooled map does so only for even shifts."""
    # Paper around the digit gives the shifts room, and makes it harmless that `np.roll` brings back what leaves.
    wide = np.pad(digit, ((4, 4), (4, 4), (0, 0)), constant_values=float(digit.min()))
    number = int(net.second(wide).std(axis=(0, 1)).argmax())
    figure, axes = _panels(8.8, 7.2, 3, 4, "Translation equivariance: shift the picture, and the map shifts")
    columns = (
        ("picture", lambda picture: picture, "gray", 1),
        (f"conv1, map {net.strongest}", lambda picture: net.first(picture)[:, :, [net.strongest]], ACTIVE, 1),
        (f"conv2, map {number}", lambda picture: net.second(picture)[:, :, [number]], ACTIVE, 1),
        (f"{net.pooling} pooling of it", lambda picture: net.pooled(picture)[:, :, [number]], ACTIVE, 2),
    )
    for place, (name, layer, colours, stride) in enumerate(columns):
        before = layer(wide)
        for row, (down, right) in enumerate(((0, 0), (4, 2), (0, 1))):
            axis, found = axes[row, place], layer(np.roll(wide, (down, right), (0, 1)))
            _show(axis, found, colours, float(before.min()), float(before.max()))
            _frame(axis)
            if row == 0:
                axis.set_title(f"{name}, {_sides(found)}", size=9)
                continue
            moved = np.roll(before, (down // stride, right // stride), (0, 1))
            inside = np.s_[4:-4, 4:-4]
            apart = float(np.abs(found[inside] - moved[inside]).max())
            axis.set_xlabel(f"differs by up to {apart:.2f}", size=8.5, color=MUTED if apart < 0.005 else VERMILLION)
    for row, text in enumerate(("as it is", "4 down, 2 right", "1 right")):
        axes[row, 0].set_ylabel(text, size=9, weight="bold")
    figure.supxlabel(
        "difference: from the map of the first row, moved by the same shift (pooled maps by half, rounded down)",
        size=9,
        color=MUTED,
    )
    return figure


@matplotlib.rc_context(STYLE)
def strip(net: Net, digits: np.ndarray, names: tuple[str, ...]) -> Figure:
    """The net slides over five digits (5, 28, 28, 1) side by side: a map, and what it says at every place."""
    whole = np.concatenate(list(digits), axis=1)
    found = net.second(whole)
    number = int(found.std(axis=(0, 1)).argmax())
    said = net.probabilities(whole)[0]
    side, width = digits.shape[2], whole.shape[1]
    centres = 2 * np.arange(len(said)) + side / 2 - 0.5
    figure = Figure(figsize=(9.6, 5.4), layout="constrained")
    figure.suptitle(
        "The same kernels on a strip: a wider picture gives wider maps, and a reading at every place", **_HEADING
    )
    axes = figure.subplots(3, 1, height_ratios=[28, 28, 44])
    _show(axes[0], whole, "gray")
    axes[0].set_title(f"strip, {_sides(whole)}", size=9)
    _show(axes[1], found[:, :, number], ACTIVE, 0, float(found.max()))
    axes[1].set_title(f"conv2, map {number}, {_sides(found)}", size=9)
    _frame(axes[1])
    axes[2].imshow(
        said.T,
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
        f"probabilities at the {len(said)} places where the net's 28 columns fit, 2 pixels apart; "
        "circles: one digit exactly inside",
        size=9,
    )
    axes[2].set_xlabel("middle of the 28 columns that are read, in pixels")
    for cell in range(len(digits)):
        place = cell * side // 2
        axes[2].plot(centres[place], said[place].argmax(), "o", mfc="none", mec=VERMILLION, mew=1.8, ms=11)
    for axis in axes:
        axis.set_xlim(-0.5, width - 0.5)
        axis.set_aspect("auto")
    axes[1].images[0].set_extent((1.5, width - 2.5, found.shape[0] - 0.5, -0.5))
    axes[1].set_xlim(-0.5, width - 0.5)
    return figure


_HEADING = {"x": 0.01, "ha": "left", "weight": "bold", "size": 11}


def _panels(
    width: float, height: float, rows: int, columns: int, title: str, origin: str = ""
) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title + (" (embedded stand-in)" if origin == "embedded" else ""), **_HEADING)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        _bare(axis)
    return figure, axes


def _show(axis: Axes, values: np.ndarray, colours: str | Colormap, low: float | None = None, high: float | None = None):
    axis.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    _bare(axis)


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def _frame(axis: Axes) -> None:
    axis.spines[:].set(visible=True, color=GRID)


def _numbers(axis: Axes, values: np.ndarray, colours: str | Colormap, norm: Normalize) -> None:
    axis.imshow(values, cmap=colours, norm=norm, interpolation="nearest")
    _bare(axis)
    _frame(axis)
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = matplotlib.colormaps.get_cmap(colours)(norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        axis.text(column, row, _number(value), ha="center", va="center", size=8.5, color="white" if dark else INK)


def _number(value: float) -> str:
    """Two decimals, a proper minus, and no minus before nothing."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _place(values: np.ndarray) -> tuple[int, int]:
    """Row and column of the highest value."""
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return int(row), int(column)


def _sides(values: np.ndarray) -> str:
    return f"{values.shape[0]}×{values.shape[1]}"

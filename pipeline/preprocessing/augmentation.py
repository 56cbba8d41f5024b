"""Random variants of training pictures, in batches on tf.data, repeatable by seed."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import tensorflow as tf

from pipeline.config import types

_INTERPOLATION = {0: "NEAREST", 1: "BILINEAR"}
_GEOMETRY = ("rotation_range", "width_shift_range", "height_shift_range", "shear_range", "zoom_range")
_FLIPS = ("horizontal_flip", "vertical_flip")


@dataclass(frozen=True)
class Transform:
    """A transform for each of n pictures, under the names of ImageDataGenerator's transform parameters.

    A field that is None is not done at all, and costs nothing. Geometry goes from a place in the new picture, seen from
    the middle, to the place in the old one that it shows: zoom, shear, shift, rotation, in this order. So a positive
    `tx` shows what lies further right, and a zoom above 1 makes things smaller.

    Attributes:
        theta: (n,), degrees; positive turns the picture counter-clockwise.
        tx: (n,), pixels along the width. Integers keep pixels whole where nothing but shifts and flips is done.
        ty: (n,), pixels along the height, likewise.
        shear: (n,), degrees by which the vertical axis leans; its length stays, so the height shrinks by the cosine.
        zx: (n,), pixels of the old picture per pixel of the new, along the width.
        zy: (n,), along the height.
        flip_horizontal: bool (n,), left and right exchanged, after the geometry.
        flip_vertical: bool (n,), top and bottom exchanged.
        channel_shift_intensity: (n,), added to every channel, or (n, C); the sum stays within the picture's own
            extremes.
        brightness: (n,), a factor; 0 is black, 1 leaves the picture.
    """

    theta: tf.Tensor | None = None
    tx: tf.Tensor | None = None
    ty: tf.Tensor | None = None
    shear: tf.Tensor | None = None
    zx: tf.Tensor | None = None
    zy: tf.Tensor | None = None
    flip_horizontal: tf.Tensor | None = None
    flip_vertical: tf.Tensor | None = None
    channel_shift_intensity: tf.Tensor | None = None
    brightness: tf.Tensor | None = None

    @property
    def moves(self) -> bool:
        """Whether the geometry changes."""
        fields = (self.tx, self.ty, self.flip_horizontal, self.flip_vertical)
        return self._bends or any(field is not None for field in fields)

    @property
    def whole(self) -> bool:
        """Whether every pixel lands on a pixel: flips and whole shifts only."""
        return not self._bends and all(shift is None or shift.dtype.is_integer for shift in (self.tx, self.ty))

    @property
    def _bends(self) -> bool:
        return any(field is not None for field in (self.theta, self.shear, self.zx, self.zy))


@dataclass(frozen=True)
class Augmentation:
    """Every option of Keras's former ImageDataGenerator that varies pictures, under its name there.

    0, False or None leaves a thing as it is. Where the old code did not do what it documented, this does:
    `width_shift_range` moves along the width (there, the two shifts were exchanged on the way to the picture), and
    pictures that are no squares turn about their middle.

    Attributes:
        rotation_range: degrees; angles are uniform within ± this.
        width_shift_range: below 1 a share of the width, uniform within ± this; a whole number of pixels from 1 up, each
            as likely, that number included; another number above 1 pixels, uniform; a list, one of its values under a
            random sign, shares if all are below 1, else pixels. (There, a float was uniform and an int n drew from
            0 to n - 1: [0, 1] gives what 2 gave.)
        height_shift_range: likewise, of the height.
        shear_range: degrees (not radians, as the oldest versions had it), uniform within ± this.
        zoom_range: [low, high], or z for [1 - z, 1 + z]; the two axes draw apart. Above 1 things get smaller.
        brightness_range: [low, high] of a factor, uniform; products are rounded, and cut off at 255.
        channel_shift_range: levels of 0 to 255, uniform within ± this; sums stay within a picture's own extremes.
        channel_shift_mode: `joint`, one shift for all channels, as there; `independent`, one for each.
        horizontal_flip: mirror half of the pictures.
        vertical_flip: turn half of the pictures upside down.
        fill_mode: what lies beyond the border abcd: `constant` (cval), `nearest` (aaaa|abcd|dddd), `reflect`
            (dcba|abcd|dcba) or `wrap` (abcd|abcd|abcd).
        cval: the level of `constant`, 0 to 255.
        interpolation_order: 0, the nearest pixel, or 1, bilinear. Whole shifts and flips need neither.

    Raises:
        ConfigurationError: an option is not what it takes.
    """

    rotation_range: float = 0.0
    width_shift_range: float | Sequence[float] = 0.0
    height_shift_range: float | Sequence[float] = 0.0
    shear_range: float = 0.0
    zoom_range: float | Sequence[float] = 0.0
    brightness_range: Sequence[float] | None = None
    channel_shift_range: float = 0.0
    channel_shift_mode: types.ChannelShiftMode = "joint"
    horizontal_flip: bool = False
    vertical_flip: bool = False
    fill_mode: types.FillMode = "nearest"
    cval: float = 0.0
    interpolation_order: types.InterpolationOrder = 1

    def __post_init__(self) -> None:
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        options = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
        types.checked(types.AugmentationSection, options, "Augmentation")

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Vary a batch.

        Args:
            images: uint8 (n, H, W, C).
            labels: (n, slots), returned as they are.
            seed: int (2,); the same seed gives the same variants.

        Returns:
            uint8 (n, H, W, C) and the labels.
        """
        return self.apply(images, self.draw(tf.shape(images)[0], images.shape[1:], seed)), labels

    def draw(self, count: int | tf.Tensor, shape: Sequence[int], seed: tf.Tensor) -> Transform:
        """Draw what is done to `count` pictures of (H, W, C); what one option draws does not depend on the others.

        Args:
            count: n.
            shape: (H, W, C).
            seed: int (2,).
        """
        height, width, channels = shape
        draws = tf.random.stateless_uniform((9 + channels, count), seed, -1.0, 1.0)
        low, high = _bounds(self.zoom_range)
        zooms = (low, high) != (1, 1)
        levels = None
        if self.channel_shift_range:
            levels = draws[9] if self.channel_shift_mode == "joint" else tf.transpose(draws[9:])
            levels *= self.channel_shift_range
        return Transform(
            theta=draws[0] * self.rotation_range if self.rotation_range else None,
            tx=_shift(draws[1], self.width_shift_range, width),
            ty=_shift(draws[2], self.height_shift_range, height),
            shear=draws[3] * self.shear_range if self.shear_range else None,
            zx=_between(draws[4], low, high) if zooms else None,
            zy=_between(draws[5], low, high) if zooms else None,
            flip_horizontal=draws[6] < 0 if self.horizontal_flip else None,
            flip_vertical=draws[7] < 0 if self.vertical_flip else None,
            brightness=_between(draws[8], *self.brightness_range) if self.brightness_range is not None else None,
            channel_shift_intensity=levels,
        )

    def apply(self, images: tf.Tensor, transform: Transform) -> tf.Tensor:
        """Apply a transform: geometry, then channel shifts, then brightness, rounded once.

        Args:
            images: uint8 (n, H, W, C).
            transform: of n pictures.

        Returns:
            uint8 (n, H, W, C).
        """
        if images.dtype != tf.uint8:
            raise TypeError(f"pictures: expected uint8, found {images.dtype.name}")
        if all(field is None for field in vars(transform).values()):
            return images
        varied = images
        if transform.moves:
            varied = self._gathered(images, transform) if transform.whole else self._interpolated(images, transform)
        if transform.channel_shift_intensity is not None or transform.brightness is not None:
            varied = _recoloured(tf.cast(varied, tf.float32), transform)
        if varied.dtype != tf.uint8:
            varied = tf.cast(varied + 0.5, tf.uint8)
        return tf.ensure_shape(varied, images.shape)

    def alone(self) -> dict[str, dict[str, "Augmentation"]]:
        """Every option that is on, by itself at its value here, as `{option: {label: what shows it}}`.

        What does nothing by itself is shown with what it bears on: the border and the interpolation with the geometry,
        the two modes of channel shifts with their range. `all` is everything at once.
        """
        off = Augmentation()
        on = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        on = {name: value for name, value in on.items() if value != getattr(off, name)}

        def ways(option: str, values: Iterable[Any], among: Augmentation) -> dict[str, Augmentation]:
            return {f"{option}: {_written(value)}": dataclasses.replace(among, **{option: value}) for value in values}

        border = dataclasses.replace(off, fill_mode=self.fill_mode, cval=self.cval)
        alone = (*_GEOMETRY, *_FLIPS, "brightness_range", "channel_shift_range")
        shown = {option: ways(option, [on[option]], border) for option in alone if option in on}
        if geometry := {name: on[name] for name in _GEOMETRY if name in on}:
            bent = dataclasses.replace(off, **geometry)
            shown["fill_mode"] = ways("fill_mode", get_args(types.FillMode), bent)
            shown["cval"] = ways("cval", sorted({0, 255, self.cval}), dataclasses.replace(bent, fill_mode="constant"))
            shown["interpolation_order"] = ways("interpolation_order", get_args(types.InterpolationOrder), bent)
        if "channel_shift_range" in on:
            shifted = dataclasses.replace(off, channel_shift_range=self.channel_shift_range)
            shown["channel_shift_mode"] = ways("channel_shift_mode", get_args(types.ChannelShiftMode), shifted)
        return {**shown, "all": {"everything at once": self}}

    def _gathered(self, images: tf.Tensor, transform: Transform) -> tf.Tensor:
        """Flips and whole shifts, line by line: a third of what interpolation costs."""
        axes = ((1, transform.ty, transform.flip_vertical), (2, transform.tx, transform.flip_horizontal))
        for axis, shift, flip in axes:
            if shift is None and flip is None:
                continue
            size = images.shape[axis]
            index = tf.range(size)[None]
            if flip is not None:
                index = tf.where(flip[:, None], size - 1 - index, index)
            if shift is not None:
                index = self._filled(index + tf.cast(shift, tf.int32)[:, None], size)
                if self.fill_mode == "constant":
                    beyond = [[0, int(axis == each)] for each in range(4)]
                    images = tf.pad(images, beyond, constant_values=round(self.cval))
            images = tf.gather(images, index, axis=axis, batch_dims=1)
        return images

    def _filled(self, index: tf.Tensor, size: int) -> tf.Tensor:
        """Where lines lie that were asked for beyond the border; under `constant`, one line further on."""
        if self.fill_mode == "constant":
            return tf.where((index < 0) | (index >= size), size, index)
        if self.fill_mode == "nearest":
            return tf.clip_by_value(index, 0, size - 1)
        if self.fill_mode == "wrap":
            return index % size
        return tf.minimum(index % (2 * size), 2 * size - 1 - index % (2 * size))

    def _interpolated(self, images: tf.Tensor, transform: Transform) -> tf.Tensor:
        """Any geometry: uint8 (n, H, W, C) -> float32, not rounded."""
        height, width = images.shape[1], images.shape[2]
        zeros = tf.zeros(tf.shape(images)[0])

        def given(field: tf.Tensor | None, default: float = 0.0) -> tf.Tensor:
            return zeros + default if field is None else tf.cast(field, tf.float32)

        theta, shear = (given(angle) * (math.pi / 180) for angle in (transform.theta, transform.shear))
        zx = given(transform.zx, 1.0) * (1 - 2 * given(transform.flip_horizontal))
        zy = given(transform.zy, 1.0) * (1 - 2 * given(transform.flip_vertical))
        tx, ty = given(transform.tx), given(transform.ty)
        sine, cosine = tf.sin(theta), tf.cos(theta)
        a, b = cosine * zx, -tf.sin(theta + shear) * zy
        c, d = sine * zx, tf.cos(theta + shear) * zy
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        offset_x = middle_x - a * middle_x - b * middle_y + cosine * tx - sine * ty
        offset_y = middle_y - c * middle_x - d * middle_y + sine * tx + cosine * ty
        return tf.raw_ops.ImageProjectiveTransformV3(
            # On integers the kernel cuts fractions off, which darkens a picture by half a level each time.
            images=tf.cast(images, tf.float32),
            transforms=tf.stack([a, b, offset_x, c, d, offset_y, zeros, zeros], axis=1),
            output_shape=[height, width],
            fill_value=float(self.cval),
            interpolation=_INTERPOLATION[self.interpolation_order],
            fill_mode=self.fill_mode.upper(),
        )


@dataclass(frozen=True)
class Recomposition:
    """New strips out of a batch of strips: every cell is varied, moved to some slot of some strip, or emptied.

    A strip set shows each head a fixed fifth of the digits; this shows every head all of them.

    Attributes:
        cell: varies the cells; called as an `Augmentation` is.
        slots: cells of a strip, side by side.
        blank: the label of an empty cell.
        blank_rate: the probability that a cell is emptied.
    """

    cell: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    slots: int
    blank: int
    blank_rate: float

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """uint8 (n, H, slots * W, C) and (n, slots) -> the same shapes."""
        height, width, channels = images.shape[1:]
        side = width // self.slots
        cells = tf.transpose(tf.reshape(images, (-1, height, self.slots, side, channels)), (0, 2, 1, 3, 4))
        cells = tf.ensure_shape(tf.reshape(cells, (-1, height, side, channels)), (None, height, side, channels))
        cells, classes = self.cell(cells, tf.reshape(labels, (-1, 1)), seed)
        order = tf.argsort(tf.random.stateless_uniform((tf.shape(cells)[0],), seed + 1))
        cells, classes = tf.gather(cells, order), tf.gather(classes, order)
        kept = tf.random.stateless_uniform((tf.shape(cells)[0],), seed + 2) >= self.blank_rate
        cells *= tf.cast(kept, cells.dtype)[:, None, None, None]
        classes = tf.where(kept[:, None], classes, tf.cast(self.blank, classes.dtype))
        strips = tf.transpose(tf.reshape(cells, (-1, self.slots, height, side, channels)), (0, 2, 1, 3, 4))
        return tf.reshape(strips, (-1, height, width, channels)), tf.reshape(classes, (-1, self.slots))


def _shift(draws: tf.Tensor, extent: float | Sequence[float], size: int) -> tf.Tensor | None:
    """Uniform draws in ±1 as shifts in pixels: int32 where all are whole, float32 elsewhere, None for none."""
    if not isinstance(extent, int | float):
        share = max(extent) < 1
        whole = not share and all(value == int(value) for value in extent)
        values = tf.constant([value * size if share else value for value in extent], tf.int32 if whole else tf.float32)
        chosen = tf.gather(values, tf.cast(tf.abs(draws) * len(extent), tf.int32) % len(extent))
        return tf.where(draws < 0, -chosen, chosen)
    if not extent:
        return None
    if extent >= 1 and extent == int(extent):
        # Whole pixels keep a picture as sharp as those that the model will read.
        steps = tf.floor((draws + 1) / 2 * (2 * extent + 1)) - extent
        return tf.cast(tf.clip_by_value(steps, -extent, extent), tf.int32)
    return draws * (extent * size if extent < 1 else extent)


def _written(value: Any) -> str:
    """As params.yaml has it."""
    if isinstance(value, bool | str):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else f"[{', '.join(f'{each:g}' for each in value)}]"


def _bounds(zoom: float | Sequence[float]) -> tuple[float, float]:
    return (1 - zoom, 1 + zoom) if isinstance(zoom, int | float) else (zoom[0], zoom[1])


def _between(draws: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return low + (draws + 1) / 2 * (high - low)


def _recoloured(images: tf.Tensor, transform: Transform) -> tf.Tensor:
    """float32 (n, H, W, C) -> factor * (what the channel shift makes of it), at most 255, in few passes."""
    flat = tf.reshape(images, (tf.shape(images)[0], -1, images.shape[-1]))
    factors = tf.ones(tf.shape(images)[0]) if transform.brightness is None else transform.brightness
    factors = factors[:, None, None]
    lowest, highest = 0.0, 255.0
    levels = transform.channel_shift_intensity
    recoloured = flat * factors
    if levels is not None:
        levels = levels[:, None, :] if levels.shape.rank == 2 else levels[:, None, None]
        recoloured += levels * factors
        lowest = tf.reduce_min(flat, axis=(1, 2), keepdims=True) * factors
        highest = tf.minimum(tf.reduce_max(flat, axis=(1, 2), keepdims=True) * factors, highest)
    return tf.reshape(tf.maximum(tf.minimum(recoloured, highest), lowest), tf.shape(images))

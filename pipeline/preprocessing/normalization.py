"""Rescaling, centring, scaling and whitening: fitted once on the training split, then layers of the model.

`Statistics` is what is fitted; a `Normalizer` is the part of it that one normalization needs, with the mode.

A mode is a name or a mapping of switches. The switches carry the names that Keras's retired ImageDataGenerator gave
them and work in its order, on pictures x of the scale 0 to 1:

1. `samplewise_center`: x - the mean of the picture itself, over its pixels and channels.
2. `samplewise_std_normalization`: that, divided by the picture's own standard deviation.
3. `featurewise_center`: x - the mean of each channel over all training pictures.
4. `featurewise_std_normalization`: that, divided by the channel's standard deviation over all training pictures.
5. `zca_whitening`: (x - m) W, with W = U diag(1 / sqrt(s + zca_epsilon)) U^T and U diag(s) U^T the covariance of the
   training pictures about m (Bell and Sejnowski 1997; Krizhevsky 2009, appendix A; with epsilon under the root as in
   Pal and Sudeep 2016). m is the mean picture, or each channel's mean as in the old generator: `zca_center`.

As in the old generator, what is fitted (3 to 5) is fitted on pictures before any samplewise step.
"""

import itertools
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.linalg

from pipeline.config.types import Mode, checked
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import read_arrays, write_arrays
from pipeline.core.images import ImageSet

SWITCHES = {
    "rescale": {},
    "samplewise": {"samplewise_center": True, "samplewise_std_normalization": True},
    "featurewise": {"featurewise_center": True, "featurewise_std_normalization": True},
    "zca": {"featurewise_center": True, "zca_whitening": True},
}
"""The switches of every named mode. `none` has no switches: it keeps the scale 0 to 255."""
ZCA_LIMIT = 3072
"""Values of a picture up to which a whitening is fitted: 32×32×3. A strip's would be estimated from too few."""
EPSILON = 1e-5
"""A standard deviation below this is rounding: a picture or channel that varies has a larger one."""
_BLOCK = 1024
"""Pictures at a time: sums over them of products of values less 128 are whole numbers that float32 holds exactly."""
_MIDDLE = 128
_PANEL = 256


@dataclass(frozen=True)
class Steps:
    """A mode, resolved: which steps are taken.

    Attributes:
        rescale: divide by 255; off for the mode `none` alone.
        samplewise_center: step 1.
        samplewise_std_normalization: step 2.
        featurewise_center: step 3; off with whitening, whose m includes it.
        featurewise_std_normalization: step 4.
        zca_epsilon: step 5, with this epsilon; or None, without it.
    """

    rescale: bool = True
    samplewise_center: bool = False
    samplewise_std_normalization: bool = False
    featurewise_center: bool = False
    featurewise_std_normalization: bool = False
    zca_epsilon: float | None = None


@dataclass(frozen=True)
class Statistics:
    """Statistics of the training pictures, on the scale 0 to 1.

    Attributes:
        name: the data set, as task/suite, for messages.
        shape: height, width, channels.
        mean: float32 (C,), of each channel over all pictures and pixels.
        deviation: float32 (C,), likewise.
        zca_epsilon: the epsilon of whitening where a mode names none.
        zca_mean: float32 (D,), D = H * W * C, what whitening subtracts, or None where no whitening was fitted.
        zca_values: float64 (r,), the largest eigenvalues of the covariance, falling; r = D, or less where there are
            few pictures: the others are zero then.
        zca_vectors: float32 (D, r), their eigenvectors, a column each.
    """

    name: str
    shape: tuple[int, int, int]
    mean: np.ndarray
    deviation: np.ndarray
    zca_epsilon: float = 1e-6
    zca_mean: np.ndarray | None = None
    zca_values: np.ndarray | None = None
    zca_vectors: np.ndarray | None = None

    @property
    def divisor(self) -> np.ndarray:
        """The deviation, kept from zero: a channel that never changes is centred only."""
        return np.maximum(self.deviation, EPSILON)

    @property
    def whitens(self) -> bool:
        """Whether a whitening was fitted."""
        return self.zca_vectors is not None

    def apply(self, images: np.ndarray, mode: Mode) -> np.ndarray:
        """Normalize uint8 (n, H, W, C) with NumPy as the layers of `mode` do; float32, the same shape.

        Raises:
            ConfigurationError, DataError: as `steps` does.
        """
        steps = self.steps(mode, images.shape[1:])
        matrix = None if steps.zca_epsilon is None else self.zca_matrix(steps.zca_epsilon)
        done = np.empty(images.shape, np.float32)
        for start in range(0, len(images), _BLOCK):
            x = images[start : start + _BLOCK].astype(np.float32)
            if steps.rescale:
                x /= 255
            if steps.samplewise_center:
                x -= x.mean(axis=(1, 2, 3), keepdims=True)
            if steps.samplewise_std_normalization:
                x /= np.maximum(x.std(axis=(1, 2, 3), keepdims=True), EPSILON)
            if steps.featurewise_center:
                x -= self.mean
            if steps.featurewise_std_normalization:
                x /= self.divisor
            if matrix is None:
                done[start : start + _BLOCK] = x
            else:
                flat = x.reshape(len(x), -1)
                flat -= self.zca_mean
                np.matmul(flat, matrix, out=done[start : start + _BLOCK].reshape(len(x), -1))
        return done

    def steps(self, mode: Mode, shape: tuple[int, ...]) -> Steps:
        """What `mode` does to pictures of this shape; warns of switches that others turn on, off or leave without use.

        Raises:
            ConfigurationError: there is no such mode or switch, or no whitening for pictures of this size.
            DataError: the statistics are of pictures of another shape.
        """
        mode = checked(Mode, mode, "normalization")
        if tuple(shape) != tuple(self.shape):
            raise DataError(f"pictures of shape {tuple(shape)} found, expected {self.shape}, as in {self.name}")
        if mode == "none":
            return Steps(rescale=False)
        steps = _resolved(SWITCHES[mode] if isinstance(mode, str) else mode, self.zca_epsilon)
        if steps.zca_epsilon is not None and not self.whitens:
            raise ConfigurationError(
                f"normalization: zca was asked for {self.name}, whose pictures have {int(np.prod(self.shape))} values; "
                f"expected at most {ZCA_LIMIT} (single digits, CIFAR-10): choose another mode or train on those"
            )
        return steps

    def zca_gains(self, epsilon: float) -> np.ndarray:
        """float64 (D,): what whitening multiplies each principal direction by, rising: its eigenvalues."""
        values = np.zeros(int(np.prod(self.shape)))
        values[: len(self.zca_values)] = self.zca_values
        return 1 / np.sqrt(values + epsilon)

    def zca_matrix(self, epsilon: float) -> np.ndarray:
        """The whitening matrix W, float32 (D, D), symmetric. Takes one product, no new fit."""
        gains = self.zca_gains(epsilon)
        rank = len(self.zca_values)
        if rank == len(gains):
            roots = self.zca_vectors * np.sqrt(gains).astype(np.float32)
            return roots @ roots.T
        # Directions that no training picture has all get the last gain: it goes to all, the others give theirs back.
        vectors = self.zca_vectors.astype(np.float64)
        matrix = (vectors * (gains[:rank] - gains[-1])) @ vectors.T
        matrix[np.diag_indices_from(matrix)] += gains[-1]
        return matrix.astype(np.float32)

    def zca_condition(self, epsilon: float) -> float:
        """The condition number of the whitening matrix: by how much more it amplifies the rarest direction."""
        gains = self.zca_gains(epsilon)
        return float(gains[-1] / gains[0])

    def arrays(self) -> dict[str, np.ndarray]:
        """The statistics as named arrays, for a file."""
        arrays = {"name": np.array(self.name), "shape": np.array(self.shape), "mean": self.mean}
        arrays |= {"deviation": self.deviation, "zca_epsilon": np.array(self.zca_epsilon)}
        if self.whitens:
            arrays |= {"zca_mean": self.zca_mean, "zca_values": self.zca_values, "zca_vectors": self.zca_vectors}
        return arrays

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray], path: Path) -> "Statistics":
        """The statistics that `arrays` made arrays of.

        Raises:
            DataError: an array is missing or unknown; the message names `path`.
        """
        arrays = dict(arrays)
        try:
            shape = tuple(int(side) for side in arrays.pop("shape"))
            name, epsilon = str(arrays.pop("name")), float(arrays.pop("zca_epsilon"))
            return cls(name=name, shape=shape, zca_epsilon=epsilon, **arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: not statistics of a data set ({error}); run `dvc repro -f normalize`") from None


@dataclass(frozen=True)
class Normalizer:
    """One normalization of one data set: what `normalize` writes for every name, and a strategy trains with.

    Attributes:
        statistics: of the training split; without a whitening where the mode needs none.
        mode: a name of `SWITCHES`, `none`, or a mapping of switches.
    """

    statistics: Statistics
    mode: Mode

    @classmethod
    def of(cls, statistics: Statistics, mode: Mode) -> "Normalizer":
        """The part of `statistics` that `mode` needs, so that one normalization does not depend on another.

        Raises:
            ConfigurationError: there is no such mode or switch, or no whitening for pictures of this size.
        """
        if statistics.steps(mode, statistics.shape).zca_epsilon is None:
            statistics = replace(statistics, zca_mean=None, zca_values=None, zca_vectors=None)
        return cls(statistics, mode)

    def steps(self, shape: tuple[int, ...]) -> Steps:
        """The steps of the mode for pictures of this shape.

        Raises:
            DataError: the statistics are of pictures of another shape.
        """
        return self.statistics.steps(self.mode, shape)

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Normalize uint8 (n, H, W, C) with NumPy as the layers do; float32, the same shape."""
        return self.statistics.apply(images, self.mode)

    def save(self, path: Path) -> None:
        """Write an uncompressed `.npz`; equal normalizations give equal bytes."""
        write_arrays(path, {**self.statistics.arrays(), "mode": np.array(json.dumps(self.mode, sort_keys=True))})

    @classmethod
    def load(cls, path: Path) -> "Normalizer":
        """Read what `save` wrote.

        Raises:
            DataError: there is no such file, or it is damaged.
        """
        arrays = read_arrays(path)
        try:
            mode = json.loads(str(arrays.pop("mode")))
        except (KeyError, ValueError) as error:
            raise DataError(f"{path}: not a normalization ({error}); run `dvc repro -f normalize`") from None
        return cls(Statistics.of(arrays, path), mode)


def fit(
    pictures: ImageSet | Iterable[np.ndarray], *, name: str, zca_epsilon: float, zca_center: str = "picture"
) -> Statistics:
    """Fit everything on a training split in one pass; memory goes with the size of a picture, not with their number.

    Sums and products of whole numbers are exact here, so neither the blocks nor their order change the result, and
    what follows, an eigendecomposition, is done in float64.

    Args:
        pictures: uint8 (n, H, W, C), n at least 2; or blocks of them, each uint8 (m, H, W, C), read once.
        name: the data set, for messages.
        zca_epsilon: added to the eigenvalues of the covariance before the inverse square root, where a mode names none;
            a variance on the scale 0 to 1.
        zca_center: what whitening subtracts: `picture`, the mean picture, or `channel`, the mean of each channel.

    Raises:
        ConfigurationError: there is no such center.
        DataError: there are fewer than two pictures, or a block is no such array.
    """
    checked(Literal["picture", "channel"], zca_center, "zca_center")
    blocks = _blocks([pictures.images] if isinstance(pictures, ImageSet) else pictures, name)
    first = next(blocks, np.zeros((0, 1, 1, 1), np.uint8))
    shape = first.shape[1:]
    size = int(np.prod(shape))
    count, total, squares, gram = 0, np.zeros(size), np.zeros(size), None
    few: list[np.ndarray] = []
    for block in itertools.chain([first], blocks):
        values = block.reshape(len(block), size).astype(np.float32)
        values -= _MIDDLE
        count += len(values)
        total += values.sum(axis=0)
        squares += np.einsum("ij,ij->j", values, values)
        if size > ZCA_LIMIT:
            continue
        # Until there are many, keeping the pictures is cheaper than the products of their values.
        few.append(values)
        if count > size // 4 or gram is not None:
            gram = np.zeros((size, size)) if gram is None else gram
            while few:
                _add_products(gram, few.pop())
    if count < 2:
        raise DataError(f"{name}: {count} training pictures found, expected at least 2 to fit a normalization")
    average = total / count
    mean = average.reshape(-1, shape[-1]).mean(axis=0)
    variance = (squares / count).reshape(-1, shape[-1]).mean(axis=0) - np.square(mean)
    whitening = {}
    if size <= ZCA_LIMIT:
        center = average if zca_center == "picture" else np.tile(mean, size // shape[-1])
        if gram is None:
            spectrum = _spectrum_of_few(np.concatenate(few), center)
        else:
            spectrum = _spectrum(gram, count, average, center)
        whitening = dict(zip(("zca_values", "zca_vectors"), spectrum, strict=True))
        whitening["zca_mean"] = _scaled(center)
    deviation = np.sqrt(np.maximum(variance, 0)) / 255
    return Statistics(name, shape, _scaled(mean), deviation.astype(np.float32), zca_epsilon, **whitening)


def normalizers(statistics: Statistics, modes: Mapping[str, Mode]) -> dict[str, Normalizer]:
    """A normalizer for every mode, by name; those that whiten are left out where no whitening was fitted."""
    return {
        name: Normalizer.of(statistics, mode)
        for name, mode in modes.items()
        if statistics.whitens or not _whitens(mode)
    }


def _whitens(mode: Mode) -> bool:
    switches = SWITCHES.get(mode, {}) if isinstance(mode, str) else mode
    return bool(switches.get("zca_whitening"))


def _scaled(values: np.ndarray) -> np.ndarray:
    return ((values + _MIDDLE) / 255).astype(np.float32)


def _add_products(gram: np.ndarray, values: np.ndarray) -> None:
    """Add values^T values, on and above the diagonal, a panel of rows at a time."""
    for start in range(0, len(gram), _PANEL):
        gram[start : start + _PANEL, start:] += values[:, start : start + _PANEL].T @ values[:, start:]


def _spectrum(gram: np.ndarray, count: int, average: np.ndarray, center: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, falling, and eigenvectors of the covariance about `center`; `gram` is used up."""
    # About any point c it is E[x x^T] - a a^T + (a - c)(a - c)^T, a being the average.
    offset = average - center
    gram /= count
    for start in range(0, len(gram), _PANEL):
        rows = slice(start, start + _PANEL)
        gram[rows, start:] -= np.outer(average[rows], average[start:])
        gram[rows, start:] += np.outer(offset[rows], offset[start:])
    gram /= 255**2
    # The transpose of the upper triangle is the lower one in the order that LAPACK takes without a copy.
    values, vectors = scipy.linalg.eigh(gram.T, lower=True, overwrite_a=True, check_finite=False, driver="evd")
    return np.maximum(values[::-1], 0), np.ascontiguousarray(vectors[:, ::-1], np.float32)


def _spectrum_of_few(values: np.ndarray, center: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same from all pictures (n, D), where n is much less than D: n eigenvalues, those that are not zero."""
    _, singular, vectors = np.linalg.svd((values - center) / 255, full_matrices=False)
    return np.square(singular) / len(values), np.ascontiguousarray(vectors.T, np.float32)


def _blocks(arrays: Iterable[np.ndarray], name: str) -> Iterator[np.ndarray]:
    """The same pictures, `_BLOCK` at a time."""
    shape, waiting, number = None, [], 0
    for array in arrays:
        if array.dtype != np.uint8 or array.ndim != 4 or (shape and array.shape[1:] != shape):
            expected = ", ".join(map(str, shape)) if shape else "height, width, channels"
            raise DataError(
                f"{name}: a block of {array.dtype} {array.shape} found, expected uint8 (pictures, {expected})"
            )
        shape = array.shape[1:]
        while len(array):
            part, array = array[: _BLOCK - number], array[_BLOCK - number :]
            waiting.append(part)
            number += len(part)
            if number == _BLOCK:
                yield np.concatenate(waiting)
                waiting, number = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _resolved(switches: dict, epsilon: float) -> Steps:
    """Resolve contradicting switches by the rules of the old generator, with its warnings."""
    on = {name for name, value in switches.items() if value is True}
    whitening = "zca_whitening" in on
    for kind in ("samplewise", "featurewise"):
        center, std = f"{kind}_center", f"{kind}_std_normalization"
        if kind == "featurewise" and whitening:
            if switches.get(center) is False:
                _warn(f"zca_whitening centres by itself: {center}: false has no effect")
            if std in on:
                _warn(f"zca_whitening overrides {std}, which is off now")
            on -= {center, std}
        elif std in on and center not in on:
            _warn(f"{std} turns {center} on")
            on.add(center)
    if "zca_epsilon" in switches and not whitening:
        _warn("zca_epsilon has no effect without zca_whitening")
    given = switches.get("zca_epsilon")
    chosen = dict.fromkeys(on - {"zca_whitening"}, True)
    return Steps(**chosen, zca_epsilon=(epsilon if given is None else given) if whitening else None)


def _warn(rule: str) -> None:
    warnings.warn(f"normalization: {rule}", UserWarning, stacklevel=2)

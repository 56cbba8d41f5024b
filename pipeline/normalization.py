"""rescale | samplewise | featurewise | zca: fitted once on the training split, then a layer of the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from pipeline.errors import ConfigurationError, DataError
from pipeline.files import read_arrays, write_arrays
from pipeline.images import ImageSet
from pipeline.params import Mode

MODES = get_args(Mode)
ZCA_LIMIT = 3072
"""Values of a picture up to which a whitening matrix is fitted: 32×32×3. A strip's would be estimated from too few."""
EPSILON = 1e-5
"""A standard deviation below this is rounding: no picture or channel that varies has one so small."""
_BLOCK = 2048


@dataclass(frozen=True)
class Statistics:
    """What the training pictures say, on the scale 0 to 1.

    Attributes:
        name: the data set, as task/suite, for messages.
        shape: height, width, channels.
        mean: float32 (C,), of each channel over all pictures and pixels.
        deviation: float32 (C,), likewise.
        zca_mean: float32 (H * W * C,), the mean picture, or None where no ZCA matrix was fitted.
        zca_matrix: float32 (H * W * C, H * W * C) or None.
    """

    name: str
    shape: tuple[int, int, int]
    mean: np.ndarray
    deviation: np.ndarray
    zca_mean: np.ndarray | None = None
    zca_matrix: np.ndarray | None = None

    def apply(self, images: np.ndarray, mode: Mode) -> np.ndarray:
        """Normalize uint8 (n, H, W, C) with NumPy as the layer of `mode` does; float32, the same shape."""
        self.require(mode, images.shape[1:])
        if mode == "none":
            return images.astype(np.float32)
        scaled = images.astype(np.float32) / 255
        if mode == "samplewise":
            centred = scaled - scaled.mean(axis=(1, 2, 3), keepdims=True)
            return centred / np.maximum(centred.std(axis=(1, 2, 3), keepdims=True), EPSILON)
        if mode == "featurewise":
            return (scaled - self.mean) / self.divisor
        if mode == "zca":
            flat = scaled.reshape(len(scaled), -1) - self.zca_mean
            return (flat @ self.zca_matrix).reshape(scaled.shape)
        return scaled

    @property
    def divisor(self) -> np.ndarray:
        """The deviation, kept from zero: a channel that never changes is centred only."""
        return np.maximum(self.deviation, EPSILON)

    def require(self, mode: str, shape: tuple[int, ...]) -> None:
        """Raise unless pictures of this shape can be normalized in this mode."""
        if mode not in MODES:
            raise ConfigurationError(f"normalization: expected one of {', '.join(MODES)}, found {mode!r}")
        if tuple(shape) != tuple(self.shape):
            raise DataError(f"pictures of shape {tuple(shape)} found, expected {self.shape}, as in {self.name}")
        if mode == "zca" and self.zca_matrix is None:
            raise ConfigurationError(
                f"normalization: zca was asked for {self.name}, whose pictures have {int(np.prod(self.shape))} values; "
                f"expected at most {ZCA_LIMIT} (single digits, CIFAR-10): choose another mode or train on those"
            )

    def save(self, path: Path) -> None:
        """Write an uncompressed `.npz`."""
        arrays = {"name": np.array(self.name), "shape": np.array(self.shape), "mean": self.mean}
        arrays["deviation"] = self.deviation
        if self.zca_matrix is not None:
            arrays |= {"zca_mean": self.zca_mean, "zca_matrix": self.zca_matrix}
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> "Statistics":
        """Read what `save` wrote.

        Raises:
            DataError: there is no such file, or it is damaged.
        """
        arrays = read_arrays(path)
        try:
            shape = tuple(int(side) for side in arrays.pop("shape"))
            return cls(name=str(arrays.pop("name")), shape=shape, **arrays)
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: no statistics of a data set ({error}); run `dvc repro -f normalize`") from None


def fit(train: ImageSet, *, name: str, zca_epsilon: float) -> Statistics:
    """Fit every mode on a training split, in blocks of pictures, in float64.

    Args:
        train: uint8 (n, H, W, C), n at least 2.
        name: the data set, for messages.
        zca_epsilon: added to the eigenvalues of the covariance before the inverse square root.

    Raises:
        DataError: there are fewer than two pictures.
    """
    if len(train) < 2:
        raise DataError(f"{name}: {len(train)} training pictures found, expected at least 2 to fit a normalization")
    height, width, channels = train.shape
    size = height * width * channels
    total, squares = np.zeros(channels), np.zeros(channels)
    for block in _blocks(train.images):
        pixels = block.reshape(-1, channels)
        total += pixels.sum(axis=0)
        squares += np.square(pixels).sum(axis=0)
    pixels = len(train) * height * width
    mean = total / pixels
    deviation = np.sqrt(np.maximum(squares / pixels - np.square(mean), 0))
    picture = matrix = None
    if size <= ZCA_LIMIT:
        picture, matrix = _whitening(train.images, size, zca_epsilon)
    return Statistics(name, train.shape, mean.astype(np.float32), deviation.astype(np.float32), picture, matrix)


def _whitening(images: np.ndarray, size: int, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    mean = np.zeros(size)
    for block in _blocks(images):
        mean += block.reshape(len(block), size).sum(axis=0)
    mean /= len(images)
    covariance = np.zeros((size, size))
    for block in _blocks(images):
        centred = block.reshape(len(block), size) - mean
        covariance += centred.T @ centred
    covariance /= len(images)
    values, vectors = np.linalg.eigh(covariance)
    matrix = (vectors / np.sqrt(np.maximum(values, 0) + epsilon)) @ vectors.T
    return mean.astype(np.float32), matrix.astype(np.float32)


def _blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), _BLOCK):
        yield images[start : start + _BLOCK].astype(np.float64) / 255

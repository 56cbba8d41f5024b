"""The trained network of the strategy `textbook`, written out in NumPy."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import keras
import numpy as np

from pipeline.core.errors import DataError
from pipeline.plots.convolution import convolve, pool, relu, softmax


@dataclass(frozen=True)
class Net:
    """The trained network as arrays.

    Attributes:
        normalized: uint8 (n, 28, 28, 1) -> float (n, 28, 28, 1), the input of the first convolution.
        conv1: kernel (3, 3, 1, 32) and bias (32,).
        conv2: kernel (3, 3, 32, 64) and bias (64,).
        dense: kernel (12, 12, 64, 128), the dense layer as a convolution, and bias (128,).
        logits: kernel (1, 1, 128, 10) and bias (10,).
        pooling: `max` or `avg`.
        dropout: the share of pooled values dropped in training.
    """

    normalized: Callable[[np.ndarray], np.ndarray]
    conv1: tuple[np.ndarray, np.ndarray]
    conv2: tuple[np.ndarray, np.ndarray]
    dense: tuple[np.ndarray, np.ndarray]
    logits: tuple[np.ndarray, np.ndarray]
    pooling: Literal["max", "avg"]
    dropout: float

    @classmethod
    def of(cls, reader: keras.Model) -> "Net":
        """Take the arrays from a model that `pipeline.strategies.textbook` trained.

        Raises:
            DataError: the model is of another strategy.
        """
        try:
            network = reader.get_layer("textbook")
        except ValueError:
            names = ", ".join(layer.name for layer in reader.layers)
            raise DataError(f"a model with layers {names} found, expected one of the strategy textbook") from None
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
        """Compute the maps of the first convolution: normalized (H, W, 1) -> (H - 2, W - 2, 32)."""
        return relu(convolve(picture, *self.conv1))

    def second(self, picture: np.ndarray) -> np.ndarray:
        """Compute the maps of the second convolution: normalized (H, W, 1) -> (H - 4, W - 4, 64)."""
        return relu(convolve(self.first(picture), *self.conv2))

    def pooled(self, picture: np.ndarray) -> np.ndarray:
        """Compute the pooled maps of the second: normalized (H, W, 1) -> ((H - 4) // 2, (W - 4) // 2, 64)."""
        return pool(self.second(picture), self.pooling)

    def probabilities(self, picture: np.ndarray) -> np.ndarray:
        """Compute class probabilities at every position of the network: normalized (H, W, 1) -> (h, w, 10).

        The picture is at least 28×28. The dense layers are kernels as well: one as large as the pooled maps of a single
        digit, one of 1×1.
        """
        return softmax(convolve(relu(convolve(self.pooled(picture), *self.dense)), *self.logits))

    @cached_property
    def strongest(self) -> int:
        """The kernel of the first layer with the largest sum of squares."""
        return int(np.square(self.conv1[0]).sum(axis=(0, 1, 2)).argmax())

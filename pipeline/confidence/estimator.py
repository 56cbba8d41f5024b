"""The estimator of a confidence: from the columns of a reading to the probability that it is correct."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops
from sklearn.covariance import LedoitWolf

from pipeline.confidence.trees import Trees
from pipeline.core.errors import DataError
from pipeline.core.files import read_arrays, write_arrays

STEP = 1 / 8
"""Of the standard deviation of a column: trees compare steps, so that rounding rarely changes a comparison."""
LARGEST = 30.0
"""Deviations beyond which columns do not differ."""


@dataclass(frozen=True)
class Familiarity:
    """Columns in steps of their deviation on familiar pictures, and how far all together are from these.

    The distance is that of Mahalanobis (1936) with the covariance of Ledoit and Wolf (2004), as Lee et al. 2018 measure
    it in features of a network.

    Attributes:
        centre: float32 (k,), the median of each column over the familiar rows.
        scale: float32 (k,), its deviation, positive.
        whitening: float32 (k, k), of the scaled columns.
    """

    centre: np.ndarray
    scale: np.ndarray
    whitening: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> "Familiarity":
        """Fit float32 (n, k), rows of familiar pictures."""
        rows = rows.astype(np.float64)
        centre = np.median(rows, axis=0)
        low, high = np.percentile(rows, [10, 90], axis=0)
        # A column may be constant but for few rows: the deviation is then that of all of them, or a thousandth.
        scale = np.maximum((high - low) / 2.56, np.maximum(rows.std(axis=0) / 3, 1e-3))
        scaled = np.clip((rows - centre) / scale, -LARGEST, LARGEST)
        precision = LedoitWolf(assume_centered=True).fit(scaled).precision_
        values, vectors = np.linalg.eigh(precision)
        whitening = vectors * np.sqrt(np.maximum(values, 0))
        return cls(*(array.astype(np.float32) for array in (centre, scale, whitening)))

    def __call__(self, rows: keras.KerasTensor) -> keras.KerasTensor:
        """float32 (n, k) -> (n, k + 1): the columns in steps, and the logarithm of the distance, likewise in steps."""
        scaled = ops.clip((rows - self.centre) / self.scale, -LARGEST, LARGEST)
        distance = ops.mean(ops.square(ops.matmul(scaled, self.whitening)), axis=-1, keepdims=True)
        return ops.concatenate([ops.round(scaled / STEP) * STEP, ops.round(ops.log(distance + 1e-3) / STEP) * STEP], -1)


@dataclass(frozen=True)
class Estimator:
    """Boosted trees over familiar columns, calibrated by a logistic curve (Platt 1999).

    Attributes:
        familiarity: brings the columns into steps.
        trees: over these.
        slope, intercept: of the logistic curve of their score.
    """

    familiarity: Familiarity
    trees: Trees
    slope: float
    intercept: float

    def __call__(self, rows: keras.KerasTensor) -> keras.KerasTensor:
        """The columns of n readings, float32 (n, k) -> the probability that each is correct, float32 (n,)."""
        return ops.sigmoid(self.trees(self.familiarity(rows)) * self.slope + self.intercept)

    def save(self, path: Path) -> None:
        """Write an uncompressed `.npz`."""
        write_arrays(
            path,
            {
                "centre": self.familiarity.centre,
                "scale": self.familiarity.scale,
                "whitening": self.familiarity.whitening,
                **{f"trees_{name}": array for name, array in self.trees.as_arrays().items()},
                "curve": np.array([self.slope, self.intercept], np.float32),
            },
        )

    @classmethod
    def load(cls, path: Path) -> "Estimator":
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged, or lacks an array.
        """
        arrays = read_arrays(path)
        trees = {name.removeprefix("trees_"): array for name, array in arrays.items() if name.startswith("trees_")}
        try:
            slope, intercept = arrays["curve"].tolist()
            familiarity = Familiarity(arrays["centre"], arrays["scale"], arrays["whitening"])
            return cls(familiarity, Trees.of_arrays(trees), slope, intercept)
        except KeyError as error:
            raise DataError(f"{path}: {error.args[0]} missing; run `dvc repro calibrate`") from None

"""Normalization inside the model, so that a model takes raw pictures. A saved model carries the statistics."""

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

if TYPE_CHECKING:
    from pipeline.preprocessing.normalization import Normalizer

PACKAGE = "digit_strips"


@keras.saving.register_keras_serializable(PACKAGE)
class Samplewise(keras.layers.Layer):
    """Centre each picture and, where it is to be scaled, divide it by its own standard deviation.

    float (n, H, W, C) -> the same shape. Mean and deviation go over all pixels and channels of a picture; a constant
    picture becomes zeros.

    Args:
        epsilon: lower bound of the divisor.
        scale: whether to divide by the standard deviation.
    """

    def __init__(self, epsilon: float = 1e-5, scale: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.scale = scale

    def call(self, images):
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        centred = images - mean
        if not self.scale:
            return centred
        deviation = ops.sqrt(ops.mean(ops.square(centred), axis=(1, 2, 3), keepdims=True))
        return centred / ops.maximum(deviation, self.epsilon)

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon, "scale": self.scale}


@keras.saving.register_keras_serializable(PACKAGE)
class ZCAWhitening(keras.layers.Layer):
    """Subtract the mean picture and multiply by the whitening matrix: float (n, H, W, C) -> the same shape.

    With x a flattened picture, m the mean and U diag(s) U^T the covariance of the training pictures about m, the layer
    gives (x - m) W with W = U diag(1 / sqrt(s + epsilon)) U^T (Bell and Sejnowski 1997, "The independent components of
    natural scenes are edge filters"; Krizhevsky 2009, appendix A; see `pipeline.preprocessing.normalization`).

    Args:
        mean: float32 (H * W * C,), or None in a layer that gets its weights from a file.
        matrix: float32 (H * W * C, H * W * C), or None likewise.
    """

    def __init__(self, mean: np.ndarray | None = None, matrix: np.ndarray | None = None, **kwargs):
        super().__init__(**kwargs)
        self._mean = mean
        self._matrix = matrix

    def build(self, shape):
        size = int(np.prod(shape[1:]))
        self.mean = self.add_weight(name="mean", shape=(size,), initializer="zeros", trainable=False)
        self.matrix = self.add_weight(name="matrix", shape=(size, size), initializer="zeros", trainable=False)
        if self._matrix is not None:
            self.mean.assign(self._mean)
            self.matrix.assign(self._matrix)

    def call(self, images):
        shape = ops.shape(images)
        flat = ops.reshape(images, (-1, self.matrix.shape[0]))
        return ops.reshape(ops.matmul(flat - self.mean, self.matrix), (-1, *shape[1:]))

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        # Mean and matrix are weights: a saved model carries them there.
        return super().get_config()


def normalize(images: keras.KerasTensor, normalizer: "Normalizer") -> keras.KerasTensor:
    """Put the layers of a normalization on uint8 (n, H, W, C): normalized floats of the same shape.

    Raises:
        DataError: the statistics are of pictures of another shape.
    """
    statistics, steps = normalizer.statistics, normalizer.steps(images.shape[1:])
    whitens = steps.zca_epsilon is not None
    # Whitening multiplies rounding errors by the inverse of small eigenvalues: float32 whatever the policy.
    policy = "float32" if whitens else None
    x = keras.layers.Rescaling(1 / 255 if steps.rescale else 1.0, dtype=policy, name="scale")(images)
    if steps.samplewise_center:
        x = Samplewise(scale=steps.samplewise_std_normalization, dtype=policy, name="samplewise")(x)
    if steps.featurewise_center:
        divisor = statistics.divisor if steps.featurewise_std_normalization else np.ones_like(statistics.mean)
        # Not keras.layers.Normalization: in a model inside a model its constants become inputs of the exported graph.
        scale, offset = 1 / divisor, -statistics.mean / divisor
        x = keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="featurewise")(x)
    if whitens:
        x = ZCAWhitening(statistics.zca_mean, statistics.zca_matrix(steps.zca_epsilon), dtype=policy, name="zca")(x)
    return x

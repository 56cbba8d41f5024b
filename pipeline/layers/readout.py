"""From class probabilities to a reading, inside the graph: what is evaluated, exported and served is one thing."""

import keras
from keras import ops

from pipeline.layers.normalization import PACKAGE


def best(values):
    """The index of the highest value along the last axis, int32.

    Not `ops.argmax`: on TensorFlow it looks for negative zeros bit by bit, which ONNX has no operator for.
    """
    return ops.squeeze(ops.top_k(values, 1)[1], axis=-1)


@keras.saving.register_keras_serializable(PACKAGE)
class MostProbable(keras.layers.Layer):
    """The most probable class of each slot: float (n, slots, classes) -> int32 (n, slots)."""

    def call(self, probabilities):
        return best(probabilities)

    def compute_output_spec(self, probabilities):
        return keras.KerasTensor(probabilities.shape[:-1], dtype="int32")


@keras.saving.register_keras_serializable(PACKAGE)
class Confidence(keras.layers.Layer):
    """The probability that every slot is read right, taking slots as independent: (n, slots, classes) -> (n,)."""

    def call(self, probabilities):
        return ops.prod(ops.max(probabilities, axis=-1), axis=-1)

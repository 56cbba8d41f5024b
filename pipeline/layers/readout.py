"""From class probabilities to a reading, inside the graph, so that training, export and serving share it."""

import keras
from keras import ops

from pipeline.layers.normalization import PACKAGE


def best(values):
    """The index of the highest value along the last axis, int32.

    Not `ops.argmax`: on TensorFlow it inspects the sign bit of zeros, for which ONNX has no operator.
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
    """The probability that every slot is correct, if slots are independent: (n, slots, classes) -> (n,)."""

    def call(self, probabilities):
        return ops.prod(ops.max(probabilities, axis=-1), axis=-1)

"""Turns a trained network that gives logits into the reader that the contract of strategies asks for."""

import keras

from pipeline.layers import Confidence, MostProbable


def softmax_reader(network: keras.Model) -> keras.Model:
    """Put softmax, argmax and joint confidence on a network.

    Args:
        network: uint8 (n, H, W, C) -> float32 logits (n, slots, classes), built under a float32 policy.

    Returns:
        A model from uint8 (n, H, W, C) to `probabilities` float32 (n, slots, classes), `classes` int32 (n, slots) and
        `confidence` float32 (n,).
    """
    images = keras.Input(network.input_shape[1:], dtype="uint8", name="images")
    probabilities = keras.layers.Softmax(name="probabilities")(network(images))
    outputs = {
        "probabilities": probabilities,
        "classes": MostProbable(name="classes")(probabilities),
        "confidence": Confidence(name="confidence")(probabilities),
    }
    return keras.Model(images, outputs, name="reader")


def sequence_reader(images: keras.KerasTensor, reading: dict[str, keras.KerasTensor]) -> keras.Model:
    """The model from `images`, uint8 (n, H, W, C), to the outputs of a layer of `pipeline.layers`, by their names."""
    named = {name: keras.layers.Identity(name=name, dtype=value.dtype)(value) for name, value in reading.items()}
    return keras.Model(images, named, name="reader")

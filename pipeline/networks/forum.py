"""The network over a whole strip of the forum's question, to which its answers put different outputs and losses."""

import keras
from keras import layers


def trunk(strips: keras.KerasTensor, seed: int) -> keras.KerasTensor:
    """Normalized float (n, 28, 140, 1) -> features (n, 52224): no layer knows which columns belong to which digit."""
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(strips)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Dropout(0.25, seed=seed, name="dropout")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dropout(0.5, seed=seed + 1, name="features_dropout")(x)

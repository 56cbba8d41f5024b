"""What sharing a pass saves: `sliding` over a strip, against classifying each of its windows apart.

`python -m benchmarks.windows` times the same layers (untrained: time does not depend on the weights) both ways.
"""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from pipeline.core.images import DIGIT, STRIP_NAMES, STRIP_SHAPE
from pipeline.networks import blocks, trunks

STRIPS = 64
ROUNDS = 9


def main() -> None:
    """Print milliseconds a strip both ways, and their ratio."""
    strips = np.random.default_rng(0).integers(0, 256, (STRIPS, *STRIP_SHAPE), np.uint8)
    padded = np.pad(strips, ((0, 0), (0, 0), (DIGIT // 2, DIGIT // 2), (0, 0)))
    middles = blocks.STRIDE * np.arange(STRIP_SHAPE[1] // blocks.STRIDE)
    windows = np.concatenate([padded[:, :, x : x + DIGIT] for x in middles])
    shared, apart = _network(STRIP_SHAPE[1]), _network(DIGIT)
    ratios, times = [], {"one shared pass": [], f"{len(middles)} windows apart": []}
    for _ in range(ROUNDS):
        taken = [_seconds(shared, strips), _seconds(apart, windows)]
        for name, seconds in zip(times, taken, strict=True):
            times[name].append(1000 * seconds / STRIPS)
        ratios.append(taken[1] / taken[0])
    for name, taken in times.items():
        print(f"{name:20} {statistics.median(taken):7.2f} ms a strip")
    print(f"{'ratio':20} {statistics.median(ratios):7.1f} (of {ROUNDS} pairs: {min(ratios):.1f} to {max(ratios):.1f})")


def _network(width: int) -> tf.types.experimental.PolymorphicFunction:
    pictures = keras.Input((DIGIT, width, 1), dtype="uint8")
    x = trunks.columns(layers.Rescaling(1 / 255)(pictures), window=7)
    if width == DIGIT:
        # A window apart is asked once, at its middle.
        x = x[:, width // blocks.STRIDE // 2]
    model = keras.Model(pictures, layers.Dense(len(STRIP_NAMES))(x))
    graph = tf.function(lambda images: model(images, training=False))
    graph(np.zeros((1, DIGIT, width, 1), np.uint8))
    return graph


def _seconds(graph: tf.types.experimental.PolymorphicFunction, images: np.ndarray) -> float:
    started = time.perf_counter()
    graph(images)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

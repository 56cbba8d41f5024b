"""What kept features save: an epoch of VGG16's head on them, against one that passes through the frozen base.

`python -m benchmarks.features [--pictures 1024] [--rounds 3]` times both in turns, in the precision of `auto`.
"""

import argparse
import statistics
import time

import keras
import numpy as np

from pipeline.config.types import Recipe
from pipeline.core.images import ImageSet
from pipeline.networks import features, pretrained
from pipeline.strategies import vgg16
from pipeline.training import loop, optimizers, precision

CUT = 19


def main(pictures: int, rounds: int) -> None:
    """Print seconds an epoch both ways, and their ratio, and what making the features costs once."""
    rng = np.random.default_rng(0)
    names = tuple(str(each) for each in range(10))
    images = rng.integers(0, 256, (pictures, 32, 32, 3), np.uint8)
    train = ImageSet(images, rng.integers(0, 10, (pictures, 1), np.uint8), names, "noise")
    valid = train.take(slice(0, 32))
    base = pretrained.base(keras.applications.VGG16, "none", size=32, seed=1)
    start = time.perf_counter()
    kept = features.of(base, CUT, images, policy=precision.resolve("auto"))
    print(f"making the features, once       {time.perf_counter() - start:8.2f} s for {pictures} pictures")
    through, on_kept, ratios = [], [], []
    for _ in range(rounds):
        through.append(_epoch(base, train, valid, None))
        on_kept.append(_epoch(base, train, valid, (kept, kept[:32])))
        ratios.append(through[-1] / on_kept[-1])
    print(f"an epoch through the frozen base{statistics.median(through):8.2f} s")
    print(f"an epoch on kept features       {statistics.median(on_kept):8.2f} s")
    print(f"ratio {statistics.median(ratios):.0f} (of {rounds} pairs: {min(ratios):.0f} to {max(ratios):.0f})")


class _Clock(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.at.append(time.perf_counter())


def _epoch(
    base: pretrained.Base, train: ImageSet, valid: ImageSet, kept: tuple[np.ndarray, np.ndarray] | None
) -> float:
    """Seconds of the second of three epochs: the first one also traces the graph, the third has no successor."""
    clock = _Clock()
    with loop.running("auto", [clock]):
        vgg16.transfer(
            base,
            train,
            valid,
            kept=kept,
            seed=1,
            budget=1.0,
            freeze_until=CUT,
            activation="relu",
            dropout=0.5,
            batch_norm=True,
            recipe=Recipe(epochs=3, batch=32, learning_rate=0.01),
            optimizer=optimizers.sgd(momentum=0.9),
        )
    return clock.at[2] - clock.at[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    main(**vars(parser.parse_args()))

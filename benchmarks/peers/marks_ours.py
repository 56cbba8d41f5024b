"""A training of one strategy for single digits that reads MNIST's test set after every epoch; a round is a training.

The clock runs from the call of the strategy's `train`: it has the graph's tracing, every epoch and the evaluation of
valid, but not the reading of test, which serves this measurement alone. It chooses nothing.
"""

import time
from pathlib import Path

import keras
import numpy as np

from benchmarks.rounds import Rounds, Stopwatch
from pipeline import strategies
from pipeline.config import params
from pipeline.core.images import ImageSet
from pipeline.preprocessing import normalization
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop, models

BATCH = 500


class TestReader(keras.callbacks.Callback):
    """After every epoch, the seconds since it was made, without its own, and the share of test that is read right.

    Args:
        test: single digits.
    """

    def __init__(self, test: ImageSet):
        super().__init__()
        self.epochs: list[dict[str, float]] = []
        self._test, self._own, self._started = test, 0.0, time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        begun = time.perf_counter()
        predict = models.traced(self.model.network)
        images = self._test.images
        logits = np.concatenate(
            [predict(images[start : start + BATCH]).numpy() for start in range(0, len(images), BATCH)]
        )
        accuracy = float((logits.argmax(-1) == self._test.labels).mean())
        valid = float((logs or {}).get("val_exact_match", float("nan")))
        self.epochs.append({"seconds": begun - self._started - self._own, "test": accuracy, "valid": valid})
        self._own += time.perf_counter() - begun


def main() -> None:
    """Answer rounds until the last; each trains from another seed."""
    rounds = Rounds()
    given, settings = rounds.settings, params.load(Path("params.yaml"))
    entry, module = settings.strategies[given["strategy"]], strategies.load(given["strategy"])
    folder = Path(given["data"]) / entry.train_on
    some = slice(given["pictures"])
    train, valid, test = (ImageSet.load(folder / f"{split}.npz").take(some) for split in ("train", "valid", "test"))
    statistics = normalization.fit(
        train,
        name=folder.name,
        zca_epsilon=settings.normalize.zca_epsilon,
        zca_center=settings.normalize.zca_center,
    )
    normalizer = Normalizer.of(statistics, entry.normalization)
    rounds.ready(strategy=given["strategy"], settings=entry.settings, keras=keras.__version__)
    number = 0
    while rounds.asked():
        stopwatch, reader = Stopwatch(), TestReader(test)
        with loop.running(settings.precision, [reader]) as run:
            module.train(
                train,
                valid,
                normalizer=normalizer,
                seed=settings.seed + number,
                budget=given["budget"],
                **entry.arguments,
            )
        rounds.answer(
            stopwatch.read(), len(train), epochs=reader.epochs, precision=run.precision, seed=settings.seed + number
        )
        number += 1


if __name__ == "__main__":
    main()

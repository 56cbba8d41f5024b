"""Epochs of Keras's `fit` as rounds."""

import sys

import keras

from benchmarks.rounds import Rounds, Stopwatch


class EpochRounds(keras.callbacks.Callback):
    """Lets a training make an epoch, with its evaluation, whenever a round is asked for; the first is not counted.

    Args:
        rounds: that are asked for.
        pictures: of an epoch.
        facts: what to say when the first epoch is over.
    """

    def __init__(self, rounds: Rounds, pictures: int, **facts):
        super().__init__()
        self._rounds, self._pictures, self._facts = rounds, pictures, facts

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self._rounds.ready(keras=keras.__version__, **self._facts)
        if epoch and not self._rounds.asked():
            sys.exit(0)
        self._stopwatch = Stopwatch()

    def on_epoch_end(self, epoch, logs=None):
        if epoch:
            found = {name: float(value) for name, value in (logs or {}).items()}
            self._rounds.answer(self._stopwatch.read(), self._pictures, **found)

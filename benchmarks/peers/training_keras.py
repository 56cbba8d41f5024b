"""`mnist_cnn` of Keras's examples (Chollet et al. 2015) as published, at the learning rate that it was written for.

A round is an epoch of `model.fit`, with its evaluation of the test set, in float32.
"""

from pathlib import Path

import keras
from keras import layers

from benchmarks.peers import digits
from benchmarks.peers.epochs import EpochRounds
from benchmarks.rounds import Rounds


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    given = rounds.settings
    x, y, x_test, y_test = digits.load(Path(given["digits"]), given["pictures"], given["tested"])
    x, x_test = x.astype("float32") / 255, x_test.astype("float32") / 255
    y, y_test = keras.utils.to_categorical(y[:, 0], 10), keras.utils.to_categorical(y_test[:, 0], 10)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.Adadelta(learning_rate=1.0)
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    model.fit(
        x,
        y,
        batch_size=128,
        epochs=given["rounds"] + 1,
        verbose=2,
        validation_data=(x_test, y_test),
        callbacks=[EpochRounds(rounds, len(x), settings="float32, batch 128, Adadelta 1")],
    )


if __name__ == "__main__":
    main()

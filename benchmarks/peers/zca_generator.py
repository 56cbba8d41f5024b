"""ZCA whitening by Keras's retired ImageDataGenerator.

A round fits, applies to pictures one by one, as `flow` does, or to all of them at once.
"""

import keras
import numpy as np
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from benchmarks.rounds import Rounds


def fit(pictures: np.ndarray) -> ImageDataGenerator:
    """The generator, fitted on uint8 (n, H, W, C)."""
    generator = ImageDataGenerator(rescale=1 / 255, featurewise_center=True, zca_whitening=True)
    generator.fit(pictures)
    return generator


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    given = rounds.settings
    pictures = np.load(given["pictures"])
    if given["part"] == "fit":

        def work() -> float:
            fit(pictures)
            return 1

    else:
        generator = fit(pictures[: given["fitted"]])
        batch = pictures[: given["applied"]].astype(np.float32)

        def work() -> float:
            # It changes what it gets.
            if given["part"] == "at once":
                generator.standardize(batch.copy())
            else:
                for picture in batch.copy():
                    generator.standardize(picture)
            return len(batch)

    rounds.serve(work, warm=given["part"] != "fit", keras=keras.__version__, numpy=np.__version__)


if __name__ == "__main__":
    main()

"""Augmentation by Keras's retired ImageDataGenerator, through its `flow`; a round takes some batches."""

import warnings

import keras
import numpy as np
from keras.src.legacy.preprocessing.image import ImageDataGenerator, NumpyArrayIterator

from benchmarks.rounds import Rounds


def flow(images: np.ndarray, labels: np.ndarray, batch: int, options: dict) -> NumpyArrayIterator:
    """Its endless batches of uint8 (n, H, W, C), as floats before it starts, as its own documentation has them."""
    generator = ImageDataGenerator(**options)
    return generator.flow(images.astype(np.float32), labels, batch_size=batch, seed=1)


def main() -> None:
    """Answer rounds until the last."""
    # It calls SciPy by a name that SciPy has given up.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message="Please (import|use) `affine_transform`")
    rounds = Rounds()
    given = rounds.settings
    with np.load(given["pictures"]) as arrays:
        batches = flow(arrays["images"][:4096], arrays["labels"][:4096], given["batch"], given["options"])

    def work() -> float:
        return sum(len(next(batches)[0]) for _ in range(given["batches"]))

    rounds.serve(work, keras=keras.__version__, numpy=np.__version__)


if __name__ == "__main__":
    main()

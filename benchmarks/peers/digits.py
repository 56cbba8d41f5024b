"""MNIST as the contenders of training read it, with NumPy alone."""

from pathlib import Path

import numpy as np


def load(folder: Path, pictures: int, tested: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The first of the 60,000 published pictures to train with, in the order of the splits here, and of the test set.

    Args:
        folder: of the composed splits.
        pictures: to train with; 60,000 at most.
        tested: to evaluate with; 10,000 at most.

    Returns:
        uint8 (n, 28, 28, 1) and (n, 1) to train with, and as many arrays to evaluate with.
    """
    parts = []
    for split in ("train", "valid", "gate", "test"):
        with np.load(folder / f"{split}.npz") as arrays:
            parts.append((arrays["images"], arrays["labels"]))
    images, labels = (np.concatenate(each)[:pictures] for each in zip(*parts[:3], strict=True))
    return images, labels, parts[3][0][:tested], parts[3][1][:tested]

"""Made-up digits whose picture tells which one it is."""

import numpy as np

from pipeline.core.images import DIGIT, DIGIT_NAMES, INK, ImageSet


def blobs(count: int, seed: int = 0) -> ImageSet:
    """Blobs of ink inside the middle 20×20 pixels, no two alike, with labels that go round."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, DIGIT, DIGIT, 1), np.uint8)
    for image in images:
        y, x = rng.integers(4, 14, 2)
        height, width = rng.integers(3, 11, 2)
        image[y : y + height, x : x + width, 0] = rng.integers(INK, 256, (height, width))
    labels = (np.arange(count) % 10).astype(np.uint8)[:, None]
    return ImageSet(images, labels, DIGIT_NAMES, "embedded", sources=np.arange(count, dtype=np.int32)[:, None])

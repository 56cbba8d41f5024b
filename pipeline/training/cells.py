"""Single digits as the cells of a strip."""

import numpy as np

from pipeline.core.images import BLANK, DIGIT, SLOTS, STRIP_NAMES, ImageSet


def with_blanks(digits: ImageSet) -> ImageSet:
    """The digits and a tenth as many empty cells, of class 10: single digits have no blanks to learn from."""
    blanks = max(1, len(digits) // 10)
    return ImageSet(
        images=np.concatenate([digits.images, np.zeros((blanks, *digits.shape), np.uint8)]),
        labels=np.concatenate([digits.labels, np.full((blanks, 1), BLANK, np.uint8)]),
        class_names=STRIP_NAMES,
        origin=digits.origin,
    )


def with_cells_of(strips: ImageSet, digits: ImageSet, share: float) -> ImageSet:
    """Digits, repeated, and cells cut out of strips, which hold parts of their neighbours and clutter.

    Args:
        strips: uint8 (m, 28, 140, 1) with labels (m, 5) by slots.
        digits: uint8 (n, 28, 28, 1) with labels (n, 1), blanks among them.
        share: of the cells of strips among all, above 0 and below 1. The digits are repeated a whole number of times,
            once at least, which comes closest; no strip is left out.
    """
    rows = strips.images.reshape(-1, DIGIT, SLOTS, DIGIT, 1).transpose(0, 2, 1, 3, 4).reshape(-1, DIGIT, DIGIT, 1)
    times = max(1, round(len(rows) * (1 - share) / share / len(digits)))
    repeated = digits.take(np.tile(np.arange(len(digits)), times))
    return ImageSet(
        images=np.concatenate([repeated.images, rows]),
        labels=np.concatenate([repeated.labels, strips.labels.reshape(-1, 1)]),
        class_names=STRIP_NAMES,
        origin=digits.origin,
    )

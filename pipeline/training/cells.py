"""Single digits as the cells of a strip."""

import numpy as np

from pipeline.core.images import BLANK, STRIP_NAMES, ImageSet


def with_blanks(digits: ImageSet) -> ImageSet:
    """The digits and a tenth as many empty cells, of class 10: single digits have no blanks to learn from."""
    blanks = max(1, len(digits) // 10)
    return ImageSet(
        images=np.concatenate([digits.images, np.zeros((blanks, *digits.shape), np.uint8)]),
        labels=np.concatenate([digits.labels, np.full((blanks, 1), BLANK, np.uint8)]),
        class_names=STRIP_NAMES,
        origin=digits.origin,
    )

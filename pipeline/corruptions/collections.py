"""Collections of digits from elsewhere, in the form of the suites, that nothing trains on."""

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

from pipeline.core.images import DIGIT, DIGIT_NAMES, ImageSet
from pipeline.data import strips

OPTDIGITS = "optdigits"
"""UCI's "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998), its test set of 13 writers."""
EMBEDDED = "embedded"
"""The origin of the offline stand-in, which is made of the same digits."""
_HEIGHT = 20
"""Pixels that MNIST gives the longer side of a digit."""


def collections(task: str, origin: str, seed: int) -> dict[str, ImageSet]:
    """The collections for a task by name; none where there is none, or where the models trained on them.

    Args:
        task: `mnist`, whose digits are read one by one, or `strips`, of five digits side by side as in the suite
            `plain`; no other task has any.
        origin: of the pictures that models are trained on. The offline stand-in is made of these very digits.
        seed: of the order in which digits become strips.
    """
    if origin == EMBEDDED or task not in ("mnist", "strips"):
        return {}
    digits = optdigits()
    if task == "mnist":
        return {OPTDIGITS: digits}
    plain = strips.compose(digits, rounds=1, fewest=5, most=5, jitter=False, clutter=False, seed=seed)
    return {OPTDIGITS: plain}


def optdigits() -> ImageSet:
    """The 1,797 digits of 8×8 pixels that scikit-learn holds, in MNIST's form.

    Their height becomes 20 pixels, as MNIST has it, by cubic interpolation of the 8×8 counts of ink, 0 to 16, and the
    most ink becomes 255. Then each is shifted by whole pixels, so that its centre of mass is in the middle of 28×28
    (LeCun et al. 1998).

    Returns:
        uint8 (1797, 28, 28, 1), light on dark; labels (1797, 1), 0 to 9; `sources` are the numbers of the digits.
    """
    small = load_digits()
    factor = _HEIGHT / small.images.shape[1]
    large = ndimage.zoom(small.images, (1, factor, factor), order=3, grid_mode=True, mode="grid-constant")
    large = np.clip(np.rint(large / 16 * 255), 0, 255)
    images = np.zeros((len(large), DIGIT, DIGIT, 1), np.uint8)
    for image, digit in zip(images, large, strict=True):
        top, left = (int(corner) for corner in np.rint((DIGIT - 1) / 2 - np.array(ndimage.center_of_mass(digit))))
        top, left = (int(np.clip(corner, 0, DIGIT - _HEIGHT)) for corner in (top, left))
        image[top : top + _HEIGHT, left : left + _HEIGHT, 0] = digit
    return ImageSet(
        images=images,
        labels=small.target.astype(np.uint8)[:, None],
        class_names=DIGIT_NAMES,
        origin=OPTDIGITS,
        sources=np.arange(len(images), dtype=np.int32)[:, None],
    )

"""The offline stand-in: small real pictures that scikit-learn and scikit-image ship inside their packages."""

import numpy as np
from PIL import Image
from skimage import data
from sklearn.datasets import load_digits

from pipeline.core.images import DIGIT, DIGIT_NAMES, ImageSet

ORIGIN = "embedded"
PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "chelsea",
    "coffee",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "retina",
    "rocket",
)
_PATCH = 32
_LARGEST = 512
_FLAT = 4.0
"""A patch whose values deviate by less shows nothing: sky, or the black around a retina."""
_SHARES = {"train": 40, "valid": 5, "gate": 5, "test": 10}


def digits() -> dict[str, ImageSet]:
    """scikit-learn's 1,797 handwritten digits of 8×8 pixels, brought to MNIST's form, as `pool`.

    The ink is enlarged to fit 20×20 pixels by bicubic interpolation and centred in 28×28, light on dark.
    """
    small = load_digits()
    images = np.zeros((len(small.images), DIGIT, DIGIT, 1), np.uint8)
    for image, picture in zip(images, small.images, strict=True):
        ink = Image.fromarray(np.rint(picture / 16 * 255).astype(np.uint8))
        image[4:24, 4:24, 0] = ink.resize((20, 20), Image.Resampling.BICUBIC)
    return {"pool": _labelled(images, small.target, DIGIT_NAMES)}


def patches() -> dict[str, ImageSet]:
    """Non-overlapping 32×32 patches of ten photographs, whose class is the photograph; splits from disjoint bands."""
    found: dict[str, list[tuple[np.ndarray, int]]] = {split: [] for split in _SHARES}
    seen: set[bytes] = set()
    for label, name in enumerate(PHOTOGRAPHS):
        for split, patch in _banded(getattr(data, name)()):
            if patch.std() >= _FLAT and patch.tobytes() not in seen:
                seen.add(patch.tobytes())
                found[split].append((patch, label))
    return {
        split: _labelled(np.stack([patch for patch, _ in pairs]), np.array([label for _, label in pairs]), PHOTOGRAPHS)
        for split, pairs in found.items()
    }


def _banded(photograph: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Cut the middle of a photograph into patches, and its longer side into one band a split."""
    if photograph.ndim == 2:
        photograph = np.stack([photograph] * 3, axis=-1)
    if photograph.shape[0] < photograph.shape[1]:
        photograph = photograph.transpose(1, 0, 2)
    height, width = (min(side, _LARGEST) // _PATCH for side in photograph.shape[:2])
    top, left = ((side - count * _PATCH) // 2 for side, count in zip(photograph.shape, (height, width), strict=False))
    ends = np.maximum(np.rint(np.cumsum([_SHARES[split] for split in _SHARES]) / 60 * height), np.arange(4) + 1)
    cut = []
    for row in range(height):
        split = list(_SHARES)[int(np.searchsorted(ends, row, side="right"))]
        for column in range(width):
            y, x = top + row * _PATCH, left + column * _PATCH
            cut.append((split, np.ascontiguousarray(photograph[y : y + _PATCH, x : x + _PATCH, :3])))
    return cut


def _labelled(images: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> ImageSet:
    return ImageSet(
        images=images,
        labels=labels.astype(np.uint8)[:, None],
        class_names=class_names,
        origin=ORIGIN,
        sources=np.arange(len(images), dtype=np.int32)[:, None],
    )

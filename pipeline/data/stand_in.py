"""The offline stand-in: small real pictures that scikit-learn and scikit-image ship inside their packages.

Its origin is written as `embedded` into every file that is made of it.
"""

import numpy as np
from PIL import Image
from skimage import data
from sklearn.datasets import load_digits

from pipeline.core.images import DIGIT, DIGIT_NAMES, ImageSet
from pipeline.core.ingestion import ingest
from pipeline.core.lines import Picture, PictureSet
from pipeline.data.lines import holds, written

ORIGIN = "embedded"
LINES = 120
"""Pictures of lines."""
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
_MAX_SIDE = 512
"""Pixels of a photograph's side that are used, from its middle."""
_MIN_DEVIATION = 4.0
"""Grey levels. A patch with a smaller standard deviation shows nothing: sky, or the black around a retina."""
_SHARES = {"train": 40, "valid": 5, "gate": 5, "test": 10}
"""Of a photograph's longer side, in sixtieths."""


def read(source: str) -> dict[str, ImageSet]:
    """The stand-in for a source.

    Args:
        source: `mnist` or `cifar10`; of labelled lines, `lines` is the stand-in.
    """
    return digits() if source == "mnist" else patches()


def digits() -> dict[str, ImageSet]:
    """scikit-learn's 1,797 handwritten digits of 8×8 pixels, in MNIST's form.

    Each is enlarged to 20×20 pixels by bicubic interpolation and centred in 28×28.

    Returns:
        `pool`, uint8 (1797, 28, 28, 1), values 0 to 255, light on dark, with the labels 0 to 9.
    """
    small = load_digits()
    images = np.zeros((len(small.images), DIGIT, DIGIT, 1), np.uint8)
    for image, picture in zip(images, small.images, strict=True):
        ink = Image.fromarray(np.rint(picture / 16 * 255).astype(np.uint8))
        image[4:24, 4:24, 0] = np.asarray(ink.resize((20, 20), Image.Resampling.BICUBIC))
    return {"pool": _labelled(images, small.target, DIGIT_NAMES)}


def patches() -> dict[str, ImageSet]:
    """Disjoint 32×32 patches of ten photographs of scikit-image; the photograph is the class.

    Returns:
        The four splits, uint8 (n, 32, 32, 3), values 0 to 255, from disjoint bands of each photograph. No patch is
        flat, and no two are equal.
    """
    found: dict[str, list[tuple[np.ndarray, int]]] = {split: [] for split in _SHARES}
    seen: set[bytes] = set()
    for label, name in enumerate(PHOTOGRAPHS):
        for split, patch in cut_in_bands(getattr(data, name)()):
            if patch.std() >= _MIN_DEVIATION and patch.tobytes() not in seen:
                seen.add(patch.tobytes())
                found[split].append((patch, label))
    return {
        split: _labelled(np.stack([patch for patch, _ in pairs]), np.array([label for _, label in pairs]), PHOTOGRAPHS)
        for split, pairs in found.items()
    }


def lines() -> PictureSet:
    """Lines on paper, composed of `digits`: pictures of 48 pixels' height with their digits and boxes.

    They are drawn from one seed. Ingestion finds every one.
    """
    pool = digits()["pool"]
    rows_of = [np.flatnonzero(pool.labels[:, 0] == value) for value in range(len(DIGIT_NAMES))]
    rng = np.random.default_rng(LINES)
    pictures: list[Picture] = []
    while len(pictures) < LINES:
        line = written(pool, rows_of, rng)
        found = ingest(line.pixels, one_line=True).lines
        if found and holds(found[0], line.boxes):
            pictures.append(Picture(f"line-{len(pictures):03}.png", line.pixels, line.digits, line.boxes))
    return PictureSet(tuple(pictures), ORIGIN)


def cut_in_bands(photograph: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Cut the middle of a photograph into patches, and its longer side into one band per split.

    Args:
        photograph: uint8 (H, W) or (H, W, channels).

    Returns:
        Split and patch, uint8 (32, 32, 3), row by row.
    """
    if photograph.ndim == 2:
        photograph = np.stack([photograph] * 3, axis=-1)
    if photograph.shape[0] < photograph.shape[1]:
        photograph = photograph.transpose(1, 0, 2)
    height, width = (min(side, _MAX_SIDE) // _PATCH for side in photograph.shape[:2])
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

"""Sets of labelled pictures, as arrays in memory and as `.npz` files. Imports NumPy alone: serving uses it too."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.files import read_arrays, write_arrays

SPLITS = ("train", "valid", "gate", "test")
BLANK = 10
"""The class of a slot without a digit."""
SLOTS = 5
"""Slots of a strip."""
DIGIT = 28
"""Height and width of a digit's cell, in pixels."""
STRIP_SHAPE = (DIGIT, SLOTS * DIGIT, 1)
SCENE_SHAPE = (112, 112, 1)
SCENE_SLOTS = 8
"""Slots of a scene: the most digits it holds."""
DIGIT_NAMES = tuple("0123456789")
STRIP_NAMES = (*DIGIT_NAMES, "blank")
INK = 32
"""A pixel at least this bright is ink; boxes and ink shares count these."""


@dataclass(frozen=True)
class ImageSet:
    """Labelled pictures of one size.

    Attributes:
        images: uint8 (n, H, W, C), C is 1 or 3, values 0 to 255.
        labels: uint8 (n, slots), each below `len(class_names)`.
        class_names: the name of each class.
        origin: `mnist`, `cifar10`, `embedded`, or `folder:NAME`; where the pictures came from.
        boxes: float32 (n, slots, 4) or None; tight ink, half-open pixel x0, y0, x1, y1; zeros for a blank.
        sources: int32 (n, k) or None; which pictures of the source split each picture was made of, -1 for none.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    origin: str
    boxes: np.ndarray | None = None
    sources: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.images)
        _expect(self.images.dtype == np.uint8, f"images are {self.images.dtype}, expected uint8")
        _expect(
            self.images.ndim == 4 and self.images.shape[-1] in (1, 3),
            f"images have shape {self.images.shape}, expected (n, height, width, 1 or 3)",
        )
        _expect(self.labels.dtype == np.uint8, f"labels are {self.labels.dtype}, expected uint8")
        _expect(self.labels.ndim == 2, f"labels have shape {self.labels.shape}, expected (n, slots)")
        _expect(len(self.labels) == n, f"{n} images but {len(self.labels)} labels, expected as many of both")
        if n:
            highest = int(self.labels.max())
            _expect(
                highest < len(self.class_names),
                f"label {highest} found, expected 0 to {len(self.class_names) - 1} ({len(self.class_names)} classes)",
            )
        if self.boxes is not None:
            _expect(
                self.boxes.shape == (*self.labels.shape, 4) and self.boxes.dtype == np.float32,
                f"boxes are {self.boxes.dtype} {self.boxes.shape}, expected float32 {(*self.labels.shape, 4)}",
            )
            _expect(bool(np.isfinite(self.boxes).all()), "boxes hold NaN or infinity, expected finite pixels")
        if self.sources is not None:
            _expect(
                self.sources.dtype == np.int32 and self.sources.ndim == 2 and len(self.sources) == n,
                f"sources are {self.sources.dtype} {self.sources.shape}, expected int32 ({n}, k)",
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one picture."""
        return tuple(self.images.shape[1:])

    @property
    def slots(self) -> int:
        """Slots of one picture."""
        return self.labels.shape[1]

    @property
    def classes(self) -> int:
        """How many classes a slot can take."""
        return len(self.class_names)

    def take(self, index: np.ndarray | slice) -> "ImageSet":
        """The pictures at `index`, in that order."""
        return replace(
            self,
            images=self.images[index],
            labels=self.labels[index],
            boxes=None if self.boxes is None else self.boxes[index],
            sources=None if self.sources is None else self.sources[index],
        )

    def save(self, path: Path) -> None:
        """Write an uncompressed `.npz`; equal sets give equal bytes on every machine."""
        arrays = {
            "images": self.images,
            "labels": self.labels,
            "class_names": np.array(self.class_names),
            "origin": np.array(self.origin),
        }
        if self.boxes is not None:
            arrays["boxes"] = self.boxes
        if self.sources is not None:
            arrays["sources"] = self.sources
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> "ImageSet":
        """Read what `save` wrote; strips stored upright, (140, 28), are turned.

        Raises:
            DataError: the file is missing, is no such archive, holds Python objects, or breaks a rule of this class.
        """
        arrays = read_arrays(path)
        missing = {"images", "labels", "class_names", "origin"} - set(arrays)
        if missing:
            raise DataError(f"{path}: {', '.join(sorted(missing))} missing; it holds {', '.join(sorted(arrays))}")
        images, boxes = to_landscape(arrays["images"]), arrays.get("boxes")
        if boxes is not None and images.shape != arrays["images"].shape:
            x0, y0, x1, y1 = np.moveaxis(boxes, -1, 0)
            drawn = x1 > x0
            boxes = np.stack([y0, DIGIT - x1, y1, DIGIT - x0], axis=-1) * drawn[..., None]
        try:
            return cls(
                images=images,
                labels=arrays["labels"],
                class_names=tuple(str(name) for name in arrays["class_names"]),
                origin=str(arrays["origin"]),
                boxes=boxes,
                sources=arrays.get("sources"),
            )
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


def to_landscape(images: np.ndarray) -> np.ndarray:
    """Turn upright strips, (n, 140, 28, C) or (140, 28), a quarter turn counter-clockwise; leave others alone.

    The top of an upright strip becomes its left end, so the slots keep their order. Every reader of pictures calls
    this: orientation is decided nowhere else.
    """
    height, width = STRIP_SHAPE[:2]
    if images.ndim == 2 and images.shape == (width, height):
        return np.ascontiguousarray(np.rot90(images))
    if images.ndim == 4 and images.shape[1:3] == (width, height):
        return np.ascontiguousarray(np.rot90(images, axes=(1, 2)))
    return images


def _expect(condition: bool, complaint: str) -> None:
    if not condition:
        raise DataError(complaint)

"""Lines of digits, and pictures of any size with their digits and boxes, as arrays in memory and as `.npz` files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.files import read_arrays, write_arrays

LINE_HEIGHT = 32
LINE_WIDTH = 224
LINE_SHAPE = (LINE_HEIGHT, LINE_WIDTH, 1)
"""Of the picture of a line that a model reads: ink light on 0, at the left."""
LINE_SLOTS = 10
"""Slots of a line: the most digits it holds."""


@dataclass(frozen=True)
class Picture:
    """A grey picture of one line, of any size.

    Attributes:
        name: of its file.
        pixels: uint8 (height, width).
        digits: uint8 (n,), 0 to 9, from left to right.
        boxes: float32 (n, 4) of the digits' ink in pixels x0, y0, x1, y1; None where they are unknown.
    """

    name: str
    pixels: np.ndarray
    digits: np.ndarray
    boxes: np.ndarray | None = None


@dataclass(frozen=True)
class PictureSet:
    """Labelled pictures, each of its own size.

    Attributes:
        pictures: in the order of the file.
        origin: where they came from, as in `ImageSet`.
    """

    pictures: tuple[Picture, ...]
    origin: str

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Picture]:
        return iter(self.pictures)

    def take(self, index: Sequence[int] | range) -> "PictureSet":
        """The pictures at `index`, in that order."""
        return PictureSet(tuple(self.pictures[row] for row in index), self.origin)

    def save(self, path: Path) -> None:
        """Write an uncompressed `.npz`; equal sets give equal bytes on every machine."""
        arrays = {
            "names": np.array([picture.name for picture in self.pictures], np.str_),
            "shapes": np.array([picture.pixels.shape for picture in self.pictures], np.int32).reshape(-1, 2),
            "pixels": _joined([picture.pixels.ravel() for picture in self.pictures], np.uint8),
            "lengths": np.array([len(picture.digits) for picture in self.pictures], np.int32),
            "digits": _joined([picture.digits for picture in self.pictures], np.uint8),
            "origin": np.array(self.origin),
        }
        if any(picture.boxes is not None for picture in self.pictures):
            arrays["boxes"] = _joined([_stored(picture).ravel() for picture in self.pictures], np.float32)
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> "PictureSet":
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing or damaged, or its arrays contradict each other.
        """
        arrays = read_arrays(path)
        missing = {"names", "shapes", "pixels", "lengths", "digits", "origin"} - set(arrays)
        if missing:
            raise DataError(f"{path}: {', '.join(sorted(missing))} missing; it holds {', '.join(sorted(arrays))}")
        shapes, lengths = arrays["shapes"].astype(np.int64), arrays["lengths"].astype(np.int64)
        n, ends = len(arrays["names"]), np.cumsum(lengths)
        if not (
            shapes.shape == (n, 2)
            and lengths.shape == (n,)
            and shapes.prod(axis=1).sum() == arrays["pixels"].size
            and lengths.sum() == arrays["digits"].size
            and ("boxes" not in arrays or arrays["boxes"].size == 4 * lengths.sum())
        ):
            raise DataError(f"{path}: sizes that contradict each other; remove it and run again")
        pixels = np.split(arrays["pixels"], np.cumsum(shapes.prod(axis=1))[:-1])
        digits = np.split(arrays["digits"], ends[:-1])
        boxes = np.split(arrays["boxes"].reshape(-1, 4), ends[:-1]) if "boxes" in arrays else [None] * n
        rows = zip(arrays["names"], pixels, shapes, digits, boxes, strict=True) if n else ()
        return cls(
            tuple(
                Picture(str(name), values.reshape(shape), line, _known(corners))
                for name, values, shape, line, corners in rows
            ),
            str(arrays["origin"]),
        )


def _stored(picture: Picture) -> np.ndarray:
    """The boxes of a picture; NaN where they are unknown and those of other pictures are not."""
    return np.full((len(picture.digits), 4), np.nan, np.float32) if picture.boxes is None else picture.boxes


def _known(boxes: np.ndarray | None) -> np.ndarray | None:
    return None if boxes is None or np.isnan(boxes).any() else boxes


def _joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)

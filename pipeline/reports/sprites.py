"""Many pictures of one size as one PNG."""

import base64
import io
import math

import numpy as np
from PIL import Image


def columns_of(images: np.ndarray) -> int:
    """How many pictures, uint8 (n, H, W, C), stand side by side, so that the sprite is about square; at least 1."""
    n, height, width, _ = images.shape
    return max(1, round(math.sqrt(n * height / width)))


def png(images: np.ndarray, columns: int | None = None) -> bytes:
    """Tile pictures row by row into one PNG without metadata.

    Args:
        images: uint8 (n, H, W, C), C is 1 or 3; n is at least 1.
        columns: pictures in a row; None for `columns_of`.
    """
    n, height, width, channels = images.shape
    columns = columns or columns_of(images)
    rows = -(-n // columns)
    tiles = np.zeros((rows * columns, height, width, channels), np.uint8)
    tiles[:n] = images
    sheet = tiles.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    written = io.BytesIO()
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(written, "PNG", optimize=True)
    return written.getvalue()


def url(images: np.ndarray) -> str:
    """The PNG of `png` as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(png(images)).decode('ascii')}"

"""Bilinear interpolation of whole batches, at one place for every pixel of every picture."""

from typing import Literal

import numpy as np

Border = Literal["zero", "mirror", "reflect"]
"""What is beyond the picture: 0; `d c b | a b c d | c b a`; or `c b a | a b c d | d c b`."""
_PADDING: dict[str, Literal["reflect", "symmetric"]] = {"mirror": "reflect", "reflect": "symmetric"}


def sample(pictures: np.ndarray, rows: np.ndarray, columns: np.ndarray, border: Border) -> np.ndarray:
    """Each picture at its own places.

    Args:
        pictures: float (n, H, W, C).
        rows: float (n, H, W), in pixels; the centre of the first pixel is 0, 0.
        columns: float (n, H, W), too.
        border: what is beyond the picture.

    Returns:
        float64 (n, H, W, C).
    """
    n, height, width, channels = pictures.shape
    if border == "zero":
        margin = 1
        rows, columns = np.clip(rows, -1, height), np.clip(columns, -1, width)
        padded = np.pad(pictures, ((0, 0), (1, 2), (1, 2), (0, 0)))
    else:
        beyond = max(-rows.min(), rows.max() - height + 1, -columns.min(), columns.max() - width + 1, 0.0)
        margin = int(np.ceil(beyond)) + 1
        padded = np.pad(pictures, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode=_PADDING[border])
    line = padded.shape[2]
    flat = padded.reshape(n, -1, channels)
    rows, columns = rows + margin, columns + margin
    top, left = np.floor(rows).astype(np.intp), np.floor(columns).astype(np.intp)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    each = np.arange(n)[:, None, None]
    corner = top * line + left
    upper = flat[each, corner] * (1 - right) + flat[each, corner + 1] * right
    lower = flat[each, corner + line] * (1 - right) + flat[each, corner + line + 1] * right
    return upper * (1 - down) + lower * down


def affine(pictures: np.ndarray, matrices: np.ndarray, offsets: np.ndarray, border: Border) -> np.ndarray:
    """Move pictures: the pixel at x, y from the centre shows what was at `matrix @ (x, y) + offset` from the centre.

    Args:
        pictures: float (n, H, W, C).
        matrices: float (n, 2, 2).
        offsets: float (n, 2), x and y in pixels.
        border: what is beyond the picture.
    """
    height, width = pictures.shape[1:3]
    x = np.arange(width)[None, None] - (width - 1) / 2
    y = np.arange(height)[None, :, None] - (height - 1) / 2
    (a, b), (c, d) = np.moveaxis(matrices, 0, -1)[..., None, None]
    columns = a * x + b * y + offsets[:, 0, None, None] + (width - 1) / 2
    rows = c * x + d * y + offsets[:, 1, None, None] + (height - 1) / 2
    return sample(pictures, rows, columns, border)

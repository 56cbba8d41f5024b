"""What a convolutional network computes, written out in NumPy for one picture."""

from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Places at which a kernel fits along one side: floor((n + 2p - k) / s) + 1 (Dumoulin and Visin 2016, section 2.4).

    Args:
        size: n, values along the side.
        kernel: k, values the kernel covers; pooling windows count likewise.
        stride: s, values from one place to the next.
        padding: p, zeros put before the first value and after the last.

    Raises:
        ValueError: a number is out of its range, or the kernel is longer than the padded side.
    """
    if min(size, kernel, stride) < 1 or padding < 0:
        raise ValueError(
            f"size {size}, kernel {kernel}, stride {stride}, padding {padding}: expected at least 1, 1, 1 and 0"
        )
    if kernel > size + 2 * padding:
        raise ValueError(
            f"a kernel of {kernel} does not fit on {size} values padded by {padding}; expected at most "
            f"{size + 2 * padding}"
        )
    return (size + 2 * padding - kernel) // stride + 1


def convolve(maps: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Lay the kernel on every place where it fits; multiply, sum, add the bias.

    The kernel is not mirrored: what networks call convolution is the cross-correlation of signal processing.

    Args:
        maps: float (H, W, C).
        kernel: float (h, w, C, F).
        bias: float (F,).

    Returns:
        Float (H - h + 1, W - w + 1, F).
    """
    windows = sliding_window_view(maps, kernel.shape[:2], axis=(0, 1))
    return np.tensordot(windows, kernel, axes=([2, 3, 4], [2, 0, 1])) + bias


def relu(maps: np.ndarray) -> np.ndarray:
    """Negative values become zero."""
    return np.maximum(maps, 0)


def pool(maps: np.ndarray, how: Literal["max", "avg"]) -> np.ndarray:
    """The largest value, or the mean, of each 2×2 window: (H, W, C) -> (H // 2, W // 2, C); an odd edge is left out."""
    height, width = (output_size(side, kernel=2, stride=2) for side in maps.shape[:2])
    windows = maps[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1)
    return windows.max(axis=(1, 3)) if how == "max" else windows.mean(axis=(1, 3))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Rows that sum to 1 over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)

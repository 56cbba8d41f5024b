"""Blurs. Pictures are float (n, H, W, C) with values 0 to 1; the caller clips."""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage

_EXTENT = 8
"""Pixels from the middle of the kernel of a lens of at most this radius to its border."""


def gaussian(pictures: np.ndarray, rng: np.random.Generator, *, sigma: float, vertical: bool = False) -> np.ndarray:
    """A Gaussian of `sigma` pixels, cut off at 4 sigma; down the columns alone where `vertical`."""
    del rng
    return ndimage.gaussian_filter(pictures, (0, sigma, 0 if vertical else sigma, 0), mode="nearest", truncate=4.0)


def glass(
    pictures: np.ndarray,
    rng: np.random.Generator,
    *,
    sigma: float,
    reach: int,
    rounds: int,
    share: float = 1.0,
    copies: bool = False,
    vertical: bool = False,
) -> np.ndarray:
    """Blur, exchange pixels with near ones, and blur again.

    Args:
        pictures: to blur.
        rng: of the exchanges.
        sigma: of the Gaussians, in pixels.
        reach: the other pixel is 0 to `reach` pixels before this one, or less than `reach` behind it, in x and y.
        rounds: passes over the picture, from its last pixel to its first.
        share: of the pixels that are exchanged in a pass.
        copies: the near pixel keeps its value. The reference code of CIFAR-10-C does this: it exchanges views of an
            array of three channels, so that the second assignment reads what the first one wrote.
        vertical: of both Gaussians. The reference code of MNIST-C does this: it gives a grey picture as one with
            channels, and scikit-image takes its columns for them.
    """
    n, height, width, _ = pictures.shape
    blurred = gaussian(pictures, rng, sigma=sigma, vertical=vertical)
    # The pictures last but for the channels: then a pixel of all pictures is one block of memory.
    levels = np.ascontiguousarray((blurred * 255).astype(np.uint8).transpose(1, 2, 0, 3))
    each = np.arange(n)
    for _ in range(rounds):
        near = rng.integers(-reach, reach, (height, width, 2, n))
        moved = rng.random((height, width, n)) < share
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                pictures_here = each[moved[row - 1, column - 1]]
                down, right = near[row - 1, column - 1][:, pictures_here]
                here = levels[row, column, pictures_here]
                levels[row, column, pictures_here] = levels[row + down, column + right, pictures_here]
                if not copies:
                    levels[row + down, column + right, pictures_here] = here
    return gaussian(levels.transpose(2, 0, 1, 3) / 255, rng, sigma=sigma, vertical=vertical)


def motion(
    pictures: np.ndarray,
    rng: np.random.Generator,
    *,
    radius: float,
    sigma: float,
    angles: tuple[float, float] = (-45.0, 45.0),
) -> np.ndarray:
    """Smear to one side, as ImageMagick's motion blur does, along an angle that is drawn for each picture.

    Args:
        pictures: to blur.
        rng: of the angles.
        radius: the smear is 2 ⌈radius⌉ pixels long.
        sigma: of the half of a Gaussian that weighs its pixels.
        angles: least and greatest, in degrees; 0 is to the right.

    Returns:
        Whole grey levels, 1/255 apart: ImageMagick writes eight bits.
    """
    n, height, width, _ = pictures.shape
    steps = np.arange(2 * int(np.ceil(radius)) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    angle = np.deg2rad(rng.uniform(*angles, n))[:, None]
    right = np.ceil(steps * np.cos(angle) - 0.5).astype(int)
    down = np.ceil(steps * np.sin(angle) - 0.5).astype(int)
    each, total = np.arange(n)[:, None, None], np.zeros(pictures.shape)
    for step, weight in enumerate(weights / weights.sum()):
        rows = np.clip(np.arange(height) + down[:, step, None], 0, height - 1)
        columns = np.clip(np.arange(width) + right[:, step, None], 0, width - 1)
        total += weight * pictures[each, rows[:, :, None], columns[:, None, :]]
    return np.rint(total * 255) / 255


def defocus(pictures: np.ndarray, rng: np.random.Generator, *, radius: float, softness: float) -> np.ndarray:
    """Out of focus: a disk of `radius` pixels, whose edge is smoothed by a Gaussian of `softness` pixels."""
    del rng
    kernel = lens(radius, softness)
    return np.stack([cv2.filter2D(picture, -1, kernel).reshape(picture.shape) for picture in pictures])


def lens(radius: float, softness: float) -> np.ndarray:
    """The kernel of `defocus`, float32 (17, 17) up to a radius of 8 pixels; its sum is 1."""
    extent = _EXTENT if radius <= _EXTENT else int(radius)
    across = np.arange(-extent, extent + 1)
    disk = (across**2 + across[:, None] ** 2 <= radius**2).astype(np.float32)
    size = 3 if radius <= _EXTENT else 5
    return cv2.GaussianBlur(disk / disk.sum(), (size, size), sigmaX=softness)


def zoom(pictures: np.ndarray, rng: np.random.Generator, *, factors: Sequence[float]) -> np.ndarray:
    """The mean of the picture and of its middle, enlarged by each factor."""
    del rng
    total = pictures.copy()
    for factor in factors:
        total += enlarged(pictures, factor)
    return total / (len(factors) + 1)


def enlarged(pictures: np.ndarray, factor: float) -> np.ndarray:
    """The middle of pictures, float (n, H, W, C), enlarged to their size by bilinear interpolation; `factor` >= 1."""
    down, across = (_enlarging(side, factor) for side in pictures.shape[1:3])
    return np.einsum("ij,njwc,kw->nikc", down, pictures, across, optimize=True)


def _enlarging(side: int, factor: float) -> np.ndarray:
    """What enlarges the middle of a column of `side` pixels: float64 (side, side)."""
    cropped = int(np.ceil(side / factor))
    first = (side - cropped) // 2
    large = ndimage.zoom(np.eye(side)[first : first + cropped], (factor, 1), order=1)
    cut = (len(large) - side) // 2
    return large[cut : cut + side]

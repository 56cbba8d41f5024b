"""Corruptions that move pixels. Pictures are float (n, H, W, C) with values 0 to 1.

The angles are those of pictures of 28 pixels. A larger picture is turned or sheared by the angle at which the middles
of its sides move by as many pixels, since its digits would otherwise leave it: sin(angle) · 28 / side.
"""

import numpy as np
from scipy import ndimage

from pipeline.core.images import DIGIT
from pipeline.corruptions.sampling import affine, sample


def shear(pictures: np.ndarray, rng: np.random.Generator, *, angle: float) -> np.ndarray:
    """Lean to the left or to the right, by `angle` in radians; the height grows by 1 / cos(angle)."""
    lean = _sides(rng, len(pictures)) * _angle(angle, pictures.shape[1])
    one, none = np.ones_like(lean), np.zeros_like(lean)
    return _about_centre(pictures, one, -np.sin(lean), none, np.cos(lean))


def rotate(pictures: np.ndarray, rng: np.random.Generator, *, angle: float) -> np.ndarray:
    """Turn to the left or to the right, by `angle` in radians."""
    turn = _sides(rng, len(pictures)) * _angle(angle, max(pictures.shape[1:3]))
    return _about_centre(pictures, np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn))


def scale(pictures: np.ndarray, rng: np.random.Generator, *, factor: float) -> np.ndarray:
    """Make everything smaller by `factor`, above 1, around the centre."""
    del rng
    factors = np.full(len(pictures), factor)
    return _about_centre(pictures, factors, 0 * factors, 0 * factors, factors)


def translate(pictures: np.ndarray, rng: np.random.Generator, *, pixels: int) -> np.ndarray:
    """Move by so many pixels, to the left or to the right, and up or down."""
    n = len(pictures)
    offsets = pixels * np.stack([_sides(rng, n), _sides(rng, n)], axis=1).astype(float)
    return affine(pictures, np.tile(np.eye(2), (n, 1, 1)), offsets, "zero")


def elastic(
    pictures: np.ndarray, rng: np.random.Generator, *, strength: float, sigma: float, jump: float
) -> np.ndarray:
    """A random affine map, and then a smooth random displacement (Simard, Steinkraus and Platt 2003).

    Args:
        pictures: to bend; all other arguments are shares of their height.
        rng: of both.
        strength: by which the smoothed displacements are multiplied.
        sigma: of the Gaussian that smooths them, which is cut off at 3 sigma.
        jump: by which each of three points around the centre moves at most, in x and y.
    """
    n, height, width, _ = pictures.shape
    centre, side = np.array([width // 2, height // 2], float), min(height, width) // 3
    before = centre + side * np.array([[1, 1], [1, -1], [-1, -1]], float)
    after = before + rng.uniform(-jump * height, jump * height, (n, 3, 2))
    # What leads each point back: the pixel at `after` shows what was at `before`.
    homogeneous = np.concatenate([after, np.ones((n, 3, 1))], axis=2)
    back = np.linalg.solve(homogeneous, np.broadcast_to(before, (n, 3, 2)))
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    places = np.stack([x, y, np.ones_like(x)], axis=-1) @ back[:, None]
    moved = sample(pictures, places[..., 1], places[..., 0], "mirror")
    right, down = (
        strength
        * height
        * ndimage.gaussian_filter(
            rng.uniform(-1, 1, (n, height, width)), (0, sigma * height, sigma * height), mode="reflect", truncate=3
        )
        for _ in range(2)
    )
    return sample(moved, y + down, x + right, "reflect")


def _sides(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.choice([-1, 1], n)


def _angle(angle: float, side: int) -> float:
    return angle if side == DIGIT else float(np.arcsin(np.sin(angle) * DIGIT / side))


def _about_centre(pictures: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    matrices = np.stack([np.stack([a, b], axis=1), np.stack([c, d], axis=1)], axis=1)
    return affine(pictures, matrices, np.zeros((len(pictures), 2)), "zero")

"""Noise of every pixel and channel. Pictures are float (n, H, W, C) with values 0 to 1; the caller clips."""

import numpy as np


def gaussian(pictures: np.ndarray, rng: np.random.Generator, *, deviation: float) -> np.ndarray:
    """Add normal noise of a standard deviation."""
    return pictures + rng.normal(scale=deviation, size=pictures.shape)


def shot(pictures: np.ndarray, rng: np.random.Generator, *, photons: float) -> np.ndarray:
    """Count photons: Poisson noise, where white has so many on average."""
    return rng.poisson(pictures * photons) / photons


def impulse(pictures: np.ndarray, rng: np.random.Generator, *, amount: float) -> np.ndarray:
    """Salt and pepper: a share of all values becomes 0 or 1, each with probability 1/2."""
    hit = rng.random(pictures.shape) < amount
    return np.where(hit, rng.random(pictures.shape) < 0.5, pictures)


def speckle(pictures: np.ndarray, rng: np.random.Generator, *, deviation: float) -> np.ndarray:
    """Add normal noise in proportion to each value."""
    return pictures * (1 + rng.normal(scale=deviation, size=pictures.shape))

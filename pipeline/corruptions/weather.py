"""Fog, snow and spatter. Pictures are float (n, H, W, C) with values 0 to 1; the caller clips."""

import cv2
import numpy as np
from scipy import ndimage

from pipeline.corruptions import blurs

MUD = (63 / 255, 42 / 255, 20 / 255)
WATER = (175 / 255, 238 / 255, 238 / 255)
_LUMA = (0.299, 0.587, 0.114)
_CHUNK = 64
"""Pictures of whose fog a map is in memory at once."""


def fog(pictures: np.ndarray, rng: np.random.Generator, *, strength: float, decay: float, smallest: int) -> np.ndarray:
    """Add a plasma fractal, and scale back to the brightest value that each picture had.

    Args:
        pictures: to cover.
        rng: of the fractal.
        strength: by which it is multiplied.
        decay: of its roughness from one step to half of it.
        smallest: side of its map at least, a power of two; the picture shows the map's corner.
    """
    height, width = pictures.shape[1:3]
    size = max(smallest, 2 ** int(np.ceil(np.log2(max(height, width)))))
    brightest = pictures.max(axis=(1, 2, 3), keepdims=True)
    parts = [
        plasma(len(pictures[start : start + _CHUNK]), size, decay, rng)[:, :height, :width]
        for start in range(0, len(pictures), _CHUNK)
    ]
    foggy = pictures + strength * np.concatenate(parts)[..., None]
    return foggy * brightest / (brightest + strength)


def plasma(n: int, size: int, decay: float, rng: np.random.Generator) -> np.ndarray:
    """Height maps by the diamond-square algorithm (Fournier, Fussell and Carpenter 1982), on a torus.

    Args:
        n: maps.
        size: of a side, a power of two.
        decay: by which the random part is divided at each step.
        rng: of the random part.

    Returns:
        float64 (n, size, size), each from 0 to 1.
    """
    heights = np.zeros((n, size, size))
    step, rough = size, 100.0

    def disturbed(total: np.ndarray) -> np.ndarray:
        return total / 4 + rough * rng.uniform(-rough, rough, total.shape)

    while step >= 2:
        half = step // 2
        corners = heights[:, ::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=1)
        heights[:, half::step, half::step] = disturbed(pairs + np.roll(pairs, -1, axis=2))
        centres = heights[:, half::step, half::step]
        beside = corners + np.roll(corners, -1, axis=2)
        heights[:, ::step, half::step] = disturbed(centres + np.roll(centres, 1, axis=1) + beside)
        below = corners + np.roll(corners, -1, axis=1)
        heights[:, half::step, ::step] = disturbed(centres + np.roll(centres, 1, axis=2) + below)
        step, rough = half, rough / decay
    heights -= heights.min(axis=(1, 2), keepdims=True)
    return heights / heights.max(axis=(1, 2), keepdims=True)


def snow(
    pictures: np.ndarray,
    rng: np.random.Generator,
    *,
    mean: float,
    deviation: float,
    zoom: float,
    threshold: float,
    radius: float,
    sigma: float,
    kept: float,
) -> np.ndarray:
    """Whiten colour pictures, and let flakes fall across them, and across them upside down.

    Args:
        pictures: with three channels.
        rng: of flakes and their direction.
        mean: of the normal noise that flakes are made of.
        deviation: its standard deviation.
        zoom: by which it is enlarged.
        threshold: below which there is no flake.
        radius: of the motion blur of the flakes, along an angle that falls.
        sigma: of that blur.
        kept: share of the picture that is not whitened.
    """
    flakes = blurs.enlarged(rng.normal(mean, deviation, (*pictures.shape[:3], 1)), zoom)
    levels = np.floor(np.clip(np.where(flakes < threshold, 0, flakes), 0, 1) * 255) / 255
    layer = blurs.motion(levels, rng, radius=radius, sigma=sigma, angles=(-135.0, -45.0))
    grey = pictures @ np.array(_LUMA)
    white = kept * pictures + (1 - kept) * np.maximum(pictures, grey[..., None] * 1.5 + 0.5)
    return white + layer + np.rot90(layer, 2, axes=(1, 2))


def spatter(
    pictures: np.ndarray,
    rng: np.random.Generator,
    *,
    mean: float,
    deviation: float,
    sigma: float,
    threshold: float,
    amount: float,
    mud: bool,
) -> np.ndarray:
    """Drops of mud, or of water on colour pictures.

    Args:
        pictures: to cover; grey ones get mud of the red channel's level.
        rng: of the drops.
        mean: of the normal noise that drops are made of.
        deviation: its standard deviation.
        sigma: of the Gaussian that smooths it, in pixels.
        threshold: above which there is liquid.
        amount: of mud, the sigma of the Gaussian that smooths its edge; of water, its opacity.
        mud: whether it is mud.
    """
    noise = rng.normal(mean, deviation, pictures.shape[:3])
    liquid = ndimage.gaussian_filter(noise, (0, sigma, sigma), mode="nearest")
    if mud:
        cover = ndimage.gaussian_filter((liquid > threshold).astype(float), (0, amount, amount), mode="nearest")
        cover = np.where(cover < 0.8, 0, cover)[..., None]
        return pictures * (1 - cover) + cover * np.array(MUD[: pictures.shape[-1]])
    drops = np.stack([_drops(np.where(each < threshold, 0, each)) for each in liquid])
    return pictures + amount * drops[..., None] * np.array(WATER)


def _drops(liquid: np.ndarray) -> np.ndarray:
    """The light that drops of water catch, float32 (H, W), 0 to 1: bright inside, darker towards one edge.

    The steps and their constants are those of the reference code (Hendrycks and Dietterich 2019).
    """
    levels = (np.clip(liquid, 0, 1) * 255).astype(np.uint8)
    distance = cv2.distanceTransform(255 - cv2.Canny(levels, 50, 150), cv2.DIST_L2, 5)
    near = cv2.equalizeHist(cv2.blur(np.minimum(distance, 20), (3, 3)).astype(np.uint8))
    relief = cv2.filter2D(near, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32))
    light = levels * cv2.blur(relief, (3, 3)).astype(np.float32)
    return light / max(float(light.max()), 1.0)

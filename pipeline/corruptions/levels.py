"""Corruptions of grey levels, of colours, and of storage. Pictures are float (n, H, W, C) with values 0 to 1."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from skimage import color


def brightness(pictures: np.ndarray, rng: np.random.Generator, *, added: float) -> np.ndarray:
    """Raise the value of HSV; of a grey picture this is its grey level."""
    del rng
    if pictures.shape[-1] == 1:
        return pictures + added
    hue, saturation, value = np.moveaxis(color.rgb2hsv(pictures), -1, 0)
    return color.hsv2rgb(np.stack([hue, saturation, np.clip(value + added, 0, 1)], axis=-1))


def saturate(pictures: np.ndarray, rng: np.random.Generator, *, factor: float, added: float) -> np.ndarray:
    """Multiply the saturation of HSV, and add to it; the hue of a grey pixel is red."""
    del rng
    hue, saturation, value = np.moveaxis(color.rgb2hsv(pictures), -1, 0)
    return color.hsv2rgb(np.stack([hue, np.clip(saturation * factor + added, 0, 1), value], axis=-1))


def contrast(pictures: np.ndarray, rng: np.random.Generator, *, kept: float) -> np.ndarray:
    """Draw every channel towards its mean, of whose distance a share is kept."""
    del rng
    means = pictures.mean(axis=(1, 2), keepdims=True)
    return (pictures - means) * kept + means


def jpeg(pictures: np.ndarray, rng: np.random.Generator, *, quality: int) -> np.ndarray:
    """Write as JPEG of a quality, and read again."""
    del rng

    def coded(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(pictures, coded)


def pixelate(pictures: np.ndarray, rng: np.random.Generator, *, kept: float) -> np.ndarray:
    """Reduce to a share of the pixels of each side, by the mean of each box, and enlarge again."""
    del rng

    def coarse(picture: Image.Image) -> Image.Image:
        small = picture.resize((int(picture.width * kept), int(picture.height * kept)), Image.Resampling.BOX)
        return small.resize(picture.size, Image.Resampling.BOX)

    return _each(pictures, coarse)


def _each(pictures: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    levels = np.rint(pictures * 255).astype(np.uint8)
    if levels.shape[-1] == 1:
        levels = levels[..., 0]
    changed = np.stack([np.asarray(change(Image.fromarray(each))) for each in levels])
    return changed.reshape(pictures.shape) / 255

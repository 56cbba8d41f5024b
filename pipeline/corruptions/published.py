"""The published sets of corruptions: names, severities and parameters, as the reference code has them.

MNIST-C (Mu and Gilmer 2019, "MNIST-C: a robustness benchmark for computer vision", github.com/google-research/mnist-c)
has fifteen corruptions of grey digits, each at one severity. CIFAR-10-C (Hendrycks and Dietterich 2019, "Benchmarking
neural network robustness to common corruptions and perturbations", github.com/hendrycks/robustness, make_cifar_c.py)
has nineteen of colour pictures, each at five. Its `frost` needs photographs of frost, and is left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np

from pipeline.core.errors import DataError
from pipeline.corruptions import blurs, geometry, levels, noise, strokes, weather
from pipeline.corruptions.sets import IDENTITY

LEFT_OUT = {"frost": "it needs photographs of frost, which are not part of this project"}
"""What is published and missing here, and why."""


@dataclass(frozen=True)
class Corruption:
    """One corruption at one severity.

    Attributes:
        name: as published.
        severity: 1 to 5, as published; 1 where the publication has no severities, 0 for the pictures as they are.
        function: takes pictures, float (n, H, W, C) with values 0 to 1, and a generator; returns such pictures, which
            may leave 0 to 1.
        parameters: keyword arguments of it.
    """

    name: str
    severity: int
    function: Callable[..., np.ndarray]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, images: np.ndarray, seed: int) -> np.ndarray:
        """Corrupt pictures. Equal arguments give equal bytes.

        Args:
            images: uint8 (n, H, W, C).
            seed: of all draws; every corruption and severity draws its own numbers.

        Returns:
            uint8 (n, H, W, C). Fractions of a grey level are cut off, as the reference code does.

        Raises:
            DataError: the pictures are not uint8 (n, H, W, C), or there is none.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
            raise DataError(f"pictures are {images.dtype} {images.shape}, expected uint8 (n, height, width, channels)")
        if self.name == IDENTITY:
            return images.copy()
        rng = np.random.default_rng([seed, crc32(self.name.encode()), self.severity])
        corrupted = self.function(images / 255, rng, **self.parameters)
        # What was a whole level must not lose one to rounding.
        return np.floor(np.clip(corrupted, 0, 1) * 255 + 1e-6).astype(np.uint8)


def _unchanged(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del rng
    return pictures


_GLASS = {"share": 0.5, "vertical": True}
MNIST_C = (
    Corruption("shot_noise", 5, noise.shot, {"photons": 3}),
    Corruption("impulse_noise", 4, noise.impulse, {"amount": 0.17}),
    Corruption("glass_blur", 1, blurs.glass, {"sigma": 0.7, "reach": 1, "rounds": 2, **_GLASS}),
    Corruption("motion_blur", 1, blurs.motion, {"radius": 10, "sigma": 3}),
    Corruption("shear", 2, geometry.shear, {"angle": 0.4}),
    Corruption("scale", 3, geometry.scale, {"factor": 1 / 0.7}),
    Corruption("rotate", 2, geometry.rotate, {"angle": 0.4}),
    Corruption("brightness", 5, levels.brightness, {"added": 0.5}),
    Corruption("translate", 3, geometry.translate, {"pixels": 3}),
    Corruption("stripe", 1, strokes.stripe),
    Corruption("fog", 5, weather.fog, {"strength": 3.0, "decay": 1.4, "smallest": 256}),
    Corruption(
        "spatter",
        4,
        weather.spatter,
        {"mean": 0.65, "deviation": 0.3, "sigma": 1, "threshold": 0.65, "amount": 1.5, "mud": True},
    ),
    Corruption("dotted_line", 1, strokes.dotted_line),
    Corruption("zigzag", 1, strokes.zigzag),
    Corruption("canny_edges", 1, strokes.canny_edges),
)
"""Of single digits, 28×28. Larger grey pictures have the same parameters in pixels and levels; `geometry` says what
angles become. Light ink on black is what they were made for."""


def _five(name: str, function: Callable[..., np.ndarray], **columns: Sequence[Any]) -> tuple[Corruption, ...]:
    rows = zip(*columns.values(), strict=True)
    return tuple(
        Corruption(name, severity, function, dict(zip(columns, row, strict=True)))
        for severity, row in enumerate(rows, 1)
    )


CIFAR10_C = (
    *_five("gaussian_noise", noise.gaussian, deviation=(0.04, 0.06, 0.08, 0.09, 0.10)),
    *_five("shot_noise", noise.shot, photons=(500, 250, 100, 75, 50)),
    *_five("impulse_noise", noise.impulse, amount=(0.01, 0.02, 0.03, 0.05, 0.07)),
    *_five(
        "defocus_blur",
        blurs.defocus,
        radius=(0.3, 0.4, 0.5, 1, 1.5),
        softness=(0.4, 0.5, 0.6, 0.2, 0.1),
    ),
    *_five(
        "glass_blur",
        blurs.glass,
        sigma=(0.05, 0.25, 0.4, 0.25, 0.4),
        reach=(1, 1, 1, 1, 1),
        rounds=(1, 1, 1, 2, 2),
        copies=(True,) * 5,
    ),
    *_five("motion_blur", blurs.motion, radius=(6, 6, 6, 8, 9), sigma=(1, 1.5, 2, 2, 2.5)),
    *_five(
        "zoom_blur", blurs.zoom, factors=[np.arange(1, end, 0.01).tolist() for end in (1.06, 1.11, 1.16, 1.21, 1.26)]
    ),
    *_five(
        "snow",
        weather.snow,
        mean=(0.1, 0.1, 0.15, 0.25, 0.3),
        deviation=(0.2, 0.2, 0.3, 0.3, 0.3),
        zoom=(1, 1, 1.75, 2.25, 1.25),
        threshold=(0.6, 0.5, 0.55, 0.6, 0.65),
        radius=(8, 10, 10, 12, 14),
        sigma=(3, 4, 4, 6, 12),
        kept=(0.95, 0.9, 0.9, 0.85, 0.8),
    ),
    *_five("fog", weather.fog, strength=(0.2, 0.5, 0.75, 1, 1.5), decay=(3, 3, 2.5, 2, 1.75), smallest=(32,) * 5),
    *_five("brightness", levels.brightness, added=(0.05, 0.1, 0.15, 0.2, 0.3)),
    *_five("contrast", levels.contrast, kept=(0.75, 0.5, 0.4, 0.3, 0.15)),
    *_five(
        "elastic_transform",
        geometry.elastic,
        strength=(0, 0.05, 0.08, 0.1, 0.1),
        sigma=(0, 0.2, 0.06, 0.04, 0.03),
        jump=(0.08, 0.07, 0.06, 0.05, 0.03),
    ),
    *_five("pixelate", levels.pixelate, kept=(0.95, 0.9, 0.85, 0.75, 0.65)),
    *_five("jpeg_compression", levels.jpeg, quality=(80, 65, 58, 50, 40)),
    *_five("speckle_noise", noise.speckle, deviation=(0.06, 0.1, 0.12, 0.16, 0.2)),
    *_five("gaussian_blur", blurs.gaussian, sigma=(0.4, 0.6, 0.7, 0.8, 1)),
    *_five(
        "spatter",
        weather.spatter,
        mean=(0.62, 0.65, 0.65, 0.65, 0.65),
        deviation=(0.1, 0.1, 0.3, 0.1, 0.1),
        sigma=(0.7, 0.8, 1, 0.7, 0.5),
        threshold=(0.7, 0.7, 0.69, 0.69, 0.68),
        amount=(0.5, 0.5, 0.5, 0.6, 0.6),
        mud=(False, False, False, True, True),
    ),
    *_five("saturate", levels.saturate, factor=(0.3, 0.1, 1.5, 2, 2.5), added=(0, 0, 0, 0.1, 0.2)),
)
"""Of colour pictures, 32×32."""


def corruptions(channels: int) -> tuple[Corruption, ...]:
    """What there is for pictures of 1 or 3 channels: the pictures as they are, then MNIST-C or CIFAR-10-C."""
    return (Corruption(IDENTITY, 0, _unchanged), *(MNIST_C if channels == 1 else CIFAR10_C))

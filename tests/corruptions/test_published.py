"""Every published corruption against its specification: parameters, bytes, draws, and how severity grows."""

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.corruptions.published import CIFAR10_C, IDENTITY, MNIST_C, corruptions

PUBLISHED_MNIST_C = {
    "shot_noise": (5, {"photons": 3}),
    "impulse_noise": (4, {"amount": 0.17}),
    "glass_blur": (1, {"sigma": 0.7, "reach": 1, "rounds": 2}),
    "motion_blur": (1, {"radius": 10, "sigma": 3}),
    "shear": (2, {"angle": 0.4}),
    "scale": (3, {"factor": 1 / 0.7}),
    "rotate": (2, {"angle": 0.4}),
    "brightness": (5, {"added": 0.5}),
    "translate": (3, {"pixels": 3}),
    "stripe": (1, {}),
    "fog": (5, {"strength": 3.0, "decay": 1.4, "smallest": 256}),
    "spatter": (4, {"mean": 0.65, "deviation": 0.3, "sigma": 1, "threshold": 0.65, "amount": 1.5, "mud": True}),
    "dotted_line": (1, {}),
    "zigzag": (1, {}),
    "canny_edges": (1, {}),
}
"""The defaults of corruptions.py of google-research/mnist-c, with which the set was made."""
PUBLISHED_CIFAR10_C = {
    "gaussian_noise": [(0.04,), (0.06,), (0.08,), (0.09,), (0.10,)],
    "shot_noise": [(500,), (250,), (100,), (75,), (50,)],
    "impulse_noise": [(0.01,), (0.02,), (0.03,), (0.05,), (0.07,)],
    "defocus_blur": [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)],
    "glass_blur": [(0.05, 1, 1, True), (0.25, 1, 1, True), (0.4, 1, 1, True), (0.25, 1, 2, True), (0.4, 1, 2, True)],
    "motion_blur": [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)],
    "snow": [
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ],
    "fog": [(0.2, 3, 32), (0.5, 3, 32), (0.75, 2.5, 32), (1, 2, 32), (1.5, 1.75, 32)],
    "brightness": [(0.05,), (0.1,), (0.15,), (0.2,), (0.3,)],
    "contrast": [(0.75,), (0.5,), (0.4,), (0.3,), (0.15,)],
    "elastic_transform": [(0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)],
    "pixelate": [(0.95,), (0.9,), (0.85,), (0.75,), (0.65,)],
    "jpeg_compression": [(80,), (65,), (58,), (50,), (40,)],
    "speckle_noise": [(0.06,), (0.1,), (0.12,), (0.16,), (0.2,)],
    "gaussian_blur": [(0.4,), (0.6,), (0.7,), (0.8,), (1,)],
    "spatter": [
        (0.62, 0.1, 0.7, 0.7, 0.5, False),
        (0.65, 0.1, 0.8, 0.7, 0.5, False),
        (0.65, 0.3, 1, 0.69, 0.5, False),
        (0.65, 0.1, 0.7, 0.69, 0.6, True),
        (0.65, 0.1, 0.5, 0.68, 0.6, True),
    ],
    "saturate": [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)],
}
"""Of make_cifar_c.py of hendrycks/robustness, without `zoom_blur` and `frost`. Its sizes are shares of 32 pixels."""
STEADY = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "defocus_blur", "gaussian_blur", "zoom_blur"),
    *("fog", "brightness", "contrast", "pixelate", "jpeg_compression", "snow"),
)
"""Corruptions of CIFAR-10-C whose pictures depart from the original with every severity."""


def digits(n=6, shape=(28, 28)):
    """Bright bars on black, uint8 (n, H, W, 1)."""
    height, width = shape
    images = np.zeros((n, height, width, 1), np.uint8)
    for number, image in enumerate(images):
        image[height // 4 : 3 * height // 4, 8 + number : 12 + number] = 200 + number
    return images


def photographs(n=6):
    """Smooth colours with an edge, uint8 (n, 32, 32, 3)."""
    y, x = np.mgrid[0:32, 0:32] / 31
    waves = np.stack([np.sin(3 * x + y), np.cos(2 * y), np.sin(4 * x * y)], axis=-1) * 0.35 + 0.5
    images = np.stack([np.roll(waves, 3 * number, axis=1) for number in range(n)])
    images[:, 10:20, 12:22] *= 0.5
    return (images * 255).astype(np.uint8)


def test_the_severities_and_parameters_of_mnist_c_are_the_published_ones():
    found = {each.name: (each.severity, each.parameters) for each in MNIST_C}
    assert list(found) == list(PUBLISHED_MNIST_C)
    for name, (severity, parameters) in PUBLISHED_MNIST_C.items():
        assert found[name][0] == severity
        assert found[name][1].items() >= parameters.items()


def test_the_parameters_of_cifar10_c_are_the_published_ones():
    found = {}
    for each in CIFAR10_C:
        assert each.severity == len(found.setdefault(each.name, [])) + 1
        found[each.name].append(tuple(each.parameters.values()))
    factors = [rows[0] for rows in found.pop("zoom_blur")]
    assert [len(each) for each in factors] == [7, 12, 16, 21, 26], "as np.arange has them, with some of the ends"
    assert found == PUBLISHED_CIFAR10_C
    assert {each.name for each in CIFAR10_C} == {*found, "zoom_blur"}


@pytest.mark.parametrize(
    ("images", "channels"),
    [
        pytest.param(digits(), 1, id="digits"),
        pytest.param(digits(4, (28, 140)), 1, id="strips"),
        pytest.param(digits(2, (112, 112)), 1, id="scenes"),
        pytest.param(digits(2, (32, 224)), 1, id="lines"),
        pytest.param(photographs(), 3, id="photographs"),
    ],
)
def test_equal_seeds_give_equal_bytes_in_the_shape_of_the_pictures(images, channels):
    before = images.copy()
    for corruption in corruptions(channels):
        once, again = corruption(images, seed=3), corruption(images, seed=3)
        assert once.dtype == np.uint8
        assert once.shape == images.shape
        assert np.array_equal(once, again), corruption
        assert np.array_equal(once, images) == (corruption.name == IDENTITY), corruption
    assert np.array_equal(images, before), "the pictures that were given are as they were"


@pytest.mark.parametrize("name", ["shot_noise", "glass_blur", "motion_blur", "fog", "spatter", "zigzag", "rotate"])
def test_another_seed_draws_other_numbers(name):
    corruption = next(each for each in MNIST_C if each.name == name)
    assert not np.array_equal(corruption(digits(), seed=3), corruption(digits(), seed=4))


@pytest.mark.parametrize("name", STEADY)
def test_a_higher_severity_departs_further_from_the_picture(name):
    images = photographs()
    distances = [np.abs(each(images, seed=1).astype(float) - images).mean() for each in CIFAR10_C if each.name == name]
    assert len(distances) == 5
    assert np.all(np.diff(distances) > 0)


def test_a_whole_level_is_kept():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    stripe = next(each for each in MNIST_C if each.name == "stripe")
    assert np.array_equal(stripe(levels, seed=0)[:, :, 4:12], levels[:, :, 4:12])
    assert np.array_equal(stripe(levels, seed=0)[:, :, :4], 255 - levels[:, :, :4])


@pytest.mark.parametrize("images", [np.zeros((2, 28, 28), np.uint8), np.zeros((2, 28, 28, 1)), digits(0)])
def test_other_arrays_are_refused(images):
    with pytest.raises(DataError, match="uint8"):
        MNIST_C[0](images, seed=0)

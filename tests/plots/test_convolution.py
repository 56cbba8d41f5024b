"""The arithmetic of a convolutional network in NumPy, against Keras."""

import itertools

import keras
import numpy as np
import pytest

from pipeline.plots import convolution


@pytest.mark.parametrize("padding", range(3))
@pytest.mark.parametrize("stride", range(1, 5))
@pytest.mark.parametrize("kernel", range(1, 7))
def test_the_size_formula_is_that_of_keras(kernel, stride, padding):
    for size in range(max(1, kernel - 2 * padding), 20):
        wide = keras.layers.ZeroPadding2D(padding).compute_output_shape((1, size, size, 1))
        expected = convolution.output_size(size, kernel, stride, padding)
        assert keras.layers.Conv2D(2, kernel, strides=stride).compute_output_shape(wide)[1] == expected
        assert keras.layers.MaxPooling2D(kernel, strides=stride).compute_output_shape(wide)[1] == expected


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_same_padding_is_half_the_kernel(kernel):
    for size, stride in itertools.product(range(1, 20), range(1, 5)):
        same = keras.layers.Conv2D(2, kernel, strides=stride, padding="same")
        expected = convolution.output_size(size, kernel, stride, padding=kernel // 2)
        assert same.compute_output_shape((1, size, size, 1))[1] == expected


@pytest.mark.parametrize("arguments", [(2, 5, 1, 1), (2, 1, 0, 0), (0, 1, 1, 0), (2, 1, 1, -1)])
def test_sizes_that_do_not_fit_are_an_error(arguments):
    with pytest.raises(ValueError, match=f"{arguments[0]}"):
        convolution.output_size(*arguments)


def test_the_arithmetic_is_that_of_keras():
    random = np.random.default_rng(0)
    maps = random.normal(size=(9, 11, 3)).astype(np.float32)
    layer = keras.layers.Conv2D(4, (3, 2), bias_initializer="normal")
    expected = layer(maps[None])[0]
    ours = convolution.convolve(maps, *(np.asarray(weight) for weight in layer.get_weights()))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    for how, kind in (("max", keras.layers.MaxPooling2D), ("avg", keras.layers.AveragePooling2D)):
        np.testing.assert_allclose(convolution.pool(maps, how), kind(2)(maps[None])[0], atol=1e-6)


def test_softmax_sums_to_1():
    rows = convolution.softmax(np.array([[1000.0, 0.0], [0.0, 0.0]]))
    assert rows.tolist() == [[1, 0], [0.5, 0.5]]

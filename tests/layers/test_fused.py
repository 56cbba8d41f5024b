"""Batch normalization in one kernel is Keras's, but for rounding."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pipeline.layers import FusedBatchNormalization
from pipeline.layers.fused import BLOCK
from pipeline.training import models

SHAPES = [(64, 3), (16, 9, 3), (8, 5, 7, 3)]


def _pair(shape: tuple[int, ...], **options) -> tuple[layers.Layer, layers.Layer]:
    """Keras's layer and ours with the same weights, none of them at its first value."""
    random = np.random.default_rng(3)
    both = layers.BatchNormalization(momentum=0.8, **options), FusedBatchNormalization(momentum=0.8, **options)
    for layer in both:
        layer.build(shape)
    weights = [random.uniform(0.5, 2, weight.shape).astype(np.float32) for weight in both[0].weights]
    for layer in both:
        layer.set_weights(weights)
    return both


def _learnt(layer: layers.Layer, inputs: np.ndarray, **options) -> list[np.ndarray]:
    """What a step in training makes: the output, the gradients of input and parameters, the moving statistics."""
    x = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = layer(x, training=True, **options)
        loss = tf.reduce_sum(tf.sin(tf.cast(out, tf.float32)))
    gradients = tape.gradient(loss, [x, *layer.trainable_variables])
    return [np.asarray(part) for part in (out, *gradients, *layer.weights)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_is_keras_s(shape):
    keras_s, ours = _pair(shape)
    inputs = np.random.default_rng(4).normal(1, 3, shape).astype(np.float32)
    for expected, found in zip(_learnt(keras_s, inputs), _learnt(ours, inputs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("channels", [3, BLOCK])
def test_in_bfloat16_the_parameters_stay_in_float32(channels):
    keras_s, ours = _pair((8, 5, 7, channels), dtype="mixed_bfloat16")
    inputs = np.random.default_rng(4).normal(1, 3, (8, 5, 7, channels)).astype(np.float32)
    for expected, found in zip(_learnt(keras_s, inputs), _learnt(ours, inputs), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found.astype(np.float32), expected.astype(np.float32), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("layer_is", ["read with", "frozen", "without a scale", "over another axis", "masked"])
def test_what_the_kernel_cannot_do_is_keras_s_to_the_bit(layer_is):
    shape = (8, 5, 3)
    options = {"without a scale": {"scale": False}, "over another axis": {"axis": 1}}.get(layer_is, {})
    keras_s, ours = _pair(shape, **options)
    inputs = np.random.default_rng(4).normal(1, 3, shape).astype(np.float32)
    given = {"mask": tf.constant(np.arange(40).reshape(8, 5) % 3 > 0)} if layer_is == "masked" else {}
    for layer in (keras_s, ours):
        layer.trainable = layer_is != "frozen"
    expected, found = (
        np.asarray(layer(inputs, training=layer_is != "read with", **given)) for layer in (keras_s, ours)
    )
    assert np.array_equal(found, expected)
    assert all(np.array_equal(*pair) for pair in zip(ours.get_weights(), keras_s.get_weights(), strict=True))


def test_a_saved_model_reads_the_same(tmp_path):
    pictures = keras.Input((5, 7, 3))
    model = keras.Model(pictures, FusedBatchNormalization()(pictures))
    inputs = np.random.default_rng(4).normal(1, 3, (8, 5, 7, 3)).astype(np.float32)
    model(inputs, training=True)
    models.save(model, tmp_path / "model.keras")
    assert np.array_equal(models.load(tmp_path / "model.keras")(inputs), model(inputs))

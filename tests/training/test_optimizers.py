"""Which parameters Muon takes, what its step is, and which strategies may choose it."""

import keras
import numpy as np
import pytest
from keras import layers

from pipeline.config.types import Recipe
from pipeline.core.errors import ConfigurationError
from pipeline.core.images import DIGIT_NAMES, ImageSet
from pipeline.training import loop, optimizers

RATE = 0.01


@pytest.fixture
def stepped():
    """A small network, its weights before and after one step of Muon, by path, and the rate of that step."""
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="conv")(images)
    x = layers.Dense(5, name="dense")(layers.Flatten()(layers.BatchNormalization(name="norm")(x)))
    model = keras.Model(images, layers.Dense(8, name="logits")(x))
    optimizer = optimizers.muon(Recipe(epochs=1, batch=16, learning_rate=RATE), 100)
    model.compile(optimizer, "mse")
    before = {weight.path: weight.numpy() for weight in model.trainable_variables}
    random = np.random.default_rng(1)
    model.train_on_batch(random.normal(size=(16, 8, 8, 3)), random.normal(size=(16, 8)))
    after = {weight.path: weight.numpy() for weight in model.trainable_variables}
    return {path: after[path] - before[path] for path in before}, RATE / 10


@pytest.mark.parametrize(("path", "rows"), [("conv/kernel", 27), ("dense/kernel", 216)])
def test_a_step_of_a_kernel_is_nearly_orthogonal_and_of_the_size_of_adam_s(stepped, path, rows):
    steps, rate = stepped
    step = steps[path].reshape(rows, -1)
    values = np.linalg.svd(step, compute_uv=False) / (rate * 0.2 * np.sqrt(rows))
    # Five Newton-Schulz iterations leave singular values between 0.7 and 1.2.
    assert values.min() > 0.5
    assert values.max() < 1.4
    assert np.sqrt((step**2).mean()) == pytest.approx(0.2 * rate, rel=0.4)


@pytest.mark.parametrize("path", ["logits/kernel", "logits/bias", "dense/bias", "norm/gamma"])
def test_heads_and_vectors_are_left_to_adam(stepped, path):
    steps, rate = stepped
    moved = np.abs(steps[path])
    # Adam's first step is the rate, whatever the gradient; without a gradient there is none.
    moved = moved[moved > 1e-3 * rate]
    assert len(moved)
    np.testing.assert_allclose(moved, optimizers.ADAM_SHARE * rate, rtol=0.05)


def test_a_strategy_with_an_optimizer_of_its_own_refuses_another():
    pictures = ImageSet(np.zeros((8, 4, 4, 1), np.uint8), np.zeros((8, 1), np.uint8), DIGIT_NAMES, "embedded")
    recipe = Recipe(epochs=1, batch=4, learning_rate=RATE, optimizer="muon")
    with pytest.raises(ConfigurationError, match="optimizer: muon: this strategy trains with its own"):
        loop.fit(keras.Model, pictures, pictures, recipe=recipe, budget=1.0, seed=0, optimizer=optimizers.adadelta)

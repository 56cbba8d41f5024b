"""Initial weights: shared layers take over what another strategy learned, by name and shape; nothing else changes."""

import keras
import numpy as np
import pytest
from keras import layers

from pipeline.core.errors import DataError
from pipeline.networks import blocks
from pipeline.records.training import TrainingRecord
from pipeline.training import initial, loop, models


def network(channels=4, head=3, name="trunk"):
    x = pictures = keras.Input((8, 8, 1), dtype="uint8")
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Conv2D(channels, 3, name=f"{name}1")(x)
    x = layers.BatchNormalization(name=f"{name}1_norm")(x)
    return keras.Model(pictures, layers.Dense(head, name="head")(layers.Flatten()(x)))


@pytest.fixture
def folder(tmp_path):
    """A trained strategy: its network is inside another model, as readers have it."""
    inner = network(head=5)
    inner.set_weights([np.full(weight.shape, 0.25, np.float32) for weight in inner.weights])
    pictures = keras.Input((8, 8, 1), dtype="uint8")
    models.save(keras.Model(pictures, inner(pictures)), tmp_path / "model.keras")
    TrainingRecord(
        strategy="teacher",
        task="strips",
        suites=("plain",),
        trained_on="mnist/mnist",
        normalization="rescale",
        origin="mnist",
        positional=True,
        deployable=True,
        pretrained="not_applicable",
        parameters=1,
        precision="float32",
        seed=1,
        budget=1.0,
        settings={},
        history=({"loss": 1.0},),
    ).write(tmp_path / "training.json")
    return tmp_path


def test_shared_layers_begin_with_the_trained_weights_and_the_others_anew(folder):
    with loop.running() as run:
        made = initial.trained(network, folder, "trunk")()
    assert run.pretrained == "teacher"
    for layer in made.layers:
        if layer.weights and layer.name.startswith("trunk"):
            assert all((weight == 0.25).all() for weight in layer.get_weights()), layer.name
    kernel, bias = made.get_layer("head").get_weights()
    assert kernel.std() > 0.01
    assert (bias == 0).all()


def test_without_a_model_nothing_changes():
    with loop.running() as run:
        assert initial.trained(network, None, "trunk") is network
    assert run.pretrained == "not_applicable"


def test_layers_of_another_shape_or_name_are_clear_errors(folder, tmp_path):
    with pytest.raises(DataError, match=r"trunk1: weights of shapes \[\(3, 3, 1, 4\), .* expected \[\(3, 3, 1, 6\)"):
        initial.trained(lambda: network(channels=6), folder, "trunk")()
    with pytest.raises(DataError, match=r"no layer trunk\*"):
        initial.trained(lambda: network(name="other"), folder, "trunk")()
    with pytest.raises(DataError, match="cannot be loaded"):
        initial.trained(network, tmp_path / "none", "trunk")


def test_the_trunk_of_strips_has_the_names_and_shapes_of_that_of_digits():
    def shapes(side):
        pictures = keras.Input((28, side, 1))
        trunk = keras.Model(pictures, blocks.trunk(pictures))
        return {weight.path: tuple(weight.shape) for weight in trunk.weights}

    assert shapes(28) == shapes(140)
    assert all(path.startswith(blocks.TRUNK) for path in shapes(28))

"""Conformance: the literal networks have the layers, the optimizer and the loss of their sources.

A specification lists what a source states. A layer is its kind and what the source says of it; layers that compute
nothing (reshaping, casting) are left out. `None` as a rate says that the source takes the optimizer's usual one.
"""

from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline import strategies
from pipeline.config import params
from pipeline.core.images import DIGIT_NAMES, STRIP_NAMES, ImageSet
from pipeline.data import cifar10
from pipeline.preprocessing import normalization
from pipeline.preprocessing.normalization import Normalizer
from pipeline.training import loop, objectives, optimizers

ROOT = Path(__file__).parents[2]
ENTRIES = params.load(ROOT / "params.yaml").strategies

FORUM = [
    ("Conv2D", {"filters": 32, "kernel_size": (3, 3), "activation": "relu", "padding": "valid", "strides": (1, 1)}),
    ("Conv2D", {"filters": 64, "kernel_size": (3, 3), "activation": "relu", "padding": "valid", "strides": (1, 1)}),
    ("MaxPooling2D", {"pool_size": (2, 2)}),
    ("Dropout", {"rate": 0.25}),
    ("Flatten", {}),
    ("Dropout", {"rate": 0.5}),
]
SPECIFICATIONS = {
    # Forum: "multi-label" and "multi-output" answers on strips of 28×140 with eleven classes a slot.
    "forum_sigmoids": {
        "layers": [*FORUM, ("Dense", {"units": 55})],
        "optimizer": ("Adadelta", {"learning_rate": 1.0}),
        "objective": objectives.BinaryCrossEntropy,
        "epochs": 8,
    },
    "forum_softmax": {
        "layers": [*FORUM, *[("Dense", {"units": 11})] * 5],
        "optimizer": ("Adam", {"learning_rate": 0.001}),
        "objective": objectives.CrossEntropy,
        "epochs": 8,
    },
    # Keras's examples, mnist_cnn.py (2015).
    "textbook": {
        "layers": [
            *FORUM[:4],
            ("Flatten", {}),
            ("Dense", {"units": 128, "activation": "relu"}),
            ("Dropout", {"rate": 0.5}),
            ("Dense", {"units": 10}),
        ],
        "optimizer": ("Adadelta", {"learning_rate": 1.0}),
        "objective": objectives.CrossEntropy,
        "epochs": 12,
    },
    # LeCun et al. 1998, section II.B; the docstring of the strategy names the changes.
    "lenet5": {
        "layers": [
            ("ZeroPadding2D", {"padding": ((2, 2), (2, 2))}),
            ("Conv2D", {"filters": 6, "kernel_size": (5, 5), "activation": "tanh", "padding": "valid"}),
            ("AveragePooling2D", {"pool_size": (2, 2)}),
            ("Conv2D", {"filters": 16, "kernel_size": (5, 5), "activation": "tanh", "padding": "valid"}),
            ("AveragePooling2D", {"pool_size": (2, 2)}),
            ("Conv2D", {"filters": 120, "kernel_size": (5, 5), "activation": "tanh", "padding": "valid"}),
            ("Flatten", {}),
            ("Dense", {"units": 84, "activation": "tanh"}),
            ("Dense", {"units": 10}),
        ],
        "optimizer": ("Adam", {"learning_rate": 0.001}),
        "objective": objectives.CrossEntropy,
        "epochs": 12,
    },
    # Section VII: the same layers over a strip. Batch normalization is this project's, and so is the blank's score.
    "sdnn_lenet5": {
        "layers": [
            ("ZeroPadding2D", {"padding": ((2, 2), (2, 2))}),
            ("Conv2D", {"filters": 6, "kernel_size": (5, 5), "padding": "valid"}),
            ("FusedBatchNormalization", {}),
            ("Activation", {"activation": "tanh"}),
            ("AveragePooling2D", {"pool_size": (2, 2)}),
            ("Conv2D", {"filters": 16, "kernel_size": (5, 5), "padding": "valid"}),
            ("FusedBatchNormalization", {}),
            ("Activation", {"activation": "tanh"}),
            ("AveragePooling2D", {"pool_size": (2, 2)}),
            ("Conv2D", {"filters": 120, "kernel_size": (5, 5), "padding": "valid"}),
            ("FusedBatchNormalization", {}),
            ("Activation", {"activation": "tanh"}),
            ("Conv2D", {"filters": 84, "kernel_size": (1, 1), "activation": "tanh"}),
            ("Dropout", {}),
            ("Conv2D", {"filters": 11, "kernel_size": (1, 1)}),
        ],
        "optimizer": ("AdamW", {}),
        "objective": objectives.DiscriminativeForward,
        "epochs": 8,
    },
    # The article on transfer: the frozen base, then its head.
    "vgg16_article": {
        "layers": [
            ("Flatten", {}),
            ("Dense", {"units": 256, "activation": "sigmoid"}),
            ("Dropout", {"rate": 0.5}),
            ("Dense", {"units": 10}),
        ],
        "optimizer": ("SGD", {"learning_rate": 1e-4, "momentum": 0.9}),
        "objective": objectives.CrossEntropy,
        "epochs": 20,
    },
}
SILENT = ("InputLayer", "Rescaling", "Reshape", "Stack", "Squeeze", "Cast", "Activation:linear", "GetItem")


class Captured(Exception):
    """What a strategy passes to the fit loop, instead of a training."""


def captured(name, monkeypatch):
    """The network, the optimizer, the objective and the recipe that a strategy trains with, under params.yaml."""
    entry = ENTRIES[name]
    shape, names = {
        "strips": ((28, 140, 1), STRIP_NAMES),
        "mnist": ((28, 28, 1), DIGIT_NAMES),
        "cifar10": ((32, 32, 3), cifar10.CLASS_NAMES),
    }[entry.task]
    rng = np.random.default_rng(0)
    slots = 5 if entry.task == "strips" else 1
    pictures = ImageSet(
        rng.integers(0, 256, (16, *shape), dtype=np.uint8),
        rng.integers(0, 10, (16, slots), dtype=np.uint8),
        names,
        "test",
    )
    seen = {}

    def fit(build, train, valid, **arguments):
        seen.update(build=build, **arguments)
        raise Captured

    monkeypatch.setattr(loop, "fit", fit)
    arguments = entry.arguments
    if "weights" in arguments:
        arguments["weights"] = "none"
    normalizer = Normalizer.of(normalization.fit(pictures, name="test", zca_epsilon=1e-6), entry.normalization)
    with pytest.raises(Captured):
        strategies.load(name).train(pictures, pictures, normalizer=normalizer, seed=1, budget=1.0, **arguments)
    return seen


def flat(network):
    """The layers of a network that compute something, those of networks inside it among them."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from flat(layer)
        elif type(layer).__name__ not in SILENT:
            yield layer


def stated(layer, names):
    config = layer.get_config()
    return {name: tuple(value) if isinstance(value := config[name], list) else value for name in names}


def normal(value):
    return tuple(normal(each) for each in value) if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_a_literal_network_is_that_of_its_source(name, monkeypatch):
    wanted = SPECIFICATIONS[name]
    seen = captured(name, monkeypatch)
    found = list(flat(seen["build"]()))
    if name == "vgg16_article":
        base = [layer for layer in found if layer.name.startswith("block")]
        assert len(base) == 18
        assert not any(layer.trainable for layer in base)
        found = [layer for layer in found if layer not in base and type(layer).__name__ != "CaffePreprocessing"]
    assert [type(layer).__name__ for layer in found] == [kind for kind, _ in wanted["layers"]]
    for layer, (_, properties) in zip(found, wanted["layers"], strict=True):
        assert {key: normal(value) for key, value in stated(layer, properties).items()} == properties, layer.name


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_it_trains_as_its_source_says(name, monkeypatch):
    wanted = SPECIFICATIONS[name]
    seen = captured(name, monkeypatch)
    kind, properties = wanted["optimizer"]
    named = optimizers.BY_NAME[seen["recipe"].optimizer or "adamw"]
    made = seen.get("optimizer", named)(seen["recipe"], 100)
    assert type(made).__name__ == kind
    config = made.get_config()
    assert {key: pytest.approx(config[key]) for key in properties} == properties
    assert seen["recipe"].epochs == wanted["epochs"]
    assert type(seen.get("objective") or objectives.CrossEntropy()) is wanted["objective"]
    augment = seen.get("augment")
    assert name == "sdnn_lenet5" or augment is None


def test_goodfellow_has_a_length_beyond_its_digits(monkeypatch):
    """Section 4 of the paper: L takes the values 0 to N, and "more than N"."""
    network = captured("goodfellow", monkeypatch)["build"]()
    assert network.output["length"].shape[1:] == (7,)
    assert network.output["digits"].shape[1:] == (5, 10)

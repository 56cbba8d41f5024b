"""Initial weights from another strategy's model: its convolutions already know what digits look like."""

from collections.abc import Callable, Iterator
from pathlib import Path

import keras

from pipeline.core.errors import DataError
from pipeline.records.training import TrainingRecord
from pipeline.training import loop, models

Build = Callable[[], keras.Model]


def trained(build: Build, model: Path | None, prefix: str) -> Build:
    """Let the layers that two networks share begin with the weights of the one that is trained.

    Args:
        build: makes the untrained network.
        model: the folder of a trained strategy, with `model.keras` and `training.json`; None leaves `build` as it is.
        prefix: how the names of the shared layers begin.

    Returns:
        What makes the network with those weights. The current run's record names the strategy they came from.

    Raises:
        DataError: the folder is missing or damaged, or a shared layer has other shapes, or there is none.
    """
    if model is None:
        return build
    weights = {layer.name: layer.get_weights() for layer in _shared(models.load(model / "model.keras"), prefix)}
    strategy = TrainingRecord.read(model / "training.json").strategy
    loop.report(pretrained=strategy)

    def started() -> keras.Model:
        network = build()
        own = {layer.name: layer for layer in _shared(network, prefix)}
        for name, layer in own.items():
            found = [array.shape for array in weights.get(name, [])]
            expected = [tuple(weight.shape) for weight in layer.weights]
            if found != expected:
                raise DataError(f"{model}: {name}: weights of shapes {found} found, expected {expected}")
            layer.set_weights(weights[name])
        if not own:
            raise DataError(f"{model}: no layer {prefix}* in {network.name} to give its weights to")
        return network

    return started


def _shared(model: keras.Model, prefix: str) -> Iterator[keras.layers.Layer]:
    """The layers with weights whose names begin with `prefix`, those of models inside the model among them."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _shared(layer, prefix)
        elif layer.weights and layer.name.startswith(prefix):
            yield layer

"""Puts an estimator into a model: the same reading, and its confidence in place of the model's own."""

from collections.abc import Mapping

import keras
from keras import layers, ops

from pipeline.confidence.estimator import Estimator
from pipeline.confidence.evidence import reading_evidence
from pipeline.confidence.statistics import picture_statistics

COLUMNS = "columns"


def columns(
    images: keras.KerasTensor, outputs: Mapping[str, keras.KerasTensor], blank: int | None
) -> keras.KerasTensor:
    """What an estimator takes: evidence and statistics of n pictures, float32 (n, k)."""
    return ops.concatenate([reading_evidence(outputs, blank), picture_statistics(images)], -1)


def with_columns(model: keras.Model, blank: int | None) -> keras.Model:
    """The model with one more output, `columns`: what an estimator is fitted on."""
    given = _inputs(model)
    outputs = dict(model(given))
    outputs[COLUMNS] = columns(model.inputs[0], outputs, blank)
    return keras.Model(given, {name: _named(name, value) for name, value in outputs.items()})


def with_confidence(model: keras.Model, estimator: Estimator, blank: int | None) -> keras.Model:
    """The model with the estimator's confidence.

    Args:
        model: uint8 pictures, and possibly regions, to the outputs of the contract.
        estimator: fitted on the columns of this model.
        blank: the class that is no digit, or None.
    """
    given = _inputs(model)
    outputs = dict(model(given))
    outputs["confidence"] = estimator(columns(model.inputs[0], outputs, blank))
    return keras.Model(given, {name: _named(name, value) for name, value in outputs.items()}, name="reader")


def _inputs(model: keras.Model) -> keras.KerasTensor | list[keras.KerasTensor]:
    """The inputs in the form in which the model takes them."""
    return model.inputs if len(model.inputs) > 1 else model.inputs[0]


def _named(name: str, value: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Identity(name=name, dtype=value.dtype)(value)

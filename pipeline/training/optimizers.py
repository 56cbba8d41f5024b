"""Optimizers and learning-rate schedules, made from a recipe."""

from collections.abc import Callable

import keras

from pipeline.config.types import Recipe

Optimizer = Callable[[Recipe, int], keras.optimizers.Optimizer]
"""A recipe and the number of steps -> the optimizer."""

WARM_UP = 0.2
"""The share of the steps over which the one-cycle rate rises to its peak (Smith and Topin 2017)."""


def adamw(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """AdamW with decoupled weight decay (Loshchilov and Hutter 2019) under a one-cycle schedule.

    Only kernels decay; biases and the parameters of normalizations do not.
    """
    schedule = one_cycle(recipe.learning_rate, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


def adadelta(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Adadelta (Zeiler 2012) at a constant rate, whatever the number of steps."""
    return keras.optimizers.Adadelta(recipe.learning_rate, weight_decay=recipe.weight_decay or None)


def adam(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Adam (Kingma and Ba 2015) at a constant rate, whatever the number of steps."""
    return keras.optimizers.Adam(recipe.learning_rate, weight_decay=recipe.weight_decay or None)


def sgd(momentum: float) -> Optimizer:
    """Gradient descent with momentum at a constant rate, whatever the number of steps."""

    def make(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
        return keras.optimizers.SGD(recipe.learning_rate, momentum=momentum, weight_decay=recipe.weight_decay or None)

    return make


def one_cycle(peak: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear from a tenth of `peak` to `peak` over the first fifth of the steps, then a cosine to a thousandth."""
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / 10,
        warmup_target=peak,
        warmup_steps=max(1, int(WARM_UP * steps)),
        decay_steps=max(1, steps - int(WARM_UP * steps)),
        alpha=1e-3,
    )

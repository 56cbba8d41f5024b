"""Optimizers and learning-rate schedules, made from a recipe."""

import math
from collections.abc import Callable

import keras
from keras import ops

from pipeline.config.types import Recipe

Optimizer = Callable[[Recipe, int], keras.optimizers.Optimizer]
"""A recipe and the number of steps -> the optimizer."""

HEADS = (
    "logits", "scores", "offsets", "length", "digits", "heat", "classes", "boxes", "class_and_box", "anchors"
)  # fmt: skip
"""The names of the layers whose outputs a loss compares with its targets; their kernels are not for Muon."""
ADAM_SHARE = 0.5
"""The rate of AdamW inside Muon, as a share of Muon's."""
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


def muon(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Muon (Jordan et al. 2024) under a one-cycle schedule; AdamW for `HEADS` and for all that is no kernel.

    An update of Muon has the scale of one of AdamW (Liu et al. 2025, "Muon is scalable for LLM training"). AdamW takes
    a share of the rate.
    """
    optimizer = Muon(
        one_cycle(recipe.learning_rate, steps),
        weight_decay=recipe.weight_decay,
        adam_weight_decay=recipe.weight_decay,
        adam_lr_ratio=ADAM_SHARE,
        exclude_layers=list(HEADS),
        name="muon",
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


class Muon(keras.optimizers.Muon):
    """Keras's Muon, for the kernels of convolutions as well, which Keras leaves to AdamW.

    A kernel (H, W, inputs, outputs) is taken as the matrix (H * W * inputs, outputs), as in Jordan's own networks.
    """

    def _should_use_adamw(self, variable):
        layer = variable.path.rpartition("/")[0].rpartition("/")[2]
        return len(variable.shape) not in (2, 4) or layer in self.exclude_layers

    def zeropower_via_newtonschulz5(self, x, steps):
        matrix = super().zeropower_via_newtonschulz5(ops.reshape(x, (-1, x.shape[-1])), steps)
        return ops.reshape(matrix, x.shape)

    def lr_adjust(self, x):
        return x * (self.rms_rate * math.sqrt(max(math.prod(x.shape[:-1]), x.shape[-1])))


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


BY_NAME: dict[str, Optimizer] = {"adamw": adamw, "muon": muon}
"""Those that a recipe can name."""


def one_cycle(peak: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear from a tenth of `peak` to `peak` over the first fifth of the steps, then a cosine to a thousandth."""
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / 10,
        warmup_target=peak,
        warmup_steps=max(1, int(WARM_UP * steps)),
        decay_steps=max(1, steps - int(WARM_UP * steps)),
        alpha=1e-3,
    )

"""The one fit loop: seeding, precision, the one-cycle schedule, augmentation, best weights, DVCLive."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from pipeline.config.types import Precision
from pipeline.core.images import ImageSet
from pipeline.training import processor
from pipeline.training.objectives import CrossEntropy, Objective

Augment = Callable[[Any, Any, tf.Tensor], tuple[Any, Any]]
"""Inputs, truth and an int (2,) seed -> both varied. Inputs are uint8 (n, H, W, C), or a tuple where there are more."""
Optimizer = Callable[[int], keras.optimizers.Optimizer]
"""The number of steps -> what takes them."""

WARM_UP = 0.2
"""The share of the steps over which one-cycle's rate rises to its peak (Smith and Topin 2017)."""


@dataclass
class Run:
    """How `fit` works during one run, and what it left to report.

    Attributes:
        precision: the policy the training copy of a network is built under.
        callbacks: Keras callbacks that listen to training.
        history: the metrics of each epoch, filled in by `fit`.
        pretrained: where weights came from that training began with, filled in by `report`.
    """

    precision: str = "float32"
    callbacks: list[keras.callbacks.Callback] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    pretrained: str = "not_applicable"


_current: ContextVar[Run | None] = ContextVar("training_run", default=None)


@contextlib.contextmanager
def running(precision: Precision = "auto", callbacks: list[keras.callbacks.Callback] | None = None) -> Iterator[Run]:
    """Let every `fit` inside the block train in this precision, with these callbacks; yields the record of it."""
    run = Run(precision=resolve(precision), callbacks=list(callbacks or []))
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)


def report(*, pretrained: str) -> None:
    """Let the record of the current run say where the weights came from that a strategy began with."""
    if run := _current.get():
        run.pretrained = pretrained


def resolve(precision: Precision) -> str:
    """The Keras dtype policy for `precision`; `auto` is bfloat16 where the CPU (or a GPU) computes in it."""
    if precision != "auto":
        return precision
    if tf.config.list_physical_devices("GPU"):
        return "mixed_bfloat16"
    return "mixed_bfloat16" if processor.bfloat16() else "float32"


@dataclass(frozen=True)
class Examples:
    """What is learnt where it is more than pictures and labels.

    Attributes:
        inputs: arrays of n rows each, in the order of the network's inputs.
        truth: what the objective compares with: an array of n rows, or several by name.
    """

    inputs: tuple[np.ndarray, ...]
    truth: np.ndarray | dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.inputs[0])

    @classmethod
    def of(cls, pictures: "ImageSet | Examples") -> "Examples":
        """Pictures and their labels, unless they are examples already."""
        return pictures if isinstance(pictures, cls) else cls((pictures.images,), pictures.labels)


class Learner(keras.Model):
    """A network and its objective as Keras's fit loop wants them."""

    def __init__(self, network: keras.Model, objective: Objective) -> None:
        super().__init__(name="learner")
        self.network = network
        self.objective = objective
        self.share = keras.metrics.Mean(name="exact_match")

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(self.objective.loss(y, y_pred))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.share.update_state(ops.cast(self.objective.right(y, y_pred), "float32"))
        return self.get_metrics_result()


def fit(
    build: Callable[[], keras.Model],
    train: ImageSet | Examples,
    valid: ImageSet | Examples,
    *,
    epochs: float,
    batch: int,
    budget: float,
    seed: int,
    optimizer: Optimizer,
    objective: Objective | None = None,
    augment: Augment | None = None,
) -> keras.Model:
    """Train a network; keep the weights that read valid best.

    Args:
        build: makes the untrained network, from uint8 (n, H, W, C), or from all inputs of the examples, to what the
            objective compares with the truth. It is called twice: under the training precision, and under float32 for
            the network that is returned.
        train: what is learnt.
        valid: what chooses among the epochs.
        epochs: passes over `train` at budget 1; may be a fraction.
        batch: examples a step.
        budget: scales `epochs`.
        seed: of the weights, the order and the augmentation. One machine gives the same weights for the same seed.
        optimizer: makes the optimizer of as many steps; `adamw` is the usual one.
        objective: what is made small, and what counts as read right; cross-entropy of every slot where none is given.
        augment: varies training batches.

    Returns:
        The network with the best weights, built under float32.
    """
    run = _current.get() or Run()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    train, valid = Examples.of(train), Examples.of(valid)
    steps = max(1, round(budget * epochs * len(train) / batch))
    rounds = max(1, min(steps, round(budget * epochs)))
    per_round = math.ceil(steps / rounds)

    with _policy(run.precision):
        network = build()
    learner = Learner(network, objective or CrossEntropy())
    learner.compile(optimizer=optimizer(per_round * rounds), jit_compile=False)
    best = keras.callbacks.EarlyStopping("val_exact_match", mode="max", patience=rounds, restore_best_weights=True)
    history = learner.fit(
        batches(train, batch, seed, augment),
        epochs=rounds,
        steps_per_epoch=per_round,
        validation_data=_in_order(valid, batch),
        callbacks=[best, *run.callbacks],
        shuffle=False,
        verbose="auto" if sys.stdout.isatty() else 2,
    )
    names = sorted(history.history)
    run.history.extend({name: float(history.history[name][i]) for name in names} for i in range(len(history.epoch)))
    with _policy("float32"):
        final = build()
    final.set_weights(network.get_weights())
    return final


def adamw(learning_rate: float, weight_decay: float) -> Optimizer:
    """AdamW with decoupled decay (Loshchilov and Hutter 2019) under a one-cycle schedule.

    Args:
        learning_rate: the peak of the schedule.
        weight_decay: of kernels; biases and the parameters of normalizations do not decay.
    """

    def make(steps: int) -> keras.optimizers.Optimizer:
        optimizer = keras.optimizers.AdamW(one_cycle(learning_rate, steps), weight_decay=weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
        return optimizer

    return make


def one_cycle(peak: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """A line from a tenth of `peak` to it over the first fifth of the steps, then a cosine down to its thousandth."""
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / 10,
        warmup_target=peak,
        warmup_steps=max(1, int(WARM_UP * steps)),
        decay_steps=max(1, steps - int(WARM_UP * steps)),
        alpha=1e-3,
    )


def batches(train: ImageSet | Examples, batch: int, seed: int, augment: Augment | None = None) -> tf.data.Dataset:
    """An endless stream of shuffled, augmented batches: inputs (one array, or a tuple of several) and truth."""
    examples = Examples.of(train)
    everything = tf.nest.map_structure(tf.constant, (_alone(examples.inputs), examples.truth))

    def chosen(step: tf.Tensor, index: tf.Tensor) -> tuple[Any, Any]:
        shown, wanted = tf.nest.map_structure(lambda array: tf.gather(array, index), everything)
        if augment is not None:
            shown, wanted = augment(shown, wanted, tf.stack([tf.cast(seed, tf.int64), step]))
        return shown, wanted

    order = tf.data.Dataset.range(len(examples)).shuffle(len(examples), seed=seed).repeat().batch(batch)
    return order.enumerate().map(chosen, num_parallel_calls=1).prefetch(4)


def _in_order(valid: Examples, batch: int) -> tf.data.Dataset:
    pairs = tf.data.Dataset.from_tensor_slices((_alone(valid.inputs), valid.truth))
    return pairs.batch(max(batch, 250)).prefetch(2)


def _alone(inputs: tuple) -> Any:
    return inputs[0] if len(inputs) == 1 else inputs


@contextlib.contextmanager
def _policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def parameters(model: keras.Model) -> int:
    """How many numbers a model holds, trained or not."""
    return int(sum(np.prod(weight.shape) for weight in model.weights))

"""The one fit loop: seeds, precision, batches, augmentation, the epoch that is kept."""

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

from pipeline.config.types import Precision, Recipe
from pipeline.core.errors import ConfigurationError
from pipeline.core.images import ImageSet
from pipeline.training.objectives import CrossEntropy, Objective
from pipeline.training.optimizers import BY_NAME, Optimizer
from pipeline.training.precision import resolve

Augment = Callable[[Any, Any, tf.Tensor], tuple[Any, Any]]
"""Inputs, targets and an int (2,) seed -> both augmented. Inputs are uint8 (n, H, W, C), or a tuple of several."""


@dataclass
class Run:
    """The conditions of one run of `fit`, and its record.

    Attributes:
        precision: the dtype policy under which the training copy of a network is built.
        callbacks: Keras callbacks of the training.
        deterministic: whether the same seed gives the same weights.
        history: the metrics of each epoch; `fit` appends them.
        pretrained: where the initial weights came from; `report` sets it.
    """

    precision: str = "float32"
    callbacks: list[keras.callbacks.Callback] = field(default_factory=list)
    deterministic: bool = True
    history: list[dict[str, float]] = field(default_factory=list)
    pretrained: str = "not_applicable"


_current: ContextVar[Run | None] = ContextVar("training_run", default=None)


@contextlib.contextmanager
def running(
    precision: Precision = "auto",
    callbacks: list[keras.callbacks.Callback] | None = None,
    *,
    deterministic: bool = True,
) -> Iterator[Run]:
    """Make every `fit` inside the block train under these conditions; yields the record."""
    run = Run(precision=resolve(precision), callbacks=list(callbacks or []), deterministic=deterministic)
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)


def report(*, pretrained: str) -> None:
    """Record where the initial weights of the current run came from."""
    if run := _current.get():
        run.pretrained = pretrained


@dataclass(frozen=True)
class Examples:
    """Training examples that are more than pictures and labels.

    Attributes:
        inputs: arrays of n rows each, in the order of the network's inputs.
        targets: what the objective compares outputs with: an array of n rows, or several by name.
    """

    inputs: tuple[np.ndarray, ...]
    targets: np.ndarray | dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.inputs[0])

    def first(self, count: int | None) -> "Examples":
        """The first `count` of them, or all where there are not so many, or no number is given."""
        if count is None or count >= len(self):
            return self
        return Examples(*tf.nest.map_structure(lambda array: array[:count], (self.inputs, self.targets)))

    @classmethod
    def of(cls, pictures: "ImageSet | Examples") -> "Examples":
        """Pictures and their labels, unless they are examples already."""
        return pictures if isinstance(pictures, cls) else cls((pictures.images,), pictures.labels)


def _scaling(optimizer: keras.optimizers.Optimizer, precision: str) -> keras.optimizers.Optimizer:
    """The optimizer, under float16 with a scaled loss: small gradients would be 0 in it.

    Keras does so by itself where a model's own policy is float16. The learner's is float32, only its network's is not.
    """
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


class Learner(keras.Model):
    """A network and its objective, in the form that Keras's `fit` takes."""

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
        self.share.update_state(ops.cast(self.objective.correct(y, y_pred), "float32"))
        return self.get_metrics_result()


def fit(
    build: Callable[[], keras.Model],
    train: ImageSet | Examples,
    valid: ImageSet | Examples,
    *,
    recipe: Recipe,
    budget: float,
    seed: int,
    optimizer: Optimizer | None = None,
    objective: Objective | None = None,
    augment: Augment | None = None,
) -> keras.Model:
    """Train a network; keep the weights of the last epoch, or of that with the highest exact-match accuracy on valid.

    Args:
        build: makes the untrained network, from uint8 (n, H, W, C), or from all inputs of the examples, to what the
            objective compares with the targets. It is called twice: under the training precision, and under float32
            for the network that is returned.
        train: the training split.
        valid: the split whose accuracy is recorded after every epoch, and chooses among them if the recipe says so.
        recipe: epochs, batch, learning rate, weight decay, the number of examples, and the epoch that is kept.
        budget: scales the epochs.
        seed: of the weights, the order and the augmentation. The same seed gives the same weights on one machine.
        optimizer: makes the optimizer from the recipe and the number of steps; by default that which the recipe names,
            or AdamW.
        objective: the loss, and what counts as correct; cross-entropy of every slot by default.
        augment: augments training batches.

    Returns:
        The network with the weights that are kept, built under float32.

    Raises:
        ConfigurationError: the recipe names an optimizer, and the strategy has its own.
    """
    if optimizer and recipe.optimizer:
        raise ConfigurationError(f"optimizer: {recipe.optimizer}: this strategy trains with its own; leave it out")
    optimizer = optimizer or BY_NAME[recipe.optimizer or "adamw"]
    run = _current.get() or Run()
    keras.utils.set_random_seed(seed)
    if run.deterministic:
        # For the rest of the process: TensorFlow has no way back.
        tf.config.experimental.enable_op_determinism()
    train, valid = Examples.of(train).first(recipe.examples), Examples.of(valid)
    steps = max(1, round(budget * recipe.epochs * len(train) / recipe.batch))
    rounds = max(1, min(steps, round(budget * recipe.epochs)))
    per_round = math.ceil(steps / rounds)

    with _policy(run.precision):
        network = build()
    learner = Learner(network, objective or CrossEntropy())
    learner.compile(optimizer=_scaling(optimizer(recipe, per_round * rounds), run.precision), jit_compile=False)
    callbacks = list(run.callbacks)
    if recipe.keep == "best":
        callbacks.insert(
            0, keras.callbacks.EarlyStopping("val_exact_match", mode="max", patience=rounds, restore_best_weights=True)
        )
    history = learner.fit(
        batches(train, recipe.batch, seed, augment),
        epochs=rounds,
        steps_per_epoch=per_round,
        validation_data=_in_order(valid, recipe.batch),
        callbacks=callbacks,
        shuffle=False,
        verbose="auto" if sys.stdout.isatty() else 2,
    )
    names = sorted(history.history)
    run.history.extend({name: float(history.history[name][i]) for name in names} for i in range(len(history.epoch)))
    with _policy("float32"):
        final = build()
    final.set_weights(network.get_weights())
    return final


def batches(train: ImageSet | Examples, batch: int, seed: int, augment: Augment | None = None) -> tf.data.Dataset:
    """An endless stream of shuffled, augmented batches: inputs (one array, or a tuple of several) and targets."""
    examples = Examples.of(train)
    everything = tf.nest.map_structure(tf.constant, (_alone(examples.inputs), examples.targets))

    def chosen(step: tf.Tensor, index: tf.Tensor) -> tuple[Any, Any]:
        inputs, targets = tf.nest.map_structure(lambda array: tf.gather(array, index), everything)
        if augment is not None:
            inputs, targets = augment(inputs, targets, tf.stack([tf.cast(seed, tf.int64), step]))
        return inputs, targets

    order = tf.data.Dataset.range(len(examples)).shuffle(len(examples), seed=seed).repeat().batch(batch)
    return order.enumerate().map(chosen, num_parallel_calls=1).prefetch(4)


def _in_order(valid: Examples, batch: int) -> tf.data.Dataset:
    pairs = tf.data.Dataset.from_tensor_slices((_alone(valid.inputs), valid.targets))
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
    """The number of parameters of a model, trainable or not."""
    return int(sum(np.prod(weight.shape) for weight in model.weights))

"""The one fit loop: seeding, precision, the one-cycle schedule, augmentation, best weights, DVCLive."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from pipeline.images import ImageSet
from pipeline.params import Precision

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""uint8 (n, H, W, C), labels (n, slots) and an int (2,) seed -> pictures and labels of the same shapes."""

WARM_UP = 0.2
"""The share of the steps over which one-cycle's rate rises to its peak (Smith and Topin 2017)."""


@dataclass
class Run:
    """How `fit` works during one run, and what it left to report.

    Attributes:
        precision: the policy the training copy of a network is built under.
        callbacks: Keras callbacks that listen to training.
        history: the metrics of each epoch, filled in by `fit`.
    """

    precision: str = "float32"
    callbacks: list[keras.callbacks.Callback] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)


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


def resolve(precision: Precision) -> str:
    """The Keras dtype policy for `precision`; `auto` is bfloat16 where the CPU (or a GPU) computes in it."""
    if precision != "auto":
        return precision
    if tf.config.list_physical_devices("GPU"):
        return "mixed_bfloat16"
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "float32"
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


@keras.saving.register_keras_serializable("digit_strips")
class ExactMatch(keras.metrics.Mean):
    """The share of pictures whose every slot has its highest logit at the true class."""

    def update_state(self, truth, logits, sample_weight=None):
        read = ops.argmax(logits, axis=-1)
        right = ops.all(ops.equal(ops.cast(truth, read.dtype), read), axis=-1)
        return super().update_state(ops.cast(right, "float32"), sample_weight)


def fit(
    build: Callable[[], keras.Model],
    train: ImageSet,
    valid: ImageSet,
    *,
    epochs: float,
    batch: int,
    learning_rate: float,
    budget: float,
    seed: int,
    weight_decay: float = 0.05,
    label_smoothing: float = 0.0,
    augment: Augment | None = None,
) -> keras.Model:
    """Train a network of logits by AdamW under a one-cycle schedule; keep the weights that read valid best.

    Args:
        build: makes the untrained network, uint8 (n, H, W, C) -> float32 logits (n, slots, classes). It is called
            twice: under the training precision, and under float32 for the network that is returned.
        train: what is learnt; labels (n, slots).
        valid: what chooses among the epochs.
        epochs: passes over `train` at budget 1; may be a fraction.
        batch: pictures a step.
        learning_rate: the peak of the schedule.
        budget: scales `epochs`.
        seed: of the weights, the order and the augmentation. One machine gives the same weights for the same seed.
        weight_decay: AdamW's, decoupled (Loshchilov and Hutter 2019).
        label_smoothing: the share of a target spread evenly over all classes.
        augment: varies training batches.

    Returns:
        The network with the best weights, built under float32.
    """
    run = _current.get() or Run()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    steps = max(1, round(budget * epochs * len(train) / batch))
    rounds = max(1, min(steps, round(budget * epochs)))
    per_round = math.ceil(steps / rounds)

    with _policy(run.precision):
        network = build()
    optimizer = keras.optimizers.AdamW(one_cycle(learning_rate, per_round * rounds), weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    network.compile(
        optimizer=optimizer,
        loss=_cross_entropy(label_smoothing),
        metrics=[ExactMatch(name="exact_match")],
        jit_compile=False,
    )
    best = keras.callbacks.EarlyStopping("val_exact_match", mode="max", patience=rounds, restore_best_weights=True)
    history = network.fit(
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


def one_cycle(peak: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """A cosine rise from a tenth of `peak` over the first fifth of the steps, then a cosine fall to nothing."""
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / 10,
        warmup_target=peak,
        warmup_steps=max(1, int(WARM_UP * steps)),
        decay_steps=max(1, steps - int(WARM_UP * steps)),
        alpha=1e-3,
    )


def batches(train: ImageSet, batch: int, seed: int, augment: Augment | None = None) -> tf.data.Dataset:
    """An endless stream of shuffled, augmented batches: uint8 (batch, H, W, C) and labels (batch, slots)."""
    images, labels = tf.constant(train.images), tf.constant(train.labels)

    def pictures(step: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chosen, classes = tf.gather(images, index), tf.gather(labels, index)
        if augment is not None:
            chosen, classes = augment(chosen, classes, tf.stack([tf.cast(seed, tf.int64), step]))
        return tf.ensure_shape(chosen, (None, *train.shape)), tf.ensure_shape(classes, (None, train.slots))

    order = tf.data.Dataset.range(len(train)).shuffle(len(train), seed=seed).repeat().batch(batch)
    return order.enumerate().map(pictures, num_parallel_calls=1).prefetch(4)


def _in_order(pictures: ImageSet, batch: int) -> tf.data.Dataset:
    pairs = tf.data.Dataset.from_tensor_slices((pictures.images, pictures.labels))
    return pairs.batch(max(batch, 250)).prefetch(2)


def _cross_entropy(smoothing: float) -> Callable:
    def loss(truth, logits):
        classes = logits.shape[-1]
        target = ops.one_hot(truth, classes) * (1 - smoothing) + smoothing / classes
        return keras.losses.categorical_crossentropy(target, logits, from_logits=True)

    loss.__name__ = "cross_entropy"
    return loss


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

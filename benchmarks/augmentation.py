"""Augmentation's pace: against the generator that Keras retired, and as a share of a training step.

`python -m benchmarks.augmentation` takes the CIFAR-10 of `data/cifar10/cifar10` where it is, else random pictures of
that shape: time does not depend on what they show. Rounds of all contenders alternate, and the best of each is printed,
which other work on the machine disturbs least, beside the spread of the pairs.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.augmentation_options import OPTIONS
from benchmarks.peers.augmentation_generator import flow
from pipeline.core.images import ImageSet
from pipeline.preprocessing.augmentation import Augmentation
from pipeline.project import command
from pipeline.training import loop, precision


def main(data: Path = Path("data/cifar10/cifar10"), batch: int = 64, rounds: int = 15, steps: int = 10) -> None:
    """Print pictures a second of both, and what each set of options costs a training step."""
    train = _pictures(data)
    print(f"{len(train)} pictures of {train.shape}, {train.origin}; batch {batch}, {rounds} rounds")
    _against_the_generator(train, batch, rounds)
    _in_training(train, batch, rounds, steps)


def _pictures(data: Path) -> ImageSet:
    if (data / "train.npz").is_file():
        return ImageSet.load(data / "train.npz")
    rng = np.random.default_rng(0)
    images, labels = (rng.integers(0, top, size, np.uint8) for top, size in ((256, (4096, 32, 32, 3)), (10, (4096, 1))))
    return ImageSet(images, labels, tuple("0123456789"), "random")


def _against_the_generator(train: ImageSet, batch: int, rounds: int) -> None:
    print(f"\n{'pictures a second':28} {'ours':>9} {'generator':>10} {'ratio':>7}  of pairs: least, median, most")
    for name, options in OPTIONS.items():
        ours = endless(train, batch, Augmentation(**options))
        generator = flow(train.images[:4096], train.labels[:4096], batch, options)
        pace: dict[str, list[float]] = {"ours": [], "generator": []}
        for _ in range(rounds):
            pace["ours"].append(batch * 100 / _seconds(lambda: next(ours), 100))  # noqa: B023 - called at once
            pace["generator"].append(batch * 8 / _seconds(lambda: next(generator), 8))  # noqa: B023
        ratios = [one / other for one, other in zip(pace["ours"], pace["generator"], strict=True)]
        fast, slow = max(pace["ours"]), max(pace["generator"])
        print(
            f"{name:28} {fast:9,.0f} {slow:10,.0f} {fast / slow:7.1f}  "
            f"{min(ratios):.1f}, {statistics.median(ratios):.1f}, {max(ratios):.1f}"
        )


def _in_training(train: ImageSet, batch: int, rounds: int, steps: int) -> None:
    """Steps of a small net fed with and without augmentation, in turns.

    Training keeps every core busy, so the processor time that augmentation adds to a step is the pace that it takes;
    unlike seconds, it hardly depends on what else the machine does.
    """
    step = _training_step(train, batch)
    streams = {"none": endless(train, batch, None)}
    streams |= {name: endless(train, batch, Augmentation(**options)) for name, options in OPTIONS.items()}
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in streams}
    for _ in range(rounds):
        for name, stream in streams.items():
            waited, started, processed = 0.0, time.perf_counter(), time.process_time()
            for _ in range(steps):
                asked = time.perf_counter()
                images, labels = next(stream)
                waited += time.perf_counter() - asked
                step(images, labels)
            taken[name].append((time.perf_counter() - started, waited, time.process_time() - processed))
    print(f"\n{'a training step':28} {'ms':>9} {'waiting':>10} {'CPU ms':>9} {'pace lost':>10}  of pairs: median")
    unvaried = min(processed for *_, processed in taken["none"])
    for name, rows in taken.items():
        best, waited, _ = min(rows)
        processed = min(processed for *_, processed in rows)
        lost = [1 - none / own for (*_, own), (*_, none) in zip(rows, taken["none"], strict=True)]
        print(
            f"{name:28} {1000 * best / steps:9.2f} {waited / best:10.1%} {1000 * processed / steps:9.2f} "
            f"{1 - unvaried / processed:10.1%}  {statistics.median(lost):.1%}"
        )


def _training_step(train: ImageSet, batch: int) -> Callable[[tf.Tensor, tf.Tensor], None]:
    """A step of a net of the shape that `cnn` has, in the precision that this machine trains in."""
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(precision.resolve("auto"))
    pictures = keras.Input(train.shape, dtype="uint8")
    x = layers.Rescaling(1 / 127.5, offset=-1)(pictures)
    for filters in (32, 96, 128):
        x = layers.MaxPooling2D(2)(layers.Conv2D(filters, 3, padding="same", use_bias=False)(x))
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    logits = layers.Dense(train.classes, dtype="float32")(layers.GlobalMaxPooling2D()(x))
    net = keras.Model(pictures, logits)
    optimizer = keras.optimizers.AdamW(1e-3)
    optimizer.build(net.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, net(images, training=True))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables, strict=True)
        )

    step(tf.constant(train.images[:batch]), tf.constant(train.labels[:batch]))
    return step


def endless(train: ImageSet, batch: int, augment: loop.Augment | None) -> Iterator[Any]:
    """Endless batches as a training gets them; the first is taken."""
    batches = iter(loop.batches(train, batch, seed=1, augment=augment))
    next(batches)
    return batches


def _seconds(work: Callable[[], Any], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - started


if __name__ == "__main__":
    # The generator calls SciPy by a name that SciPy has given up.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message="Please (import|use) `affine_transform`")
    command.run(main)

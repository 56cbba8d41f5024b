"""The fit loop: what a seed fixes, what a schedule does, what precision leaves behind, what augmentation may change."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pipeline.config.types import Recipe
from pipeline.core.images import BLANK, DIGIT_NAMES, ImageSet
from pipeline.preprocessing.augmentation import Augmentation, Recomposition
from pipeline.training import loop, objectives, optimizers


def bars(count=256, seed=0):
    """Four classes: where a bright bar stands."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 4).astype(np.uint8)[:, None]
    images = rng.integers(0, 60, (count, 12, 12, 1), np.uint8)
    for image, label in zip(images, labels[:, 0], strict=True):
        image[:, 3 * label : 3 * label + 3] = 220
    return ImageSet(images, labels, DIGIT_NAMES[:4], "embedded")


def build():
    images = keras.Input((12, 12, 1), dtype="uint8")
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(layers.Rescaling(1 / 255)(images))
    x = layers.Flatten()(layers.Activation("relu")(layers.BatchNormalization()(x)))
    logits = layers.Dense(4, dtype="float32")(x)
    return keras.Model(images, layers.Reshape((1, 4))(logits))


def fit(seed=1, epochs=3, budget=1.0, keep="last", examples=None, **more):
    recipe = Recipe(epochs=epochs, batch=32, learning_rate=0.01, weight_decay=0.05, keep=keep, examples=examples)
    return loop.fit(build, bars(), bars(64, seed=1), recipe=recipe, budget=budget, seed=seed, **more)


def weights(model):
    return [np.array(weight) for weight in model.get_weights()]


def test_a_seed_fixes_every_weight():
    augment = Augmentation(width_shift_range=1, rotation_range=5)
    first, again, other = (weights(fit(seed=seed, augment=augment)) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((one != two).any() for one, two in zip(first, other, strict=True))


def test_it_learns_under_every_precision_and_returns_float32():
    for precision in ("float32", "mixed_bfloat16", "mixed_float16"):
        with loop.running(precision) as run:
            model = fit(epochs=8)
        assert run.precision == precision
        assert {layer.compute_dtype for layer in model.layers if layer.weights} == {"float32"}
        assert keras.config.dtype_policy().name == "float32"
        read = model(bars(64, seed=1).images).numpy().argmax(axis=-1)
        assert (read == bars(64, seed=1).labels).mean() > 0.95


@pytest.mark.parametrize(("keep", "chosen"), [("best", max), ("last", lambda rates: rates[-1])])
def test_the_weights_of_the_best_or_of_the_last_epoch_are_kept(keep, chosen):
    class Spoil(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 6:
                self.model.set_weights([np.zeros_like(weight) for weight in self.model.get_weights()])

    with loop.running("float32", [Spoil()]) as run:
        model = fit(epochs=7, keep=keep)
    valid = bars(64, seed=1)
    rates = [epoch["val_exact_match"] for epoch in run.history]
    assert rates[-1] < max(rates)
    assert (model(valid.images).numpy().argmax(axis=-1) == valid.labels).mean() == pytest.approx(chosen(rates))


def test_a_recipe_takes_the_first_examples_alone():
    whole = loop.Examples.of(bars())
    assert whole.first(None) is whole
    assert whole.first(10_000) is whole
    few = whole.first(40)
    np.testing.assert_array_equal(few.inputs[0], whole.inputs[0][:40])
    np.testing.assert_array_equal(few.targets, whole.targets[:40])
    named = loop.Examples(whole.inputs, {"labels": whole.targets, "others": whole.targets}).first(3)
    assert {name: len(each) for name, each in named.targets.items()} == {"labels": 3, "others": 3}
    for one, two in zip(weights(fit(examples=40)), weights(fit(examples=40)), strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((one != two).any() for one, two in zip(weights(fit(examples=40)), weights(fit()), strict=True))


@pytest.mark.parametrize(("epochs", "budget", "rounds"), [(4, 1.0, 4), (4, 0.5, 2), (4, 0.01, 1), (1, 3.0, 3)])
def test_budget_scales_the_length(epochs, budget, rounds):
    with loop.running("float32") as run:
        fit(epochs=epochs, budget=budget)
    assert len(run.history) == rounds


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing():
    schedule = optimizers.one_cycle(0.5, 100)
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == pytest.approx(0.5)
    assert int(np.argmax(rates)) == 20
    assert rates[-1] < 0.001
    assert (np.diff(rates[:20]) > 0).all()
    assert (np.diff(rates[20:]) < 1e-9).all()


def test_every_picture_is_seen_once_a_pass_in_an_order_of_its_own():
    train = ImageSet(
        np.arange(40, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8),
        np.zeros((40, 1), np.uint8),
        ("a",),
        "embedded",
    )
    stream = loop.batches(train, 8, seed=3).take(10).as_numpy_iterator()
    seen = np.concatenate([images[:, 0, 0, 0] for images, _ in stream])
    first, second = seen[:40], seen[40:]
    assert sorted(first) == sorted(second) == list(range(40))
    assert (first != second).any()


def test_no_augmentation_leaves_pictures_as_they_are():
    images, labels = bars(8).images, bars(8).labels
    varied, same = Augmentation()(tf.constant(images), tf.constant(labels), tf.constant([1, 2], tf.int64))
    np.testing.assert_array_equal(varied, images)
    np.testing.assert_array_equal(same, labels)


def test_whole_pixel_shifts_move_without_blurring():
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (400, 9, 9, 1), np.uint8))
    augment = Augmentation(width_shift_range=2, fill_mode="wrap")
    varied, _ = augment(images, tf.zeros((400, 1)), tf.constant([1, 2], tf.int64))
    inner = slice(2, -2)
    moves = [
        next(move for move in range(-2, 3) if (np.roll(image, move, axis=1)[:, inner] == after[:, inner]).all())
        for image, after in zip(images.numpy(), varied.numpy(), strict=True)
    ]
    assert set(moves) == {-2, -1, 0, 1, 2}
    assert np.bincount(np.array(moves) + 2).min() > 40, "each shift is as likely"


def test_flips_mirror_about_half():
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), np.uint8))
    varied, _ = Augmentation(horizontal_flip=True)(images, tf.zeros((200, 1)), tf.constant([5, 6], tf.int64))
    same = (varied.numpy() == images.numpy()).all(axis=(1, 2, 3))
    mirrored = (varied.numpy() == images.numpy()[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same | mirrored).all()
    assert 0.35 < mirrored.mean() < 0.65


def test_recomposition_keeps_each_digit_with_its_label():
    """Cells are filled with their own class's brightness, so that moved cells can be identified."""
    labels = np.random.default_rng(0).integers(0, 10, (64, 5)).astype(np.uint8)
    images = np.repeat(labels[:, None, :, None] * np.uint8(20) + np.uint8(10), 28, axis=1)
    images = np.repeat(images.reshape(64, 28, 5, 1), 28, axis=2)
    compose = Recomposition(cell=Augmentation(), slots=5, blank=BLANK, blank_rate=0.3)
    new, classes = compose(tf.constant(images), tf.constant(labels), tf.constant([1, 2], tf.int64))
    cells = new.numpy().reshape(64, 28, 5, 28).transpose(0, 2, 1, 3)
    assert (cells.min(axis=(2, 3)) == cells.max(axis=(2, 3))).all()
    expected = np.where(classes == BLANK, 0, classes.numpy() * 20 + 10)
    np.testing.assert_array_equal(cells[:, :, 0, 0], expected)
    assert 0.2 < (classes.numpy() == BLANK).mean() < 0.4
    kept = classes.numpy()[classes.numpy() != BLANK]
    assert (np.bincount(kept, minlength=10) <= np.bincount(labels.ravel(), minlength=10)).all()


def test_every_slot_has_to_be_correct():
    logits = np.eye(3)[[[0, 1], [0, 1], [2, 2]]].astype(np.float32)
    correct = objectives.every_slot(np.array([[0, 1], [0, 2], [2, 2]]), logits)
    assert np.array(correct).tolist() == [True, False, True]


def test_several_inputs_and_targets_of_several_parts():
    """A network of two inputs learns what only both together determine, under an objective of its own."""
    rng = np.random.default_rng(0)
    left, right = (rng.integers(0, 2, (512, 1)).astype(np.float32) for _ in range(2))
    examples = loop.Examples((left, right), {"sum": left + right, "weight": np.ones((512, 1), np.float32)})

    def both():
        one, other = keras.Input((1,)), keras.Input((1,))
        x = layers.Dense(16, activation="relu")(layers.Concatenate()([one, other]))
        return keras.Model([one, other], {"sum": layers.Dense(1, dtype="float32")(x)})

    class Squared:
        def loss(self, targets, outputs):
            return keras.ops.square(targets["sum"] - outputs["sum"]) * targets["weight"]

        def correct(self, targets, outputs):
            return keras.ops.all(keras.ops.abs(targets["sum"] - outputs["sum"]) < 0.3, axis=-1)

    with loop.running("float32") as run:
        model = loop.fit(
            both,
            examples,
            examples,
            recipe=Recipe(epochs=10, batch=32, learning_rate=0.03),
            budget=1.0,
            seed=1,
            objective=Squared(),
        )
    assert run.history[-1]["val_exact_match"] > 0.95
    outputs = model([left, right])["sum"].numpy()
    assert np.abs(outputs - left - right).max() < 0.3


def test_a_training_may_be_free_of_the_order_of_sums(monkeypatch):
    asked = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    with loop.running("float32", deterministic=False):
        fit(epochs=1)
    assert asked == []
    with loop.running("float32"):
        fit(epochs=1)
    assert asked == [True]

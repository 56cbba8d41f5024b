"""Transfer: where weights come from, what stays frozen, what features save, and that pretraining helps."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pipeline.config import params
from pipeline.config.types import Recipe
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import digest, read_json
from pipeline.core.images import ImageSet
from pipeline.networks import features, pretrained
from pipeline.networks.features import Features
from pipeline.preprocessing import normalization
from pipeline.preprocessing.normalization import Normalizer
from pipeline.records.features import FeaturesRecord
from pipeline.remote import weights as published
from pipeline.strategies import vgg16
from pipeline.training import loop, models, optimizers

ROOT = Path(__file__).parents[2]
ENTRY = params.load(ROOT / "params.yaml").strategies["vgg16"]
SETTINGS = {**ENTRY.settings, "weights": "none"}
HEAD = {"activation": "relu", "dropout": 0.5, "batch_norm": True, "seed": 1, "budget": 1.0}


def small(*, include_top, weights, input_shape):
    """A chain as those of keras.applications, small enough to be trained here."""
    assert not include_top
    assert weights is None
    x = pictures = keras.Input(input_shape)
    for block, (channels, pooling) in enumerate(((8, 2), (16, 2), (32, 7)), 1):
        for convolution in (1, 2):
            x = layers.Conv2D(channels, 3, padding="same", activation="relu", name=f"block{block}_conv{convolution}")(x)
        x = layers.MaxPooling2D(pooling, name=f"block{block}_pool")(x)
    return keras.Model(pictures, x, name="small")


descent = optimizers.sgd(momentum=0.9)


def recipe(epochs):
    return Recipe(epochs=epochs, batch=32, learning_rate=0.02)


def gratings(directions, n, seed):
    """Faint stripes at random places in strong noise; which of five directions (times 18 degrees) is the label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, n)
    angle, phase = np.pi * np.array(directions)[labels] / 10, rng.uniform(0, 2 * np.pi, n)
    y, x = np.mgrid[:28, :28]
    along = x * np.cos(angle)[:, None, None] + y * np.sin(angle)[:, None, None]
    images = 128 + 30 * np.sin(2 * np.pi / 6 * along + phase[:, None, None])[..., None]
    noisy = np.clip(images + rng.normal(0, 50, (n, 28, 28, 3)), 0, 255).astype(np.uint8)
    return ImageSet(noisy, labels[:, None].astype(np.uint8), tuple("abcde"), "made by the test")


@pytest.fixture(scope="module")
def patches(embedded):
    splits = embedded["cifar10/cifar10"]
    rng = np.random.default_rng(0)
    return [splits[name].take(rng.permutation(len(splits[name]))[:n]) for name, n in (("train", 64), ("valid", 32))]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The file of a small base that learned to tell the five even directions."""
    known = gratings(range(0, 10, 2), 1000, seed=1)
    keras.utils.set_random_seed(3)
    base = pretrained.base(small, "none", size=28, seed=3)
    network = base.network()
    pictures = keras.Input(known.shape, dtype="uint8")
    logits = layers.Dense(5)(layers.Flatten()(network(base.prepared(pictures))))
    model = keras.Model(pictures, logits)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.fit(known.images, known.labels, batch_size=32, epochs=10, verbose=0)
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    network.save_weights(path)
    return path


def test_a_base_that_learned_five_classes_is_better_on_the_other_five(learned):
    few, unseen = gratings(range(1, 10, 2), 60, seed=2), gratings(range(1, 10, 2), 600, seed=3)
    right = {}
    for name, weights in (("pretrained", {"file": str(learned), "sha256": digest(learned)}), ("random", "none")):
        base = pretrained.base(small, weights, size=28, seed=1)
        cut = len(small(include_top=False, weights=None, input_shape=(28, 28, 3)).layers)
        kept = features.of(base, cut, few.images)
        with loop.running("float32") as run:
            model = vgg16.transfer(
                base, few, few, kept=(kept, kept), freeze_until=cut, recipe=recipe(40), optimizer=descent, **HEAD
            )
        assert run.pretrained == (f"local:{digest(learned)[:12]}" if name == "pretrained" else "not_applicable")
        right[name] = models.read(model, unseen.images).classes[:, 0] == unseen.labels[:, 0]
    gain = right["pretrained"].astype(float) - right["random"]
    rng = np.random.default_rng(0)
    means = gain[rng.integers(0, len(gain), (2000, len(gain)))].mean(axis=1)
    assert np.quantile(means, 0.025) > 0, "the paired 95 % interval of the gain holds zero"


@pytest.mark.parametrize(
    ("cut", "trained"), [(19, []), (15, ["block5_conv1", "block5_conv2", "block5_conv3"])], ids=["[:19]", "[:15]"]
)
def test_just_the_layers_behind_the_cut_train(cut, trained, patches):
    train, valid = patches
    base = pretrained.base(keras.applications.VGG16, "none", size=32, seed=1)
    names = [layer.name for layer in base.network().layers]
    assert len(names) == 19
    frozen, rest = pretrained.split(base.network(), cut)
    assert [layer.name for layer in rest if layer.trainable_weights] == trained
    assert not frozen.trainable_weights
    model = vgg16.transfer(base, train, valid, kept=None, freeze_until=cut, recipe=recipe(1), optimizer=descent, **HEAD)
    before = {weight.path.split("/")[-2:][0] + weight.name: weight.numpy() for weight in base.network().weights}
    after = {weight.path.split("/")[-2:][0] + weight.name: weight.numpy() for weight in model.weights}
    changed = {
        name.removesuffix("kernel").removesuffix("bias") for name in before if (before[name] != after[name]).any()
    }
    assert sorted(changed) == trained


@pytest.mark.parametrize("cut", [19, 15])
def test_with_and_without_kept_features_training_is_the_same(cut, patches, tmp_path):
    train, valid = patches
    settings = {**SETTINGS, "freeze_until": cut}
    arguments = {**ENTRY.arguments, "weights": "none", "freeze_until": cut}
    made = features.make("vgg16", train, valid, settings=settings, seed=1, policy="float32")
    made.save(tmp_path / "kept")
    loaded = Features.load(tmp_path / "kept")
    np.testing.assert_array_equal(loaded.train, made.train)
    outputs, histories = [], []
    for folder in (None, tmp_path / "kept"):
        with loop.running("float32") as run:
            model = vgg16.train(
                train, valid, normalizer=None, seed=1, budget=3 / settings["epochs"], features=folder, **arguments
            )
        outputs.append(models.read(model, valid.images))
        histories.append([epoch["loss"] for epoch in run.history])
        assert model.inputs[0].shape == (None, 32, 32, 3)
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-3)
    np.testing.assert_allclose(outputs[1].probabilities, outputs[0].probabilities, atol=1e-3)


def test_preprocessing_is_that_of_keras_and_a_larger_input_is_a_layer(patches):
    images = patches[0].images[:4]
    base = pretrained.Base(small, 64, small(include_top=False, weights=None, input_shape=(64, 64, 3)).get_weights(), "")
    pictures = keras.Input((32, 32, 3), dtype="uint8")
    prepared = keras.Model(pictures, base.prepared(pictures))
    assert prepared.output_shape == (None, 64, 64, 3)
    plain = keras.Model(pictures, pretrained.Base(small, 32, base.weights, "").prepared(pictures))
    expected = keras.applications.vgg16.preprocess_input(images.astype(np.float32))
    np.testing.assert_allclose(plain(images).numpy(), expected, atol=1e-4)


def test_augmentation_and_features_exclude_each_other_and_the_record_has_the_reason(patches, tmp_path):
    train, valid = patches
    varied = {**SETTINGS, "augmentation": {**SETTINGS["augmentation"], "horizontal_flip": True}}
    made = features.make("vgg16", train, valid, settings=varied, seed=1, policy="float32")
    assert made.train is None
    assert "horizontal_flip" in made.record.missing
    made.save(tmp_path / "kept")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["base.npz", "features.json"]
    loaded = Features.load(tmp_path / "kept")
    with pytest.raises(DataError, match=r"computed with augmentation .* expected .* run `dvc repro`"):
        loaded.require(train, valid, augmentation=SETTINGS["augmentation"])
    assert features.missing({**SETTINGS, "freeze_until": 1})
    assert features.missing(SETTINGS) is None


def test_features_of_other_pictures_or_settings_are_refused(patches, tmp_path):
    train, valid = patches
    base = pretrained.base(small, "none", size=28, seed=1)
    record = FeaturesRecord(
        network="vgg16",
        weights="none",
        input_size=28,
        freeze_until=19,
        augmentation={},
        pretrained="not_applicable",
        precision="float32",
        origin="embedded",
        missing=None,
        code={},
    )
    kept = Features(np.zeros((3, 1), np.float32), np.zeros((2, 1), np.float32), base, record)
    with pytest.raises(DataError, match="freeze_until 19, expected 15"):
        kept.require(train, valid, freeze_until=15)
    with pytest.raises(DataError, match=r"of \(3, 2\) pictures \(train, valid\), expected \(64, 32\)"):
        kept.require(train, valid, freeze_until=19)
    with pytest.raises(DataError, match=r"features\.json|no features"):
        Features.load(tmp_path)


def test_weights_from_a_file_are_held_to_their_digest(learned, tmp_path):
    base = pretrained.base(small, {"file": str(learned), "sha256": digest(learned)}, size=28, seed=1)
    assert base.pretrained == f"local:{digest(learned)[:12]}"
    again = pretrained.base(small, {"file": str(learned), "sha256": digest(learned)}, size=28, seed=2)
    for first, second in zip(base.weights, again.weights, strict=True):
        np.testing.assert_array_equal(first, second)
    with pytest.raises(DataError, match=f"SHA-256 {digest(learned)} found, expected {'0' * 64}"):
        pretrained.base(small, {"file": str(learned), "sha256": "0" * 64}, size=28, seed=1)
    with pytest.raises(DataError, match="no such file"):
        pretrained.base(small, {"file": str(tmp_path / "none.h5"), "sha256": "0" * 64}, size=28, seed=1)
    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), layers.Dense(3)]).save_weights(other)
    for path in (other, Path(__file__)):
        with pytest.raises(DataError, match="does not fit small"):
            pretrained.base(small, {"file": str(path), "sha256": digest(path)}, size=28, seed=1)


def test_a_size_that_the_network_cannot_take_and_a_cut_behind_its_end_are_clear_errors():
    with pytest.raises(ConfigurationError, match=r"input_size: 16: .*at least 32"):
        pretrained.base(keras.applications.VGG16, "none", size=16, seed=1)
    with pytest.raises(ConfigurationError, match="expected 1 to 10, the layers of small, found 11"):
        pretrained.split(small(include_top=False, weights=None, input_shape=(28, 28, 3)), 11)


def test_imagenet_comes_from_the_mirror_and_is_verified(monkeypatch, tmp_path):
    """The file's path below the mirror is that of the weights of VGG16; the digest is that of the file of this test."""
    monkeypatch.setitem(pretrained.NETWORKS, "vgg16", small)
    remote = published.IMAGENET["vgg16"].remote
    path = tmp_path / remote.name
    path.parent.mkdir()
    learned = small(include_top=False, weights=None, input_shape=(28, 28, 3))
    learned.save_weights(path)
    monkeypatch.setenv("DATASETS_MIRROR", str(tmp_path))
    with pytest.raises(DataError, match=r"SHA-256 .* found, expected a2f51117"):
        pretrained.base(small, "imagenet", size=28, seed=1)
    monkeypatch.setitem(published.IMAGENET, "vgg16", published.WeightsFile(remote, digest(path)))
    base = pretrained.base(small, "imagenet", size=28, seed=1)
    assert base.pretrained == "imagenet"
    for found, expected in zip(base.weights, learned.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_mirror_s_own_file_fits_vgg16():
    """Published values of the first kernel of VGG16: those that a public print-out of Keras's file shows."""
    if not os.environ.get("DATASETS_MIRROR"):
        pytest.skip("no mirror")
    base = pretrained.base(keras.applications.VGG16, "imagenet", size=32, seed=1)
    assert base.pretrained == "imagenet"
    assert len(base.weights) == 26
    np.testing.assert_allclose(base.weights[0][0, 0, :, 0], [0.42947, 0.55038, 0.48002], atol=1e-5)


@pytest.mark.slow
def test_without_imagenet_a_run_says_so_at_once_and_so_do_its_records(patches, tmp_path):
    """The two stages as DVC runs them, behind a proxy that nobody listens at."""
    train, valid = patches
    for name, pictures in (("train", train), ("valid", valid)):
        pictures.save(tmp_path / f"data/{name}.npz")
    Normalizer.of(normalization.fit(train, name="cifar10/cifar10", zca_epsilon=1e-6), "none").save(
        tmp_path / "none.npz"
    )
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("budget: 1.0", "budget: 0.1", 1))
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    (tmp_path / "stages").symlink_to(ROOT / "stages")
    environment = {**os.environ, "KERAS_HOME": str(tmp_path / "keras")}
    environment.pop("DATASETS_MIRROR", None)
    environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")

    def run(stage, **arguments):
        command = [sys.executable, "-m", f"stages.{stage}", "--strategy", "vgg16", "--data", "data"]
        command += [text for name, value in arguments.items() for text in (f"--{name}", value)]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        (line,) = [line for line in result.stderr.splitlines() if "PRETRAINED WEIGHTS MISSING" in line]
        assert "every result says `pretrained: missing`" in line
        return line

    assert "URL fetch failure" in run("features", network="vgg16", out="kept")
    assert read_json(tmp_path / "kept/features.json")["pretrained"] == "missing"
    where = {"normalizer": "none.npz", "out": "model", "curves": "curves", "timings": "timings.json"}
    run("train", features="kept", **where)
    record = read_json(tmp_path / "model/training.json")
    assert record["pretrained"] == "missing"
    assert record["settings"]["weights"] == "imagenet"

"""Every switch and mode, compared with the old generator, scikit-learn, the layers, and a saved model."""

import dataclasses
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from sklearn.decomposition import PCA

from pipeline.config.types import MODE_NAMES
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import digest
from pipeline.core.images import ImageSet
from pipeline.plots import spectra, style
from pipeline.preprocessing import normalization
from pipeline.preprocessing.normalization import Normalizer, Statistics

ROOT = Path(__file__).parents[2]
COMBINED = {
    "samplewise center": {"samplewise_center": True},
    "samplewise": {"samplewise_center": True, "samplewise_std_normalization": True},
    "featurewise center": {"featurewise_center": True},
    "featurewise": {"featurewise_center": True, "featurewise_std_normalization": True},
    "whitening": {"featurewise_center": True, "zca_whitening": True},
    "nothing": {},
    "sample, then feature": {
        "samplewise_center": True,
        "samplewise_std_normalization": True,
        "featurewise_center": True,
        "featurewise_std_normalization": True,
    },
    "sample, then whitening": {"samplewise_center": True, "featurewise_center": True, "zca_whitening": True},
}
TINY = 1e-12
"""An epsilon that does nothing, as the old generator's does nothing."""


def pictures(count=400, shape=(6, 7, 3), seed=0):
    """Correlated pictures, their mean picture and channels apart: what centring and whitening are for."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    mixed = rng.normal(size=(count, size)) @ (rng.normal(size=(size, size)) / 3 + np.eye(size))
    levels = 100 + 20 * rng.random(size) + 15 * np.tile(np.arange(shape[-1]), size // shape[-1])
    images = np.clip(mixed * 15 + levels, 0, 255).astype(np.uint8).reshape(count, *shape)
    return ImageSet(images, np.zeros((count, 1), np.uint8), ("a",), "embedded")


def old_generator(train, **switches):
    """The old generator, fitted; it takes the picture itself as the batch, so pictures go one by one."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    generator = ImageDataGenerator(rescale=1 / 255, **switches)
    generator.fit(train.images)
    return generator


def standardized(generator, images):
    return np.stack([generator.standardize(image.astype(np.float32)) for image in images])


def assert_close(ours, theirs, relative=1e-3):
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= relative * np.abs(theirs).max()


@pytest.fixture(scope="module")
def fitted():
    train = pictures()
    return train, normalization.fit(train, name="test/pictures", zca_epsilon=1e-6)


@pytest.fixture(scope="module")
def as_of_old():
    train = pictures()
    return train, normalization.fit(train, name="test/pictures", zca_epsilon=TINY, zca_center="channel")


@pytest.mark.parametrize("switches", COMBINED.values(), ids=COMBINED)
def test_every_switch_does_what_the_old_generator_did(as_of_old, switches):
    train, statistics = as_of_old
    theirs = standardized(old_generator(train, **switches), train.images[:60])
    assert_close(statistics.apply(train.images[:60], switches), theirs)


@pytest.mark.parametrize(
    ("switches", "rule"),
    [
        ({"samplewise_std_normalization": True}, "samplewise_std_normalization turns samplewise_center on"),
        ({"featurewise_std_normalization": True}, "featurewise_std_normalization turns featurewise_center on"),
        (
            {"featurewise_center": True, "featurewise_std_normalization": True, "zca_whitening": True},
            "zca_whitening overrides featurewise_std_normalization",
        ),
        ({"featurewise_center": False, "zca_whitening": True}, "featurewise_center: false has no effect"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_contradictions_are_resolved_as_of_old_and_said(as_of_old, switches, rule):
    train, statistics = as_of_old
    with pytest.warns(UserWarning, match=rule):
        ours = statistics.apply(train.images[:20], switches)
    with pytest.warns(UserWarning, match="This ImageDataGenerator specifies"):
        generator = old_generator(train, **switches)
    assert_close(ours, standardized(generator, train.images[:20]))


def test_an_epsilon_without_whitening_is_said_to_do_nothing(fitted):
    train, statistics = fitted
    with pytest.warns(UserWarning, match="zca_epsilon has no effect without zca_whitening"):
        ours = statistics.apply(train.images[:5], {"zca_epsilon": 1.0})
    np.testing.assert_array_equal(ours, statistics.apply(train.images[:5], "rescale"))


@pytest.mark.parametrize("name", [name for name in MODE_NAMES if name != "none"])
def test_a_name_is_short_for_its_switches(fitted, name):
    train, statistics = fitted
    with warnings.catch_warnings(action="error"):
        named = statistics.apply(train.images[:20], name)
    np.testing.assert_array_equal(named, statistics.apply(train.images[:20], normalization.SWITCHES[name]))


def test_none_leaves_the_grey_levels(fitted):
    train, statistics = fitted
    np.testing.assert_array_equal(statistics.apply(train.images[:5], "none"), train.images[:5].astype(np.float32))


@pytest.mark.parametrize("epsilon", [1e-6, 0.3, 30.0])
def test_the_old_epsilon_is_a_gain_of_its_own_for_each_direction(as_of_old, epsilon):
    train, statistics = as_of_old
    generator = old_generator(train, featurewise_center=True, zca_whitening=True, zca_epsilon=epsilon)
    # It adds epsilon to the singular values, sqrt(n s): outside the root, and weaker the more pictures there are.
    old = epsilon / np.sqrt(len(train))
    gains = 1 / (np.sqrt(statistics.zca_values) + old)
    assert_close((statistics.zca_vectors * gains) @ statistics.zca_vectors.T, generator.zca_whitening_matrix)
    # Where a direction has variance s, ours does the same with 2 sqrt(s) old + old^2.
    same = 2 * np.sqrt(statistics.zca_values) * old + old**2
    np.testing.assert_allclose(1 / np.sqrt(statistics.zca_values + same), gains, rtol=1e-9)


def test_whitening_about_the_mean_picture_is_pca_turned_back(fitted):
    train, statistics = fitted
    white = statistics.apply(train.images, {"zca_whitening": True, "zca_epsilon": TINY}).reshape(len(train), -1)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(white.shape[1]), atol=1e-3)
    flat = train.images.reshape(len(train), -1) / 255
    pca = PCA(whiten=True).fit(flat)
    # scikit-learn divides the covariance by n - 1 and leaves the principal axes; ours divides by n and turns back.
    assert_close(white, pca.transform(flat) @ pca.components_ * np.sqrt(len(train) / (len(train) - 1)))


def test_real_pictures_whiten_as_the_old_generator_whitens_them(embedded):
    whole = embedded["cifar10/cifar10"]["train"]
    train = ImageSet(np.ascontiguousarray(whole.images[:, 12:20, 12:20]), whole.labels, whole.class_names, whole.origin)
    statistics = normalization.fit(train, name="cifar10/cifar10", zca_epsilon=TINY, zca_center="channel")
    assert len(statistics.zca_values) == 192, "too few pictures to compare on"
    generator = old_generator(train, featurewise_center=True, zca_whitening=True)
    assert_close(statistics.apply(train.images[:100], "zca"), standardized(generator, train.images[:100]))


def test_epsilon_needs_no_new_fit(fitted):
    train, statistics = fitted
    for epsilon in (1e-5, 1e-2):
        again = normalization.fit(train, name="x", zca_epsilon=epsilon)
        switches = {"zca_whitening": True, "zca_epsilon": epsilon}
        np.testing.assert_array_equal(again.apply(train.images, "zca"), statistics.apply(train.images, switches))
    varies = statistics.apply(train.images, switches).reshape(len(train), -1).var(axis=0).sum()
    values = statistics.zca_values
    np.testing.assert_allclose(varies, np.sum(values / (values + epsilon)), rtol=1e-3)


def test_the_condition_number_is_that_of_the_matrix(fitted):
    _, statistics = fitted
    for epsilon in (1e-4, 1e-2):
        expected = np.linalg.cond(statistics.zca_matrix(epsilon).astype(np.float64))
        np.testing.assert_allclose(statistics.zca_condition(epsilon), expected, rtol=1e-3)
        np.testing.assert_allclose(statistics.zca_matrix(epsilon), statistics.zca_matrix(epsilon).T, atol=1e-5)


@pytest.mark.parametrize("count", [2, 25])
@pytest.mark.parametrize("center", ["picture", "channel"])
def test_few_pictures_leave_directions_that_all_get_the_last_gain(count, center):
    few = pictures(count)
    statistics = normalization.fit(few, name="x", zca_epsilon=1e-3, zca_center=center)
    assert len(statistics.zca_values) == count
    flat = few.images.reshape(count, -1) / 255
    about = np.tile(flat.reshape(-1, 3).mean(axis=0), 42) if center == "channel" else flat.mean(axis=0)
    covariance = (flat - about).T @ (flat - about) / count
    values, vectors = np.linalg.eigh(covariance)
    assert_close(statistics.zca_matrix(1e-3), vectors / np.sqrt(np.maximum(values, 0) + 1e-3) @ vectors.T)


@pytest.mark.parametrize("size", [1, 7, 150, 1000])
def test_blocks_of_any_size_give_the_same_bytes(fitted, size):
    train, statistics = fitted
    blocks = (train.images[start : start + size] for start in range(0, len(train), size))
    streamed = normalization.fit(blocks, name="test/pictures", zca_epsilon=1e-6)
    for name in ("mean", "deviation", "zca_mean", "zca_values", "zca_vectors"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(statistics, name))


def test_sums_are_exact_at_the_ends_of_the_scale():
    rng = np.random.default_rng(3)
    extreme = (rng.random((2100, 3, 3, 1)) < 0.5).astype(np.uint8) * 255
    extreme[:, 0, 0] = 0
    statistics = normalization.fit([extreme], name="x", zca_epsilon=1e-3)
    flat = extreme.reshape(2100, -1) / 255
    np.testing.assert_allclose(statistics.mean, flat.mean(), rtol=1e-7)
    np.testing.assert_allclose(statistics.deviation, flat.std(), rtol=1e-6)
    expected = np.linalg.eigvalsh(np.cov(flat.T, bias=True))[::-1]
    np.testing.assert_allclose(statistics.zca_values, expected, atol=1e-12)
    assert np.isfinite(statistics.apply(extreme, "zca")).all()


@pytest.mark.parametrize(
    "blocks",
    [
        [np.zeros((4, 6, 7, 3), np.float32)],
        [np.zeros((4, 6, 7), np.uint8)],
        [np.zeros((4, 6, 7, 3), np.uint8), np.zeros((4, 7, 6, 3), np.uint8)],
    ],
    ids=["dtype", "rank", "shape"],
)
def test_a_block_of_another_kind_is_refused(blocks):
    with pytest.raises(DataError, match=r"x: a block of (float32|uint8) \(4, .*\) found, expected uint8 \(pictures, "):
        normalization.fit(iter(blocks), name="x", zca_epsilon=1e-6)


def test_featurewise_centres_and_scales_every_channel(fitted):
    train, statistics = fitted
    normal = statistics.apply(train.images, "featurewise").reshape(-1, 3)
    np.testing.assert_allclose(normal.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(normal.std(axis=0), 1, atol=1e-4)


@given(images=arrays.arrays(np.uint8, (3, 4, 5, 1)))
@settings(max_examples=50, deadline=None)
def test_samplewise_centres_every_picture_whatever_it_holds(images):
    statistics = Statistics("x", (4, 5, 1), np.zeros(1, np.float32), np.ones(1, np.float32))
    normal = statistics.apply(images, "samplewise")
    assert np.isfinite(normal).all()
    np.testing.assert_allclose(normal.mean(axis=(1, 2, 3)), 0, atol=0.02)
    constant = images.reshape(3, -1).std(axis=1) == 0
    assert np.abs(normal[constant]).max(initial=0) < 0.02


LAYERED = {name: name for name in MODE_NAMES} | COMBINED


@pytest.mark.parametrize("mode", LAYERED.values(), ids=LAYERED)
def test_the_layers_compute_what_numpy_computes(fitted, mode):
    import keras

    from pipeline.layers import normalize

    train, statistics = fitted
    images = keras.Input(train.shape, dtype="uint8")
    model = keras.Model(images, normalize(images, Normalizer.of(statistics, mode)))
    expected = statistics.apply(train.images[:50], mode)
    np.testing.assert_allclose(
        model(train.images[:50]).numpy(), expected, atol=1e-4 * np.abs(expected).max(), rtol=1e-3
    )


def test_whitening_stays_float32_in_a_model_that_trains_in_bfloat16(fitted):
    import keras

    from pipeline.layers import normalize

    train, statistics = fitted
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        images = keras.Input(train.shape, dtype="uint8")
        model = keras.Model(images, normalize(images, Normalizer(statistics, COMBINED["sample, then whitening"])))
    finally:
        keras.config.set_dtype_policy("float32")
    outputs = model(train.images[:50]).numpy()
    assert outputs.dtype == np.float32
    assert_close(outputs, statistics.apply(train.images[:50], COMBINED["sample, then whitening"]), relative=1e-4)


READ = """
import sys
import numpy as np
from pipeline import layers
from pipeline.training import models
assert "pipeline.preprocessing.normalization" not in sys.modules
images = np.load(sys.argv[2])
np.save(sys.argv[3], models.load(sys.argv[1])(images).numpy())
"""


def test_a_saved_model_carries_it_all_and_exports(fitted, tmp_path):
    """Loaded where nothing but the layers was imported; and in ONNX Runtime."""
    import keras
    import onnx
    import onnxruntime

    from pipeline.layers import normalize
    from pipeline.training import models

    train, statistics = fitted
    images = keras.Input(train.shape, dtype="uint8", name="pictures")
    modes = ("samplewise", "featurewise", "zca", {"samplewise_center": True}, {"featurewise_center": True})
    parts = [
        keras.Model(images, normalize(images, Normalizer.of(statistics, mode)), name=f"part{part}")(images)
        for part, mode in enumerate(modes)
    ]
    model = keras.Model(images, keras.layers.Concatenate()(parts))
    few = train.images[:20]
    expected = model(few).numpy()
    models.save(model, tmp_path / "model.keras")
    np.save(tmp_path / "few.npy", few)
    files = [str(tmp_path / name) for name in ("model.keras", "few.npy", "outputs.npy")]
    subprocess.run([sys.executable, "-c", READ, *files], cwd=ROOT, check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "outputs.npy"), expected)
    with warnings.catch_warnings(action="ignore"):
        model.export(tmp_path / "model.onnx", format="onnx", opset_version=17, verbose=False)
    assert onnx.load(tmp_path / "model.onnx").opset_import[0].version == 17
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (outputs,) = session.run(None, {session.get_inputs()[0].name: few})
    assert_close(outputs, expected, relative=1e-4)


@pytest.mark.parametrize("mode", ["none", "featurewise", "zca", {"samplewise_center": True}], ids=str)
def test_a_normalizer_is_restored_from_its_file(fitted, mode, tmp_path):
    train, statistics = fitted
    Normalizer.of(statistics, mode).save(tmp_path / "n.npz")
    loaded = Normalizer.load(tmp_path / "n.npz")
    assert loaded.mode == mode
    assert (loaded.statistics.name, loaded.statistics.shape) == ("test/pictures", (6, 7, 3))
    np.testing.assert_array_equal(loaded.apply(train.images), statistics.apply(train.images, mode))


def test_no_normalizer_but_the_whitening_depends_on_the_whitening(fitted, tmp_path):
    """Whitening's last bits differ between processors, and must make no other training stale."""
    _, statistics = fitted
    elsewhere = dataclasses.replace(statistics, zca_vectors=np.nextafter(statistics.zca_vectors, np.float32(1)))
    files = {}
    for where, fit in (("here", statistics), ("elsewhere", elsewhere)):
        for name, normalizer in normalization.normalizers(fit, {name: name for name in MODE_NAMES}).items():
            normalizer.save(tmp_path / where / f"{name}.npz")
        files[where] = {path.name: digest(path) for path in (tmp_path / where).iterdir()}
    assert set(files["here"]) == {f"{name}.npz" for name in MODE_NAMES}
    assert {name for name, found in files["here"].items() if found != files["elsewhere"][name]} == {"zca.npz"}


def test_the_spectrum_is_drawn_with_its_condition_number_and_always_the_same(fitted, tmp_path):
    _, statistics = fitted
    drawn = spectra.spectrum(statistics)
    assert f"is {statistics.zca_condition(1e-6):,.0f}" in drawn.get_suptitle()
    before, after = (line.get_ydata() for line in drawn.axes[0].lines[:2])
    np.testing.assert_allclose(before, statistics.zca_values, rtol=1e-6)
    assert before.max() / before.min() > 100
    np.testing.assert_allclose(after, 1, atol=0.05)
    for name in ("one.png", "two.png"):
        style.save(spectra.spectrum(statistics), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_zca_is_refused_where_its_matrix_makes_no_sense():
    strips = ImageSet(np.zeros((4, 28, 140, 1), np.uint8), np.zeros((4, 5), np.uint8), ("0",), "embedded")
    statistics = normalization.fit(strips, name="strips/plain", zca_epsilon=1e-6)
    assert not statistics.whitens
    for mode in ("zca", {"zca_whitening": True}):
        with pytest.raises(ConfigurationError, match=r"zca was asked for strips/plain, whose pictures have 3920 value"):
            statistics.apply(strips.images, mode)


def test_pictures_of_another_shape_are_refused(fitted):
    _, statistics = fitted
    with pytest.raises(DataError, match=r"shape \(5, 5, 3\) found, expected \(6, 7, 3\)"):
        statistics.apply(np.zeros((2, 5, 5, 3), np.uint8), "rescale")


@pytest.mark.parametrize(
    ("mode", "complaint"),
    [
        (
            "white",
            "expected one of none, rescale, samplewise, featurewise, zca, or a mapping of switches, found 'white'",
        ),
        (["zca"], r"expected one of none, .* found \['zca'\]"),
        ({"zca_whitning": True}, r"normalization\.zca_whitning: unknown key \(did you mean 'zca_whitening'\?\)"),
        ({"zca_whitening": 1}, r"normalization\.zca_whitening: expected a valid boolean, found 1"),
        ({"zca_whitening": True, "zca_epsilon": 0}, r"normalization\.zca_epsilon: expected greater than 0, found 0"),
        (
            {"zca_whitening": True, "zca_epsilon": "a"},
            r"normalization\.zca_epsilon: expected a valid number, found 'a'",
        ),
    ],
)
def test_an_unknown_mode_or_switch_is_one_clear_line(fitted, mode, complaint):
    _, statistics = fitted
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        statistics.apply(np.zeros((2, 6, 7, 3), np.uint8), mode)
    assert "\n" not in str(caught.value)


def test_an_unknown_center_is_refused():
    with pytest.raises(ConfigurationError, match="zca_center: expected 'picture' or 'channel', found 'pixel'"):
        normalization.fit(pictures(3), name="x", zca_epsilon=1e-6, zca_center="pixel")


def test_one_picture_is_too_few():
    with pytest.raises(DataError, match="1 training pictures found, expected at least 2"):
        normalization.fit(pictures(1), name="x", zca_epsilon=1e-6)
    with pytest.raises(DataError, match="0 training pictures found, expected at least 2"):
        normalization.fit(iter([]), name="x", zca_epsilon=1e-6)


def test_a_damaged_file_is_one_clear_line(tmp_path):
    (tmp_path / "s.npz").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(DataError, match="a damaged file"):
        Normalizer.load(tmp_path / "s.npz")
    with pytest.raises(DataError, match="no such file"):
        Normalizer.load(tmp_path / "none.npz")

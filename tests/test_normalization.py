"""Every mode: what NumPy says, what the layer says, and what a saved model still says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from sklearn.decomposition import PCA

from pipeline import normalization
from pipeline.errors import ConfigurationError, DataError
from pipeline.images import ImageSet
from pipeline.normalization import Statistics
from pipeline.params import MODE_NAMES


def pictures(count=400, shape=(6, 7, 3), seed=0):
    """Correlated pictures: what ZCA is for."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    mixed = rng.normal(size=(count, size)) @ (rng.normal(size=(size, size)) / 3 + np.eye(size))
    images = np.clip(mixed * 20 + 120, 0, 255).astype(np.uint8).reshape(count, *shape)
    return ImageSet(images, np.zeros((count, 1), np.uint8), ("a",), "embedded")


@pytest.fixture(scope="module")
def fitted():
    train = pictures()
    return train, normalization.fit(train, name="test/pictures", zca_epsilon=1e-6)


@pytest.mark.parametrize("mode", MODE_NAMES)
def test_the_layer_says_what_numpy_says_and_survives_saving(fitted, mode, tmp_path):
    import keras

    from pipeline import models
    from pipeline.layers import normalize

    train, statistics = fitted
    images = keras.Input(train.shape, dtype="uint8")
    model = keras.Model(images, normalize(images, statistics, mode))
    expected = statistics.apply(train.images[:50], mode)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model(train.images[:50]).numpy(), expected, atol=1e-4 * scale, rtol=1e-3)
    models.save(model, tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(train.images[:50]).numpy(), model(train.images[:50]).numpy())


def test_featurewise_centres_and_scales_every_channel(fitted):
    train, statistics = fitted
    normal = statistics.apply(train.images, "featurewise").reshape(-1, 3)
    np.testing.assert_allclose(normal.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(normal.std(axis=0), 1, atol=1e-4)


def test_zca_whitens_and_is_pca_turned_back(fitted):
    train, statistics = fitted
    white = statistics.apply(train.images, "zca").reshape(len(train), -1)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(white.shape[1]), atol=0.02)
    flat = train.images.reshape(len(train), -1) / 255
    pca = PCA(whiten=True).fit(flat)
    # scikit-learn divides the covariance by n - 1 and leaves the principal axes; ours divides by n and turns back.
    turned = pca.transform(flat) @ pca.components_ * np.sqrt(len(train) / (len(train) - 1))
    assert np.abs(white - turned).max() <= 1e-3 * np.abs(turned).max()


def test_zca_leaves_pictures_looking_like_themselves(fitted):
    _, statistics = fitted
    np.testing.assert_allclose(statistics.zca_matrix(1e-6), statistics.zca_matrix(1e-6).T, atol=1e-4)


@given(images=arrays.arrays(np.uint8, (3, 4, 5, 1)))
@settings(max_examples=50, deadline=None)
def test_samplewise_centres_every_picture_whatever_it_holds(images):
    statistics = Statistics("x", (4, 5, 1), np.zeros(1, np.float32), np.ones(1, np.float32))
    normal = statistics.apply(images, "samplewise")
    assert np.isfinite(normal).all()
    np.testing.assert_allclose(normal.mean(axis=(1, 2, 3)), 0, atol=0.02)
    constant = images.reshape(3, -1).std(axis=1) == 0
    assert np.abs(normal[constant]).max(initial=0) < 0.02


def test_statistics_come_back_from_their_file(fitted, tmp_path):
    _, statistics = fitted
    statistics.save(tmp_path / "s.npz")
    loaded = Statistics.load(tmp_path / "s.npz")
    assert (loaded.name, loaded.shape) == (statistics.name, statistics.shape)
    np.testing.assert_array_equal(loaded.zca_vectors, statistics.zca_vectors)


def test_fitting_goes_over_blocks(monkeypatch):
    train = pictures(300)
    whole = normalization.fit(train, name="x", zca_epsilon=1e-6)
    monkeypatch.setattr(normalization, "_BLOCK", 7)
    blocks = normalization.fit(train, name="x", zca_epsilon=1e-6)
    np.testing.assert_allclose(blocks.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(blocks.zca_matrix(1e-6), whole.zca_matrix(1e-6), atol=1e-4)


def test_zca_is_refused_where_its_matrix_makes_no_sense():
    strips = ImageSet(np.zeros((4, 28, 140, 1), np.uint8), np.zeros((4, 5), np.uint8), ("0",), "embedded")
    statistics = normalization.fit(strips, name="strips/plain", zca_epsilon=1e-6)
    assert not statistics.whitens
    with pytest.raises(ConfigurationError, match=r"zca was asked for strips/plain, whose pictures have 3920 values"):
        statistics.apply(strips.images, "zca")


def test_pictures_of_another_shape_are_refused(fitted):
    _, statistics = fitted
    with pytest.raises(DataError, match=r"shape \(5, 5, 3\) found, expected \(6, 7, 3\)"):
        statistics.apply(np.zeros((2, 5, 5, 3), np.uint8), "rescale")


def test_an_unknown_mode_is_refused(fitted):
    _, statistics = fitted
    with pytest.raises(ConfigurationError, match="expected one of none, rescale, samplewise, featurewise, zca"):
        statistics.apply(np.zeros((2, 6, 7, 3), np.uint8), "white")


def test_one_picture_is_too_few():
    with pytest.raises(DataError, match="1 training pictures found, expected at least 2"):
        normalization.fit(pictures(1), name="x", zca_epsilon=1e-6)


def test_a_damaged_file_is_one_clear_line(tmp_path):
    (tmp_path / "s.npz").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(DataError, match="a damaged file"):
        Statistics.load(tmp_path / "s.npz")
    with pytest.raises(DataError, match="no such file"):
        Statistics.load(tmp_path / "none.npz")

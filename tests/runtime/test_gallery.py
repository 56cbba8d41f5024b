"""The gallery of strategies: what is in it, when models are loaded and dropped; and feature maps."""

import galleries
import numpy as np
import onnx_models
import pytest

from pipeline.core.errors import DataError
from pipeline.runtime.features import FeatureNet
from pipeline.runtime.gallery import Gallery
from pipeline.runtime.graph import operators_of, with_outputs
from pipeline.runtime.reader import load_readers

MANY = 10**9


@pytest.fixture
def artifacts(tmp_path):
    return galleries.make(tmp_path / "artifacts")


def gallery_of(artifacts, most_bytes=MANY):
    return Gallery.of(load_readers(artifacts), artifacts, most_bytes)


def test_strategies_are_those_of_the_folder_and_the_packaged_one(artifacts):
    gallery = gallery_of(artifacts)
    assert list(gallery.strategies("strips")) == ["nameless", "slice", "sliding"]
    assert list(gallery.strategies("lines")) == ["centernet"]
    assert gallery.strategies("scenes") == {}
    assert gallery.served("strips") == "sliding"
    assert set(gallery.manifests()) == {
        *(f"strips/{name}" for name in ("nameless", "slice", "sliding")),
        *("lines/centernet", "cifar10/cnn", "mnist/textbook"),
    }


def test_without_a_folder_the_packaged_models_are_compared(artifacts):
    gallery = Gallery.of(load_readers(artifacts), None, MANY)
    assert list(gallery.strategies("strips")) == ["sliding"]
    with pytest.raises(DataError, match="textbook"):
        gallery.feature_net()


def test_models_are_loaded_once_and_dropped_where_they_have_too_many_bytes(artifacts):
    gallery = gallery_of(artifacts)
    assert gallery.reader("strips", "slice") is gallery.reader("strips", "slice")
    small = gallery_of(artifacts, most_bytes=1)
    first = small.reader("strips", "slice")
    assert small.reader("strips", "slice") is first, "one model may have more"
    small.reader("strips", "nameless")
    assert small.reader("strips", "slice") is not first
    assert small.reader("strips", "sliding") is small.reader("strips", "sliding"), "the packaged one stays"


def test_every_strategy_reads(artifacts):
    gallery = gallery_of(artifacts)
    picture = onnx_models.draw([1, 2, 3, 4, 5])[None]
    for name in gallery.strategies("strips"):
        assert gallery.reader("strips", name).read(picture).classes.tolist() == [[1, 2, 3, 4, 5]]


def test_a_model_that_was_changed_or_replaced_is_not_loaded(artifacts):
    gallery = gallery_of(artifacts)
    model = artifacts / "strips" / "strategies" / "slice" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(DataError, match="SHA-256"):
        gallery.reader("strips", "slice")
    model.unlink()
    (model.parent / "manifest.json").unlink()
    model.parent.rmdir()
    (artifacts / ".made" / "strips").mkdir(parents=True, exist_ok=True)
    (artifacts / ".made" / "strips").rmdir()
    galleries.package_strategy(artifacts, "strips", "slice", boxes=True)
    with pytest.raises(DataError, match="replaced since"):
        gallery.reader("strips", "slice")


def test_a_strategy_in_another_one_s_folder_is_refused(artifacts):
    folder = artifacts / "strips" / "strategies"
    (folder / "slice").rename(folder / "ctc")
    with pytest.raises(DataError, match=r"expected the strategy 'ctc' of 'strips', found 'slice'"):
        gallery_of(artifacts)


def test_the_graph_s_operators_are_found_with_their_kernels(artifacts):
    content = (artifacts / "mnist" / "model.onnx").read_bytes()
    found = {operator.kind: operator for operator in operators_of(content, "model")}
    assert (found["Conv"].kernel, found["MaxPool"].kernel, found["Relu"].kernel) == ((3, 3), (2, 2), (0, 0))
    assert found["Relu"].inputs == found["Conv"].outputs
    with pytest.raises(DataError, match="damaged"):
        operators_of(content[:-5], "model")
    assert with_outputs(content, []).startswith(content)


def test_feature_maps_are_what_the_kernels_make_of_the_picture(artifacts):
    net = FeatureNet.load(artifacts / "mnist")
    picture = onnx_models.draw([7], onnx_models.DIGIT_SHAPE)
    readings, layers = net.read(picture)
    assert readings.classes.tolist() == [[7]]
    assert [(layer.kind, layer.kernel, layer.channels, layer.maps.shape) for layer in layers] == [
        ("convolution", (3, 3), 3, (3, 26, 26)),
        ("max_pooling", (2, 2), 3, (3, 13, 13)),
    ]
    convolution, pooling = (layer.maps for layer in layers)
    np.testing.assert_array_equal(convolution[0], picture[1:-1, 1:-1, 0])
    assert not convolution[1].any(), "negative values are rectified"
    cells = convolution.reshape(3, 13, 2, 13, 2)
    np.testing.assert_array_equal(pooling, cells.max(axis=(2, 4)))
    with pytest.raises(DataError, match="expected uint8"):
        net.read(picture[:-1])


def test_a_model_without_convolutions_has_no_feature_maps(tmp_path):
    with pytest.raises(DataError, match="no convolution"):
        FeatureNet.load(onnx_models.package(tmp_path, "mnist"))

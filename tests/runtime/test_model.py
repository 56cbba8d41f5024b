"""Exported models in ONNX Runtime, below the manifest: inputs, batches, and what is rejected."""

import numpy as np
import onnx
import onnx_models
import pytest

from pipeline.core.errors import DataError
from pipeline.core.images import STRIP_SHAPE
from pipeline.runtime.model import OnnxModel

REGIONS = 7
STRIPS = np.stack([onnx_models.draw([digit] * 5) for digit in range(10)])
BOXES = np.random.default_rng(0).uniform(0, 100, (10, REGIONS, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(onnx_models.band_model(STRIP_SHAPE, 5, 11))
    return OnnxModel.load(path)


@pytest.fixture(scope="module")
def with_regions():
    return OnnxModel.of(onnx_models.band_model(STRIP_SHAPE, 5, 11, regions=REGIONS), "regions.onnx", threads=2)


def test_a_model_names_what_it_takes(model, with_regions):
    assert (model.shape, model.regions) == (STRIP_SHAPE, None)
    assert (with_regions.shape, with_regions.regions) == (STRIP_SHAPE, REGIONS)


def test_batches_change_nothing_and_report_their_progress(model):
    starts = []

    def progress(each):
        starts.extend(each)
        return each

    whole, parts = model.read(STRIPS), model.read(STRIPS, batch=4, progress=progress)
    assert starts == [0, 4, 8]
    for name, array in vars(whole).items():
        assert array is getattr(parts, name) or np.array_equal(array, getattr(parts, name)), name
    assert parts.classes[:, 0].tolist() == list(range(10))


@pytest.mark.parametrize("batch", [None, 3])
def test_regions_are_a_second_input(with_regions, batch):
    readings = with_regions.read(STRIPS, BOXES, batch=batch)
    assert readings.classes[:, 0].tolist() == list(range(10))
    assert np.array_equal(readings.boxes, BOXES[:, :5])


@pytest.mark.parametrize(
    "regions",
    [None, BOXES[:9], BOXES[:, :6], BOXES.astype(np.float64), BOXES[..., :3]],
    ids=["none", "of fewer pictures", "too few", "float64", "three sides"],
)
def test_regions_of_another_kind_are_rejected(with_regions, regions):
    with pytest.raises(DataError, match=r"regions: expected float32 \(10, 7, 4\)"):
        with_regions.read(STRIPS, regions)


def test_a_model_without_regions_takes_none(model):
    with pytest.raises(DataError, match="expected none"):
        model.read(STRIPS, BOXES)


def test_a_file_that_is_missing_or_not_a_model_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.onnx: no such file"):
        OnnxModel.load(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(DataError, match=r"text\.onnx: ONNX Runtime cannot load it") as error:
        OnnxModel.load(tmp_path / "text.onnx")
    assert "\n" not in str(error.value)


def renamed(old, new):
    """A model of which an input or output has another name."""
    content = onnx.load_from_string(onnx_models.band_model(STRIP_SHAPE, 5, 11, regions=REGIONS))
    for node in content.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for value in [*content.graph.input, *content.graph.output]:
        value.name = new if value.name == old else value.name
    return content.SerializeToString()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("images", "pictures", "inputs: expected images, uint8"),
        ("regions", "boxes_in", "inputs: expected images and at most regions, found boxes_in too"),
        ("confidence", "certainty", "outputs: confidence missing"),
    ],
)
def test_a_graph_that_breaks_the_contract_is_rejected(old, new, message):
    with pytest.raises(DataError, match=rf"m\.onnx: {message}"):
        OnnxModel.of(renamed(old, new), "m.onnx")

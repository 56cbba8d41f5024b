"""The notebook runs from its first cell to its last, on models as `package` and `registry release` write them."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT_NAMES

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks/reading.py"
KERNEL = np.array([[[[0, 0, 0], [0, 1, 0], [0, 0, 0]]], [[[0, 0, 0], [-1, 0, 1], [0, 0, 0]]]], np.float32)
"""Of two maps: the picture itself, and its vertical edges."""


def convolving_model():
    """The model of bars of a single digit, with a convolution, its activation and a pooling beside."""
    model = onnx.load_from_string(onnx_models.band_model((28, 28, 1), 1, len(DIGIT_NAMES)))
    model.graph.initializer.append(numpy_helper.from_array(KERNEL, "kernel"))
    model.graph.node.extend(
        [
            helper.make_node("Transpose", ["values"], ["first"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["first", "kernel"], ["convolved"]),
            helper.make_node("Relu", ["convolved"], ["maps"]),
            helper.make_node("MaxPool", ["maps"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["n", 2, 13, 13]))
    return model.SerializeToString()


@pytest.fixture(scope="module")
def notebook():
    spec = importlib.util.spec_from_file_location("reading_notebook", NOTEBOOK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def artifacts(tmp_path, monkeypatch):
    onnx_models.package(tmp_path)
    for name in ("bars", "ribbons"):
        onnx_models.package(tmp_path / "made" / name, strategy=name)
        (tmp_path / "strips/strategies").mkdir(exist_ok=True)
        (tmp_path / "made" / name / "strips").rename(tmp_path / "strips/strategies" / name)
    monkeypatch.setenv("READER_ARTIFACTS", str(tmp_path))
    return tmp_path


def test_every_cell_runs_and_two_strategies_read_the_picture_of_the_packaged_model(notebook, artifacts):
    _, found = notebook.app.run()
    assert found["manifest"].strategy == "bands"
    expected = np.asarray(Image.open(ROOT / "docs/examples/strip.png"))[..., None]
    assert np.array_equal(found["picture"].pixels, expected)
    assert [row["strategy"] for row in found["comparison"]] == ["bars", "ribbons"]
    for row in found["comparison"]:
        assert row["digits"] == found["reading"].digits
        assert row["confidence"] == pytest.approx(found["reading"].confidence, abs=1e-4)


def test_without_other_strategies_it_runs_and_compares_nothing(notebook, tmp_path, monkeypatch):
    onnx_models.package(tmp_path, "mnist")
    monkeypatch.setenv("READER_ARTIFACTS", str(tmp_path))
    _, found = notebook.app.run()
    assert found["task"].value == "mnist"
    assert found["comparison"] == []
    assert found["inside"] == {}, "the model of bars has no convolution"


def test_feature_maps_are_those_of_the_graph_after_the_activation(notebook):
    image = np.asarray(Image.open(ROOT / "docs/examples/digit.png"))[..., None]
    maps = notebook.feature_maps(convolving_model(), image)
    assert list(maps) == ["Conv 1", "MaxPool 2"]
    pixels = image[..., 0].astype(np.float32)
    edges = np.maximum(pixels[1:-1, 2:] - pixels[1:-1, :-2], 0)
    assert np.array_equal(maps["Conv 1"], [pixels[1:-1, 1:-1], edges])
    pooled = maps["Conv 1"].reshape(2, 13, 2, 13, 2).max(axis=(2, 4))
    assert np.array_equal(maps["MaxPool 2"], pooled)


def test_without_models_one_line_says_what_to_do(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("READER_ARTIFACTS", str(tmp_path))
    with pytest.raises(DataError, match="no packaged model; run `make repro`"):
        notebook.choose.run()


def test_it_is_a_notebook_without_faults_and_imports_no_tensorflow(artifacts):
    checked = subprocess.run(
        [sys.executable, "-m", "marimo", "check", "--strict", NOTEBOOK], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    code = (
        f"import runpy, sys, json; runpy.run_path({str(NOTEBOOK)!r}, run_name='__main__'); "
        "print(json.dumps(sorted({'tensorflow', 'keras', 'dvc'} & {*sys.modules})))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout.splitlines()[-1]) == []

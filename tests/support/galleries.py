"""Galleries of small models, and pictures for them, for the tests of the page and of comparisons."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx_models
from onnx import TensorProto, helper, numpy_helper

from pipeline.runtime.gallery import STRATEGIES

CONVOLUTIONS = 3
"""Maps of the convolution of `convolutional_model`."""


def package_strategy(artifacts: Path, task: str, name: str, *, boxes: bool = False) -> Path:
    """Write `artifacts/TASK/strategies/NAME`: the model of bars, under that name."""
    other = onnx_models.package(artifacts / ".made", task, boxes=boxes, strategy=name)
    folder = artifacts / task / STRATEGIES / name
    folder.parent.mkdir(exist_ok=True)
    shutil.move(other, folder)
    return folder


def package_textbook(artifacts: Path) -> Path:
    """Write `artifacts/mnist`: the model of bars, with a convolution and a pooling before it that it does not use."""
    model = onnx.load_model_from_string(
        onnx_models.band_model(onnx_models.DIGIT_SHAPE, 1, len(onnx_models.SHAPES["mnist"][2]))
    )
    weights = np.zeros((CONVOLUTIONS, 1, 3, 3), np.float32)
    # The picture itself, its dark parts, and the edges from dark to light.
    weights[0, 0, 1, 1], weights[1, 0, 1, 1], weights[2, 0, :, 0], weights[2, 0, :, 2] = 1, -1, -1, 1
    for value, name in ((weights, "kernels"), (np.array([0, 1, 28, 28], np.int64), "planes")):
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    # The reading stays what the bars say: nothing of the maps is added to it.
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "nothing"))
    maps = [
        helper.make_node("Reshape", ["values", "planes"], ["channels_first"]),
        helper.make_node("Conv", ["channels_first", "kernels"], ["convolved"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["convolved"], ["rectified"]),
        helper.make_node("MaxPool", ["rectified"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("ReduceMax", ["pooled"], ["brightest"], keepdims=0),
        helper.make_node("Mul", ["brightest", "nothing"], ["unused"]),
        helper.make_node("Add", ["scores", "unused"], ["scores_and_nothing"]),
    ]
    nodes = list(model.graph.node)
    at = next(index for index, node in enumerate(nodes) if node.op_type == "MatMul") + 1
    nodes[at].input[0] = "scores_and_nothing"
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:at], *maps, *nodes[at:]])
    onnx.checker.check_model(model)
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    content = model.SerializeToString()
    folder = artifacts / "mnist"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    manifest = onnx_models.manifest(content, "mnist") | {"strategy": "textbook"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def make(artifacts: Path) -> Path:
    """Write models of every task but scenes: of strips three strategies, of which the served one localises."""
    onnx_models.package(artifacts, "strips", boxes=True, strategy="sliding")
    onnx_models.package(artifacts, "lines", boxes=True, strategy="centernet")
    onnx_models.package(artifacts, "cifar10", strategy="cnn")
    package_textbook(artifacts)
    package_strategy(artifacts, "strips", "slice")
    package_strategy(artifacts, "strips", "nameless")
    return artifacts

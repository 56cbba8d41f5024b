"""Small ONNX models for the tests of serving: they read bars, whose height in a slot is the class."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import barred_lines
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.core.images import DIGIT, DIGIT_NAMES, STRIP_NAMES, STRIP_SHAPE
from pipeline.core.lines import LINE_SHAPE, LINE_SLOTS

CIFAR_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_SHAPE = (32, 32, 3)
DIGIT_SHAPE = (DIGIT, DIGIT, 1)
SHAPES = {
    "strips": (STRIP_SHAPE, 5, STRIP_NAMES),
    "lines": (LINE_SHAPE, LINE_SLOTS, STRIP_NAMES),
    "mnist": (DIGIT_SHAPE, 1, DIGIT_NAMES),
    "cifar10": (CIFAR_SHAPE, 1, CIFAR_NAMES),
}
"""By task: the shape of a picture, slots of a reading, names of the classes."""
_BAR = 2


def draw(classes: Sequence[int], shape: tuple[int, int, int] = STRIP_SHAPE) -> np.ndarray:
    """uint8 (H, W, C): in each slot a bar two rows high whose height says the class; nothing for class 10."""
    height, width, channels = shape
    picture = np.zeros((height, len(classes), width // len(classes), channels), np.uint8)
    for slot, index in enumerate(classes):
        if index < len(DIGIT_NAMES):
            picture[_BAR * index + 2 : _BAR * index + 2 + _BAR, slot] = 255
    return picture.reshape(shape)


def band_model(
    shape: tuple[int, int, int], slots: int, classes: int, *, boxes: bool = False, regions: int | None = None
) -> bytes:
    """A linear model of the brightness of rows, with the inputs and outputs that a packaged model has.

    With `regions` it has a second input of so many regions a picture, and its boxes are the first of them.
    """
    height, width, channels = shape
    weights = np.zeros((height, classes), np.float32)
    for index in range(len(DIGIT_NAMES)):
        weights[_BAR * index + 2 : _BAR * index + 2 + _BAR, index] = 8 / 255
    bias = np.zeros(classes, np.float32)
    bias[len(DIGIT_NAMES) :] = 8
    constants = {
        "cells": np.array([0, height, slots, width // slots * channels], np.int64),
        "weights": weights,
        "bias": bias,
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["values", "cells"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["means"], axes=[3], keepdims=0),
        helper.make_node("Transpose", ["means"], ["by_slot"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["by_slot", "weights"], ["scores"]),
        helper.make_node("Add", ["scores", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        helper.make_node("ArgMax", ["probabilities"], ["classes"], axis=-1, keepdims=0),
        helper.make_node("ReduceMax", ["probabilities"], ["best"], axes=[2], keepdims=0),
        helper.make_node("ReduceProd", ["best"], ["confidence"], axes=[1], keepdims=0),
    ]
    # Not in the order of the contract: outputs are known by name.
    outputs = [
        helper.make_tensor_value_info("confidence", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("classes", TensorProto.INT64, ["n", slots]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", slots, classes]),
    ]
    if boxes:
        constants |= {"last": np.array([2], np.int64), "sides": np.array([[0, 1, 2, 3]], np.float32)}
        nodes += [
            helper.make_node("Unsqueeze", ["best", "last"], ["one_side"]),
            helper.make_node("Mul", ["one_side", "sides"], ["boxes"]),
        ]
        outputs.append(helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", slots, 4]))
    inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", *shape])]
    if regions is not None:
        constants |= {
            "from": np.array([0], np.int64),
            "to": np.array([slots], np.int64),
            "axis": np.array([1], np.int64),
        }
        nodes.append(helper.make_node("Slice", ["regions", "from", "to", "axis"], ["boxes"]))
        inputs.append(helper.make_tensor_value_info("regions", TensorProto.FLOAT, ["n", regions, 4]))
        outputs.append(helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", slots, 4]))
    graph = helper.make_graph(
        nodes,
        "bands",
        inputs,
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def manifest(model: bytes, task: str = "strips", *, boxes: bool = False) -> dict[str, Any]:
    """A manifest of `model` with every key that `package` writes, and one that only a later version knows."""
    shape, slots, names = SHAPES[task]
    nothing = {"share": None, "accuracy": None}
    return {
        "task": task,
        "strategy": "bands",
        "suites": [task],
        "trained_on": f"{task}/{task}",
        "normalization": "rescale",
        "origin": "embedded" if task == "cifar10" else "mnist",
        "positional": task != "lines",
        "deployable": True,
        "pretrained": "not_applicable",
        "parameters": shape[0] * len(names) + len(names),
        "precision": "float32",
        "seed": 20,
        "budget": 1.0,
        "settings": {},
        "model": {"file": "model.onnx", "sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)},
        "inputs": dict(zip(("height", "width", "channels"), shape, strict=True)),
        "slots": slots,
        "class_names": list(names),
        "boxes": boxes,
        "parity": {},
        "opset": 17,
        "made_with": {"onnx": onnx.__version__},
        "coverage": {
            "target": 0.995,
            "threshold": None if task == "cifar10" else 0.9,
            "valid": nothing,
            "gate": nothing,
            "test": nothing,
        },
        "metrics": {task: 0.97},
        "a key of tomorrow": True,
    }


def package(artifacts: Path, task: str = "strips", *, boxes: bool = False, **changes: object) -> Path:
    """Write `artifacts/<task>` as the `package` stage does; `changes` replace keys of the manifest.

    The model of lines is that of `barred_lines`.
    """
    shape, slots, names = SHAPES[task]
    lines = task == "lines"
    model = barred_lines.model(boxes=boxes) if lines else band_model(shape, slots, len(names), boxes=boxes)
    folder = artifacts / task
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model)
    (folder / "manifest.json").write_text(json.dumps(manifest(model, task, boxes=boxes) | changes))
    return folder


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

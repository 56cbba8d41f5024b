"""Numbers written in bars, and a small ONNX model of lines that reads them: a stand-in for handwriting and its model.

A digit is an upright stroke and a bar whose height says which digit it is. The pictures go through the real ingestion.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.core.images import STRIP_NAMES
from pipeline.core.ingestion import MARGIN
from pipeline.core.lines import LINE_HEIGHT, LINE_SHAPE, LINE_SLOTS, LINE_WIDTH

HEIGHT = 40
"""Of a digit, in pixels of the picture."""
THICK = 4
"""Of a bar."""
_WIDE = 24
_SLOT = LINE_WIDTH // LINE_SLOTS
_MARGIN = MARGIN * HEIGHT + 1
_ZOOM = LINE_HEIGHT / (HEIGHT + 2 * _MARGIN)
PITCH = _SLOT / _ZOOM
"""From one digit to the next, in pixels of the picture, so that each has a slot of its own in the line's picture."""


LEFT, TOP, ROW = 40, 40, 70
"""Where the first digit is written, and from one line to the next, in pixels."""


def write(*numbers: str, scale: int = 1, paper: int = 255, ink: int = 0, width: int = 400) -> np.ndarray:
    """uint8 (H, W): the numbers below each other, so many times as large."""
    picture = np.full((TOP + ROW * max(1, len(numbers)), width), paper, np.uint8)
    for row, number in enumerate(numbers):
        for place, digit in enumerate(number):
            top, left = TOP + ROW * row, round(LEFT + PITCH * place)
            bar = top + round(int(digit) / 9 * (HEIGHT - THICK))
            picture[top : top + HEIGHT, left : left + 3] = ink
            picture[bar : bar + THICK, left : left + _WIDE] = ink
    return np.repeat(np.repeat(picture, scale, axis=0), scale, axis=1)


def model(*, boxes: bool = True) -> bytes:
    """A linear model of the brightness of rows in each slot, with the inputs and outputs of a packaged model of lines.

    Its boxes are the slots.
    """
    blank = len(STRIP_NAMES) - 1
    weights = np.zeros((LINE_HEIGHT, len(STRIP_NAMES)), np.float32)
    rows = np.arange(LINE_HEIGHT)
    for digit in range(blank):
        top = (_MARGIN + digit / 9 * (HEIGHT - THICK)) * _ZOOM
        covered = np.clip(np.minimum(rows + 1, top + THICK * _ZOOM) - np.maximum(rows, top), 0, 1)
        weights[:, digit] = covered / covered.sum() * 24 / 255
    bias = np.zeros(len(STRIP_NAMES), np.float32)
    bias[blank] = 8
    slots = np.arange(LINE_SLOTS, dtype=np.float32)[:, None] * _SLOT
    sides = np.concatenate([slots, 0 * slots, slots + _SLOT, 0 * slots + LINE_HEIGHT], axis=1)
    constants = {
        "first": np.array([0], np.int64),
        "last": np.array([LINE_SLOTS * _SLOT], np.int64),
        "width": np.array([2], np.int64),
        "cells": np.array([0, LINE_HEIGHT, LINE_SLOTS, _SLOT], np.int64),
        "weights": weights,
        "bias": bias,
        "nothing": np.zeros(1, np.float32),
        "sides": sides[None],
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["values", "first", "last", "width"], ["whole"]),
        helper.make_node("Reshape", ["whole", "cells"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["means"], axes=[3], keepdims=0),
        helper.make_node("Transpose", ["means"], ["by_slot"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["by_slot", "weights"], ["scores"]),
        helper.make_node("Add", ["scores", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        helper.make_node("ArgMax", ["probabilities"], ["classes"], axis=-1, keepdims=0),
        helper.make_node("ReduceMax", ["probabilities"], ["best"], axes=[2], keepdims=0),
        helper.make_node("ReduceProd", ["best"], ["confidence"], axes=[1], keepdims=0),
    ]
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", LINE_SLOTS, len(STRIP_NAMES)]),
        helper.make_tensor_value_info("classes", TensorProto.INT64, ["n", LINE_SLOTS]),
        helper.make_tensor_value_info("confidence", TensorProto.FLOAT, ["n"]),
    ]
    if boxes:
        nodes += [
            helper.make_node("Unsqueeze", ["best", "width"], ["one_side"]),
            helper.make_node("Mul", ["one_side", "nothing"], ["zeros"]),
            helper.make_node("Add", ["zeros", "sides"], ["boxes"]),
        ]
        outputs.append(helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", LINE_SLOTS, 4]))
    graph = helper.make_graph(
        nodes,
        "bars",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", *LINE_SHAPE])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(made)
    return made.SerializeToString()

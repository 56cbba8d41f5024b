"""What a model in its served form costs: parameters, multiply-adds of its graph, and memory."""

import csv
import math
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from pipeline.analysis import memory as process
from pipeline.core.errors import DataError
from pipeline.records.export import ExportRecord
from pipeline.records.timing import MemoryUse
from pipeline.runtime.model import IMAGES, REGIONS, OnnxModel

COUNTED = ("Conv", "ConvTranspose", "MatMul", "Gemm", "LSTM", "GRU", "RNN")
"""The operators that multiply and add; all others do a few operations an element."""
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@dataclass(frozen=True)
class Cost:
    """The cost of reading one picture, as far as it does not depend on the machine.

    Attributes:
        strategy: whose model it is.
        parameters: of the network.
        bytes: of the ONNX file.
        multiply_adds: of `COUNTED` operators, for one picture.
        convolution, dense, recurrent: the parts of that.
    """

    strategy: str
    parameters: int
    bytes: int
    multiply_adds: int
    convolution: int
    dense: int
    recurrent: int


COLUMNS = tuple(field.name for field in fields(Cost))
"""Of the costs as CSV."""


def cost(path: Path, record: ExportRecord) -> Cost:
    """The cost of an exported model.

    Args:
        path: the ONNX file.
        record: of the model.

    Raises:
        DataError: the file is missing or damaged.
    """
    counts = multiply_adds(path)
    parts = {
        "convolution": sum(count for kind, count in counts if kind.startswith("Conv")),
        "dense": sum(count for kind, count in counts if kind in ("MatMul", "Gemm")),
        "recurrent": sum(count for kind, count in counts if kind in _GATES),
    }
    return Cost(
        strategy=record.strategy,
        parameters=record.parameters,
        bytes=record.model.bytes,
        multiply_adds=sum(parts.values()),
        **parts,
    )


def multiply_adds(path: Path) -> list[tuple[str, int]]:
    """Kind and multiply-adds of every operator of `COUNTED` in a graph, in its order, for one picture.

    The shapes are those of a run on one black picture: shapes that ONNX cannot infer, as those behind a selection of
    boxes, are known there. A bias is not counted. Operators in graphs within the graph are not looked at; the models
    of the pipeline have none.

    Raises:
        DataError: the file is missing or damaged, or an operator runs in a graph within the graph.
    """
    model = _load(path)
    nodes = [node for node in model.graph.node if node.op_type in COUNTED]
    for node in model.graph.node:
        inner = [attribute.name for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
        if inner:
            raise DataError(f"{path}: {node.op_type} has the graph {inner[0]}, expected a graph without inner ones")
    shapes = _shapes(model, nodes, path)
    return [(node.op_type, _count(node, shapes)) for node in nodes]


def memory(path: Path) -> MemoryUse:
    """What loading a model and reading one picture on one thread takes, measured in a process of its own.

    Raises:
        DataError: the model cannot be loaded, or the process failed.
    """
    ended = subprocess.run(
        [sys.executable, "-m", process.__name__, str(path)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode:
        reason = ended.stderr.strip().splitlines()[-1:] or ["it wrote no reason"]
        raise DataError(f"{path}: memory cannot be measured ({reason[0][:200]})")
    return MemoryUse.parse(ended.stdout, f"{path}: memory")


def load(path: Path) -> list[Cost]:
    """Read costs that were written as CSV under `COLUMNS`.

    Raises:
        DataError: the file is missing, or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
        if not rows or tuple(rows[0]) != COLUMNS:
            raise ValueError(f"columns {', '.join(rows[0]) if rows else 'none'}, expected {', '.join(COLUMNS)}")
        return [Cost(name, *(int(cell) for cell in numbers)) for name, *numbers in rows[1:]]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run `make repro` to make it") from None
    except (TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: not a table of costs ({error}); remove it and run `make repro`") from None


def cells(row: Cost) -> list[str]:
    """A row as CSV, under `COLUMNS`."""
    return [str(value) for value in astuple(row)]


def front(points: Iterable[tuple[str, float, float]]) -> list[str]:
    """The names on the Pareto front, by rising cost: no other point costs at most as much and scores at least as much.

    Args:
        points: name, cost and score of each; of equal ones the first is taken.
    """
    found: list[tuple[str, float]] = []
    for name, _, score in sorted(points, key=lambda point: (point[1], -point[2])):
        if not found or score > found[-1][1]:
            found.append((name, score))
    return [name for name, _ in found]


def _load(path: Path) -> onnx.ModelProto:
    OnnxModel.load(path)  # its errors are of one line
    return onnx.load(path)


def _shapes(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all inputs and first outputs of some operators, in a run on one black picture."""
    wanted = dict.fromkeys(name for node in nodes for name in (*node.input, node.output[0]) if name)
    known = {value.name: tuple(value.dims) for value in model.graph.initializer}
    given = {value.name for value in (*model.graph.output, *model.graph.input)}
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    extended.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in wanted if name not in known and name not in given
    )
    options = onnxruntime.SessionOptions()
    # As the graph is written: fused operators would leave no tensor between them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(extended.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds: dict[str, np.ndarray] = {}
    for value in session.get_inputs():
        shape = (1, *value.shape[1:])
        if value.name not in (IMAGES, REGIONS):
            raise DataError(f"{path}: input {value.name} found, expected {IMAGES} and at most {REGIONS}")
        feeds[value.name] = np.zeros(shape, np.uint8 if value.name == IMAGES else np.float32)
    names = [output.name for output in session.get_outputs()]
    found = {name: array.shape for name, array in zip(names, session.run(names, feeds), strict=True)}
    return {**known, **{name: array.shape for name, array in feeds.items()}, **found}


def _count(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    first, second = shapes[node.input[0]], shapes[node.input[1]]
    attributes: dict[str, Any] = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == "Conv":
        # Weights are (out, in / group, kernel): each output needs one product for each weight of its channel.
        return math.prod(shapes[node.output[0]]) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])
    if node.op_type == "Gemm":
        inner = first[0] if attributes.get("transA") else first[1]
        return math.prod(shapes[node.output[0]]) * inner
    if node.op_type == "MatMul":
        return math.prod(shapes[node.output[0]]) * first[-1]
    # Of recurrent operators, (directions, gates × hidden, inputs), for each of `steps` times `batch` inputs.
    steps, batch, inputs = first
    directions, hidden = second[0], second[1] // _GATES[node.op_type]
    return steps * batch * directions * _GATES[node.op_type] * hidden * (inputs + hidden)

"""Smaller ONNX files: weights in half precision or in eight bits, read as fast as before.

Only the file is smaller. It holds the weights and the operators that make float32 of them, and ONNX Runtime folds both
when it loads the model. `DequantizeLinear` is the operator for eight bits, but ONNX Runtime keeps it for its integer
kernels and runs it again for every picture: the textbook net takes 2.6 ms with it and 0.3 without. `Cast` and `Mul` of
constants are folded without a setting.

The weights of convolutions, dense and recurrent layers are stored. Eight bits are symmetric (Krishnamoorthi 2018,
section 2), with a scale for every 32 inputs of an output, as in Dettmers et al. 2022, section 2.1. They are rounded so
that the errors of a block sum to nothing, which is the bias correction of Nagel et al. 2019, section 4.2, for inputs
that are equal. With one scale for each output and plain rounding, the log odds of a reading were off by three times as
much for `resnet` and by seven times as much for `crnn`, enough to change some readings.

Everything else stays float32: biases, statistics of normalizations, boxes of anchors, matrices that sum over windows,
the first layer, which may be a normalization (ZCA), and small layers, among which are those that give classes, boxes
and centres.
"""

import collections
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import NodeProto, TensorProto, helper, numpy_helper

from pipeline.core.errors import DataError
from pipeline.records.manifest import Weights

FORMS: tuple[Weights, ...] = ("int8", "float16", "float32")
"""In the order of their size."""
SMALLEST = 2**15
"""Elements of a weight from which it is stored smaller. The largest layer that gives boxes has 23,040."""
_CONSTANT = 256
"""A matrix with no more different values was not learned: sums over windows, positions."""
_LARGEST = 127
_BLOCK = 32
"""Most inputs that share a scale."""
_SMALLEST_BLOCK = 8
"""Smaller blocks would cost more than they gain; then all inputs of an output share a scale."""
_FATAL = 4

Axes = tuple[int, ...]


def _convolution(node: NodeProto, weight: np.ndarray) -> Axes:
    return tuple(range(1, weight.ndim))


def _product(node: NodeProto, weight: np.ndarray) -> Axes:
    return (weight.ndim - 2,)


def _gemm(node: NodeProto, weight: np.ndarray) -> Axes:
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return (1,) if transposed else (0,)


def _recurrent(node: NodeProto, weight: np.ndarray) -> Axes:
    return (2,)


_LAYERS: dict[str, tuple[tuple[int, ...], Callable[[NodeProto, np.ndarray], Axes]]] = {
    "Conv": ((1,), _convolution),
    "MatMul": ((1,), _product),
    "Gemm": ((1,), _gemm),
    "LSTM": ((1, 2), _recurrent),
    "GRU": ((1, 2), _recurrent),
}
"""By operator, the inputs that are weights, and the axes of such a weight that one output adds up."""


def store(content: bytes, form: Weights) -> bytes:
    """The same model with its large weights in another form; equal models give equal bytes.

    Args:
        content: of an ONNX file with float32 weights.
        form: "float32" changes nothing.
    """
    if form == "float32":
        return content
    model = onnx.load_from_string(content)
    graph = model.graph
    axes = _weights(graph)
    kept, added, nodes = [], [], []
    for value in graph.initializer:
        if value.name not in axes:
            kept.append(value)
            continue
        tensors, operators = _stored(value.name, numpy_helper.to_array(value), axes[value.name], form)
        added += tensors
        nodes += operators
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*kept, *added])
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def expect_folded(content: bytes, original: bytes) -> None:
    """Check that ONNX Runtime runs the same operators for a model and for the one it was made from.

    Raises:
        DataError: it does not, so that the smaller file would be read more slowly.
    """
    found, expected = _operators(content), _operators(original)
    if found != expected:
        raise DataError(
            f"ONNX Runtime runs other operators than for the original model: {found - expected} more, "
            f"{expected - found} fewer"
        )


def _weights(graph: onnx.GraphProto) -> dict[str, Axes]:
    """By name of a weight that is stored smaller, the axes that one output adds up."""
    arrays = {value.name: value for value in graph.initializer}
    found: dict[str, Axes] = {}
    other: set[str] = set()
    # What comes out of a layer, directly or not. The nodes of a graph are in an order in which they can run.
    behind: set[str] = set()
    for node in graph.node:
        places, axes_of = _LAYERS.get(node.op_type, ((), _product))
        weights = [node.input[place] for place in places if place < len(node.input) and node.input[place] in arrays]
        first = not behind.intersection(node.input)
        for name in node.input:
            if name not in arrays:
                continue
            array = numpy_helper.to_array(arrays[name])
            axes = axes_of(node, array) if name in weights and not first and _is_large(array) else None
            # A weight that two layers use in two ways, or that another operator reads, stays as it is.
            if axes is None or found.setdefault(name, axes) != axes:
                other.add(name)
        if weights or not first:
            behind.update(name for name in node.output if name)
    return {name: axes for name, axes in found.items() if name not in other}


def _is_large(array: np.ndarray) -> bool:
    return array.dtype == np.float32 and array.ndim > 1 and array.size >= SMALLEST and len(np.unique(array)) > _CONSTANT


def _stored(name: str, weight: np.ndarray, axes: Axes, form: Weights) -> tuple[list[TensorProto], list[NodeProto]]:
    """The tensors of a weight in another form, and the operators that make it float32 again."""
    small = f"{name}_{form}"
    if form == "float16":
        with np.errstate(over="ignore"):
            tensors = [numpy_helper.from_array(weight.astype(np.float16), small)]
        return tensors, [helper.make_node("Cast", [small], [name], name=f"{name}_cast", to=TensorProto.FLOAT)]
    # Outputs first and inputs last, then cut into blocks of inputs: (blocks of all outputs, inputs of a block).
    order = [axis for axis in range(weight.ndim) if axis not in axes] + list(axes)
    turned = weight.transpose(order)
    blocks = turned.reshape(-1, _blocks(math.prod(weight.shape[axis] for axis in axes)))
    scales = (np.abs(blocks).max(axis=1, keepdims=True) / _LARGEST).astype(np.float16)
    scales[scales == 0] = 1
    values = _rounded(blocks / scales.astype(np.float32)).clip(-_LARGEST, _LARGEST).astype(np.int8)
    arrays = {small: values, f"{name}_scale": scales, f"{name}_shape": np.array(turned.shape, np.int64)}
    steps = [
        helper.make_node("Cast", [small], [f"{name}_values"], to=TensorProto.FLOAT),
        helper.make_node("Cast", [f"{name}_scale"], [f"{name}_scales"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_values", f"{name}_scales"], [f"{name}_blocks"]),
        helper.make_node("Reshape", [f"{name}_blocks", f"{name}_shape"], [f"{name}_turned"]),
        helper.make_node("Transpose", [f"{name}_turned"], [name], perm=np.argsort(order).tolist()),
    ]
    for node in steps:
        node.name = f"{node.output[0]}_step"
    return [numpy_helper.from_array(array, key) for key, array in arrays.items()], steps


def _rounded(values: np.ndarray) -> np.ndarray:
    """Whole numbers, (blocks, inputs), whose sum in each block is as near as can be to that of `values`.

    The inputs of a layer are mostly above 0, behind a ReLU, so that errors of one sign add up. Where the errors of a
    block sum to more than a half, as many values as that takes are rounded the other way, those nearest to the middle.
    """
    whole = np.rint(values)
    errors = values - whole
    surplus = np.rint(errors.sum(axis=1, keepdims=True))
    rank = (-errors * np.sign(surplus)).argsort(axis=1, kind="stable").argsort(axis=1)
    return whole + np.where(rank < np.abs(surplus), np.sign(surplus), 0)


def _blocks(inputs: int) -> int:
    """How many inputs share a scale: the largest divisor of their number that is not above `_BLOCK`, or all of them."""
    largest = max(size for size in range(1, _BLOCK + 1) if inputs % size == 0)
    return largest if largest >= _SMALLEST_BLOCK else inputs


def _operators(content: bytes) -> collections.Counter[str]:
    """How often each operator is in the graph that ONNX Runtime makes of a model for this machine."""
    options = onnxruntime.SessionOptions()
    # It warns that the graph it writes is for this machine alone.
    options.log_severity_level = _FATAL
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        nodes: Sequence[NodeProto] = onnx.load(path).graph.node
        return collections.Counter(node.op_type for node in nodes)

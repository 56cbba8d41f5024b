"""Multiply-adds of graphs whose operators are counted by hand, memory that is there, and the Pareto front."""

from pathlib import Path

import evaluations
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import band_model

from pipeline.analysis import cost
from pipeline.core.errors import DataError
from pipeline.reports.tables import csv_text


def model(nodes, shape, weights, outputs=("probabilities", "classes", "confidence")):
    """A graph that takes pictures of a shape as `values`, and gives zeros as its readings beside what `nodes` do."""
    fixed = {
        "probabilities": np.ones((1, 1, 2), np.float32),
        "classes": np.zeros((1, 1), np.int64),
        "confidence": np.ones(1, np.float32),
    }
    kinds = {"probabilities": TensorProto.FLOAT, "classes": TensorProto.INT64, "confidence": TensorProto.FLOAT}
    constants = [
        *(numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()),
        *(numpy_helper.from_array(value, f"fixed_{name}") for name, value in fixed.items()),
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
            *nodes,
            *(helper.make_node("Identity", [f"fixed_{name}"], [name]) for name in outputs),
        ],
        "counted",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", *shape])],
        [helper.make_tensor_value_info(name, kinds[name], list(fixed[name].shape)) for name in outputs],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def counted(tmp_path, nodes, shape, weights):
    path = tmp_path / "model.onnx"
    path.write_bytes(model(nodes, shape, weights))
    return cost.multiply_adds(path)


def to_channels_first(shape):
    return helper.make_node("Transpose", ["values"], ["x"], perm=[0, 3, 1, 2])


def test_a_convolution_multiplies_each_weight_at_each_place(tmp_path):
    nodes = [
        to_channels_first((8, 8, 3)),
        helper.make_node("Conv", ["x", "a"], ["y"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Conv", ["y", "b"], ["z"], group=4),
    ]
    weights = {"a": np.ones((4, 3, 3, 3)), "b": np.ones((8, 1, 1, 1))}
    # 4×4 places of 4 channels with 27 weights; 4×4 places of 8 channels, each of 1 weight.
    assert counted(tmp_path, nodes, (8, 8, 3), weights) == [("Conv", 16 * 4 * 27), ("Conv", 16 * 8)]


def test_dense_layers_multiply_each_input_with_each_output(tmp_path):
    nodes = [
        helper.make_node("Flatten", ["values"], ["flat"]),
        helper.make_node("Gemm", ["flat", "a", "bias"], ["y"], transB=1),
        helper.make_node("MatMul", ["values", "b"], ["z"]),
    ]
    weights = {"a": np.ones((5, 18)), "bias": np.ones(5), "b": np.ones((3, 7))}
    # 18 inputs to 5 outputs; at 2×3 places 3 inputs to 7 outputs.
    assert counted(tmp_path, nodes, (2, 3, 3), weights) == [("Gemm", 90), ("MatMul", 6 * 3 * 7)]


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_layers_multiply_inputs_and_states_at_each_step(tmp_path, kind, gates):
    hidden, inputs, steps = 6, 5, 9
    nodes = [
        helper.make_node("Transpose", ["values"], ["cut"], perm=[1, 0, 2, 3]),
        helper.make_node("Squeeze", ["cut", "axis"], ["x"]),
        helper.make_node(kind, ["x", "w", "r"], ["y"], hidden_size=hidden, direction="bidirectional"),
    ]
    weights = {"w": np.ones((2, gates * hidden, inputs)), "r": np.ones((2, gates * hidden, hidden))}
    path = tmp_path / "model.onnx"
    made = onnx.load_from_string(model(nodes[:1], (steps, 1, inputs), weights))
    made.graph.initializer.append(numpy_helper.from_array(np.array([2], np.int64), "axis"))
    made.graph.node.extend(nodes[1:])
    path.write_bytes(made.SerializeToString())
    assert cost.multiply_adds(path) == [(kind, steps * 2 * gates * hidden * (inputs + hidden))]


def test_the_parts_add_up_and_come_back_from_the_disk(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(band_model((28, 140, 1), 5, 11))
    found = cost.cost(path, evaluations.record())
    # Each of 5 slots multiplies 28 rows with 11 classes.
    assert (found.dense, found.multiply_adds, found.convolution) == (5 * 28 * 11, 5 * 28 * 11, 0)
    table = tmp_path / "strips.csv"
    table.write_text(csv_text(cost.COLUMNS, [cost.cells(found)]))
    assert cost.load(table) == [found]


def test_a_graph_within_the_graph_is_not_counted_as_nothing(tmp_path):
    made = onnx.load_from_string(band_model((28, 28, 1), 1, 10))
    inner = helper.make_graph(
        [helper.make_node("Identity", ["best"], ["same"])],
        "inner",
        [],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)],
    )
    made.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    made.graph.node.append(helper.make_node("If", ["always"], ["chosen"], then_branch=inner, else_branch=inner))
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(DataError, match=r"model\.onnx: If has the graph"):
        cost.multiply_adds(path)


def test_memory_is_more_for_a_larger_model(tmp_path):
    small, large = tmp_path / "small.onnx", tmp_path / "large.onnx"
    small.write_bytes(band_model((28, 28, 1), 1, 10))
    nodes = [helper.make_node("Flatten", ["values"], ["flat"]), helper.make_node("MatMul", ["flat", "a"], ["y"])]
    made = onnx.load_from_string(model(nodes, (28, 28, 1), {"a": np.ones((784, 20_000))}))
    made.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 20_000]))
    large.write_bytes(made.SerializeToString())
    little, much = cost.memory(small), cost.memory(large)
    assert 0 < little.loaded_bytes <= little.peak_bytes
    # 784 × 20,000 floats are 62.7 MB.
    assert much.peak_bytes - little.peak_bytes > 50e6


def test_a_model_that_cannot_be_loaded_is_an_error_that_names_it(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    for measure in (cost.multiply_adds, cost.memory):
        with pytest.raises(DataError, match=r"broken\.onnx"):
            measure(broken)
    (tmp_path / "x.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="not a table of costs"):
        cost.load(tmp_path / "x.csv")
    with pytest.raises(DataError, match="no such file"):
        cost.load(Path("none.csv"))


def test_nothing_on_the_front_is_beaten_by_what_is_cheaper():
    points = [
        ("cheap", 1, 0.8),
        ("same", 1, 0.7),
        ("better", 5, 0.9),
        ("worse", 6, 0.85),
        ("best", 9, 0.95),
        ("tie", 10, 0.95),
    ]
    assert cost.front(points) == ["cheap", "better", "best"]
    assert cost.front([]) == []

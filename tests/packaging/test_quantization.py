"""Weights in half precision and in eight bits: what changes, what stays, and that a model is read as fast as before."""

import numpy as np
import onnx
import onnxruntime
import pytest
import wide_models
from onnx import TensorProto, helper, numpy_helper
from onnx_models import band_model, draw

from pipeline.core.errors import DataError
from pipeline.core.images import STRIP_SHAPE
from pipeline.packaging import quantization
from pipeline.runtime.graph import expect_self_contained
from pipeline.runtime.model import OnnxModel

SMALL = ("int8", "float16")


def network(seed: int = 0, **changes: np.ndarray) -> bytes:
    """Convolutions, a recurrent layer, a dense layer and a sum over windows, with weights of a given seed."""
    draws = np.random.default_rng(seed)
    weights = {
        "first": draws.normal(size=(64, 1, 24, 24)) / 24,
        "second": draws.normal(size=(64, 64, 3, 3)) / 24 * draws.uniform(0.01, 3, (64, 1, 1, 1)),
        "bias": draws.normal(size=64),
        "gates": draws.normal(size=(2, 256, 128)) / 11,
        "back": draws.normal(size=(2, 256, 64)) / 8,
        "sums": np.tril(np.ones((256, 256))),
        "dense": draws.normal(size=(256, 256)) / 16,
        "boxes": draws.normal(size=(256, 20)),
    } | changes
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], strides=[8, 8]),
        helper.make_node("Conv", ["a", "second", "bias"], ["b"]),
        helper.make_node("Reshape", ["b", "to_steps"], ["s"]),
        helper.make_node("LSTM", ["s", "gates", "back"], ["h"], hidden_size=64, direction="bidirectional"),
        helper.make_node("Reshape", ["h", "flat"], ["c"]),
        helper.make_node("MatMul", ["c", "sums"], ["d"]),
        helper.make_node("MatMul", ["d", "dense"], ["e"]),
        helper.make_node("MatMul", ["e", "boxes"], ["y"]),
    ]
    tensors += [
        numpy_helper.from_array(np.array([2, 1, 128], np.int64), "to_steps"),
        numpy_helper.from_array(np.array([1, 256], np.int64), "flat"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 48, 48])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 20])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def run(content: bytes) -> np.ndarray:
    given = np.random.default_rng(1).normal(size=(1, 1, 48, 48)).astype(np.float32)
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": given})[0]


def tensors(content: bytes) -> dict[str, np.ndarray]:
    return {value.name: numpy_helper.to_array(value) for value in onnx.load_from_string(content).graph.initializer}


@pytest.mark.parametrize("form", SMALL)
def test_large_weights_alone_are_stored_smaller(form):
    before, after = tensors(network()), tensors(quantization.store(network(), form))
    stored = {name.removesuffix(f"_{form}") for name in after if name.endswith(f"_{form}")}
    assert stored == {"second", "gates", "back", "dense"}
    kept = {"first", "bias", "sums", "boxes"}
    assert all(np.array_equal(after[name], before[name]) for name in kept)
    assert all(after[f"{name}_{form}"].dtype == np.dtype(form) for name in stored)


@pytest.mark.parametrize("form", SMALL)
def test_nothing_is_learned_anew_and_equal_models_give_equal_bytes(form):
    content = network()
    assert quantization.store(content, form) == quantization.store(content, form)
    assert quantization.store(content, "float32") == content
    again = quantization.store(quantization.store(content, form), form)
    assert again == quantization.store(content, form), "there is nothing left to store smaller"


def test_a_weight_is_off_by_less_than_a_step_of_its_block():
    content = network()
    before = tensors(content)
    for name, turned in (("second", (64, 576)), ("gates", (512, 128)), ("dense", (256, 256))):
        read = constant(quantization.store(content, "int8"), name)
        assert read.shape == before[name].shape
        off = np.abs(read - before[name])
        largest = np.abs(before[name])
        if name == "dense":
            off, largest = off.T, largest.T
        off, largest = (array.reshape(turned).reshape(-1, 32) for array in (off, largest))
        # A scale in half precision is off by 2**-11, and the largest weight of a block by 127 times that.
        assert (off <= largest.max(axis=1, keepdims=True) * (1 / 127 + 2**-11) * 1.001).all(), name
        assert np.median(off / largest.max(axis=1, keepdims=True)) < 1 / 254


def test_the_errors_of_a_block_sum_to_nothing():
    values = np.random.default_rng(0).uniform(-100, 100, (500, 32))
    rounded = quantization._rounded(values)
    assert np.array_equal(rounded, np.rint(rounded))
    assert np.abs(rounded - values).max() < 1
    assert np.abs((rounded - values).sum(axis=1)).max() <= 0.5 + 1e-9
    assert np.abs((np.rint(values) - values).sum(axis=1)).max() > 2, "plain rounding does not do that"


@pytest.mark.parametrize(("inputs", "block"), [(64, 32), (48, 24), (28, 28), (9, 9), (7, 7), (1009, 1009), (62, 31)])
def test_blocks_divide_the_inputs(inputs, block):
    weight = np.random.default_rng(0).normal(size=(inputs, 32_768 // inputs + 1))
    model = onnx.load_from_string(network())
    model.graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), "more"))
    sums = numpy_helper.from_array(np.ones((20, inputs), np.float32), "ones")
    model.graph.initializer.append(sums)
    model.graph.node.append(helper.make_node("MatMul", ["y", "ones"], ["repeated"]))
    model.graph.node.append(helper.make_node("MatMul", ["repeated", "more"], ["z"]))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, weight.shape[1]]))
    assert tensors(quantization.store(model.SerializeToString(), "int8"))["more_int8"].shape[1] == block


def constant(content: bytes, name: str) -> np.ndarray:
    """What the operators of a stored weight make of it."""
    model = onnx.load_from_string(content)
    shape = [0] * len(tensors(network())[name].shape)
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None for _ in shape]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([name], {"x": np.zeros((1, 1, 48, 48), np.float32)})[0]


@pytest.mark.parametrize(("form", "share"), [("int8", 0.02), ("float16", 0.001)])
def test_a_network_gives_nearly_the_same(form, share):
    expected = run(network())
    assert np.abs(run(quantization.store(network(), form)) - expected).max() <= share * np.abs(expected).max()


def test_an_output_without_weights_stays_zero():
    dense = np.random.default_rng(0).normal(size=(256, 256))
    dense[:, 7] = 0
    read = constant(quantization.store(network(dense=dense), "int8"), "dense")
    assert not read[:, 7].any()
    assert read[:, 8].any()


def test_a_weight_that_another_operator_reads_stays():
    model = onnx.load_from_string(network())
    model.graph.node.append(helper.make_node("ReduceMax", ["dense"], ["m"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("m", TensorProto.FLOAT, []))
    assert "dense" in tensors(quantization.store(model.SerializeToString(), "int8"))


@pytest.mark.parametrize("form", SMALL)
def test_the_runtime_runs_the_same_operators(form):
    quantization.expect_folded(quantization.store(network(), form), network())


def test_what_the_runtime_does_not_fold_is_found():
    model = onnx.load_from_string(quantization.store(network(), "int8"))
    graph = model.graph
    for name, array in (
        ("q8", np.arange(256 * 256).reshape(256, 256).astype(np.int8)),
        ("s8", np.ones(256, np.float32)),
    ):
        graph.initializer.append(numpy_helper.from_array(array, name))
    nodes = [node for node in graph.node if not node.name.startswith("dense")]
    del graph.node[:]
    graph.node.append(helper.make_node("DequantizeLinear", ["q8", "s8"], ["dense"], axis=1))
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    with pytest.raises(DataError, match=r"MatMulNBits.* more, .*MatMul.* fewer"):
        quantization.expect_folded(model.SerializeToString(), network())


@pytest.mark.parametrize("form", SMALL)
def test_a_packaged_model_reads_the_same_digits_from_a_smaller_file(form):
    content = wide_models.widened(band_model(STRIP_SHAPE, 5, 11))
    stored = quantization.store(content, form)
    assert len(stored) < len(content) - 28 * wide_models.WIDTH
    expect_self_contained(stored, "stored")
    labels = np.random.default_rng(0).integers(0, 11, (50, 5))
    images = np.stack([draw(row) for row in labels])
    read = OnnxModel.of(stored, "stored").read(images)
    assert np.array_equal(read.classes, labels)

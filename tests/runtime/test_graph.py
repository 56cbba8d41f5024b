"""ONNX files that need something else than themselves, and files that are none."""

import numpy as np
import onnx
import onnx_models
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.core.errors import DataError
from pipeline.core.images import STRIP_SHAPE
from pipeline.runtime.graph import expect_self_contained

CONTENT = onnx_models.band_model(STRIP_SHAPE, 5, 11)


def external(name="hidden"):
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def within(levels, tensor):
    """A graph with a tensor so many graphs deep."""
    graph = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    for _ in range(levels):
        node = helper.make_node("If", ["x"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "inner", [], [])
    return graph


def sparse(tensor):
    return onnx.SparseTensorProto(values=tensor, dims=[1])


def in_an_initializer(model):
    model.graph.initializer.append(external())


def in_a_list_of_tensors(model):
    model.graph.node.append(helper.make_node("X", [], [], tensors=[external()]))


def in_a_sparse_initializer(model):
    model.graph.sparse_initializer.append(sparse(external()))


def in_a_sparse_attribute(model):
    model.graph.node.append(helper.make_node("Constant", [], ["s"], sparse_value=sparse(external())))


def in_a_graph_in_a_graph(model):
    model.graph.node.extend(within(3, external()).node)


def in_training(model):
    model.training_info.add().algorithm.initializer.append(external())


def only_its_place_is_given(model):
    tensor = external()
    tensor.ClearField("data_location")
    model.graph.initializer.append(tensor)


@pytest.mark.parametrize(
    "place",
    [
        *(in_an_initializer, in_a_list_of_tensors, in_a_sparse_initializer, in_a_sparse_attribute),
        *(in_a_graph_in_a_graph, in_training, only_its_place_is_given),
    ],
)
def test_data_in_another_file_are_found_wherever_a_tensor_can_be(place):
    model = onnx.load_from_string(CONTENT)
    place(model)
    with pytest.raises(DataError, match=r"m\.onnx: the data of tensor 'hidden' are in another file"):
        expect_self_contained(model.SerializeToString(), "m.onnx")


def test_functions_and_operators_of_other_domains_are_found():
    model = onnx.load_from_string(CONTENT)
    model.functions.add().name = "f"
    with pytest.raises(DataError, match="functions of its own found"):
        expect_self_contained(model.SerializeToString(), "m.onnx")
    model = onnx.load_from_string(CONTENT)
    model.graph.node[2].domain = "com.evil"
    with pytest.raises(DataError, match=r"operator 'ReduceMean' of domain 'com\.evil'"):
        expect_self_contained(model.SerializeToString(), "m.onnx")


def test_a_model_of_the_pipeline_passes_and_so_do_sets_of_operators_that_it_does_not_use():
    model = onnx.load_from_string(CONTENT)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    model.graph.node[0].domain = "ai.onnx"
    expect_self_contained(CONTENT, "m.onnx")
    expect_self_contained(model.SerializeToString(), "m.onnx")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(CONTENT[:-1], id="cut off"),
        pytest.param(b"no model", id="text"),
        pytest.param(b"\x3a" + b"\xff" * 11, id="a length without end"),
        pytest.param(b"\x3a\xff\xff\xff\xff\x0f", id="longer than the file"),
        pytest.param(b"\x3b\x3c", id="a group"),
        pytest.param(b"\x38\x01", id="a number in place of a graph"),
    ],
)
def test_what_is_not_an_onnx_file_is_damaged(content):
    with pytest.raises(DataError, match=r"m\.onnx: not an ONNX file, or damaged"):
        expect_self_contained(content, "m.onnx")


def test_graphs_that_are_too_deep_are_damaged():
    """A graph, in an attribute, in a node, in a graph, and so on; made by hand, since Python's protobuf has a limit."""
    message = b""
    for _ in range(200):
        for field in (6, 5, 1):
            message = bytes([field << 3 | 2]) + varint(len(message)) + message
    with pytest.raises(DataError, match="damaged"):
        expect_self_contained(b"\x3a" + varint(len(message)) + message, "m.onnx")


def varint(number):
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])

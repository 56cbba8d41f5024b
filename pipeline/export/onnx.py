"""Keras -> ONNX: the same model gives the same bytes."""

import warnings
from pathlib import Path

import keras
import numpy as np
import onnx

from pipeline.core.files import replacing
from pipeline.runtime.model import IMAGES, REGIONS

OPSET = 17


def to_onnx(model: keras.Model, path: Path) -> None:
    """Export a model that takes uint8 (n, H, W, C), and possibly regions float32 (n, k, 4); the batch stays dynamic.

    The inputs of the graph are `images` and `regions`, its outputs have the names of the contract. Inner names are
    renumbered in the order of the graph: those of the exporter differ from run to run.
    """
    # A first call builds what the exporter needs to trace.
    zeros = [np.zeros((1, *given.shape[1:]), given.dtype) for given in model.inputs]
    model(zeros[0] if len(zeros) == 1 else zeros)
    with replacing(path) as temporary, warnings.catch_warnings():
        # Keras asks NumPy for a name that it no longer has.
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(temporary, format="onnx", opset_version=OPSET, verbose=False)
        graph = onnx.load(temporary)
        onnx.save(canonical(graph, list(model.output)), temporary)


def canonical(model: onnx.ModelProto, outputs: list[str]) -> onnx.ModelProto:
    """Rename inputs, outputs and everything between them in a fixed order; drop what only describes the exporter.

    Args:
        model: an exported graph of one or two inputs: uint8 pictures, and float32 regions.
        outputs: the names of its outputs, in any order: Keras exports a dictionary in the order of its sorted keys.
    """
    names: dict[str, str] = {"": ""}
    graph = model.graph
    nodes = _topological(graph)
    # Constants that the exporter folded stay behind as inputs that nothing reads.
    read = {name for node in nodes for name in node.input}
    inputs = [value for value in graph.input if value.name in read]
    inputs.sort(key=lambda value: value.type.tensor_type.elem_type != onnx.TensorProto.UINT8)
    for value, name in zip(inputs, (IMAGES, REGIONS), strict=False):
        names[value.name] = name
    for value, name in zip(graph.output, sorted(outputs), strict=True):
        names[value.name] = name
    for node in nodes:
        for name in [*node.input, *node.output]:
            names.setdefault(name, f"t{len(names)}")
    for index, node in enumerate(nodes):
        node.name = f"n{index}"
        node.ClearField("doc_string")
        if not node.domain:
            # Set to nothing takes two bytes, not set none, and the exporter leaves now this, now that.
            node.ClearField("domain")
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    initializers = [value for value in graph.initializer if value.name in names]
    for value in [*inputs, *graph.output, *initializers]:
        value.name = names[value.name]
    for value in [*inputs, *graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    initializers.sort(key=lambda value: int(value.name[1:]))
    del graph.input[:], graph.node[:], graph.initializer[:], graph.value_info[:], model.metadata_props[:]
    graph.input.extend(inputs)
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)
    graph.name, graph.doc_string, model.doc_string = "reader", "", ""
    onnx.checker.check_model(model)
    return model


def _topological(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes in the order a walk back from the outputs, in their sorted order, finishes them."""
    made_by = {name: node for node in graph.node for name in node.output}
    order: list[onnx.NodeProto] = []
    done: set[int] = set()
    stack = [(made_by[value.name], False) for value in sorted(graph.output, key=lambda value: value.name, reverse=True)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if ready:
            done.add(id(node))
            order.append(node)
            continue
        stack.append((node, True))
        stack.extend((made_by[name], False) for name in reversed(node.input) if name in made_by)
    return order

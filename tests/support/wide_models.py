"""Models with a weight that is large enough to be stored smaller: the model of bars by way of many hidden values."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

WIDTH = 2048


def widened(content: bytes, *, top: float = 0.0) -> bytes:
    """A model of bars whose matrix is the product of two, of which the first, (28, 2048), is large.

    Args:
        content: of `onnx_models.band_model`.
        top: added to the weights of the uppermost row, in which no bar is, so that it changes no reading. In eight
            bits it leaves nothing of the other weights from 1,000 on, and half precision ends at 65,504.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    weights = next(value for value in graph.initializer if value.name == "weights")
    rows = numpy_helper.to_array(weights)
    # The first layer of a network stays as it is; here it changes nothing.
    before = np.eye(len(rows), dtype=np.float32)
    last = np.random.default_rng(0).normal(size=(WIDTH, rows.shape[1]))
    wide = (rows @ np.linalg.pinv(last)).astype(np.float32)
    wide[0] += np.float32(top)
    graph.initializer.remove(weights)
    for name, value in (("before", before), ("wide", wide), ("last", last.astype(np.float32))):
        graph.initializer.append(numpy_helper.from_array(value, name))
    nodes = []
    for node in graph.node:
        if node.op_type == "MatMul":
            nodes += [
                helper.make_node("MatMul", [node.input[0], "before"], ["same"]),
                helper.make_node("MatMul", ["same", "wide"], ["hidden"]),
                helper.make_node("MatMul", ["hidden", "last"], list(node.output)),
            ]
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model.SerializeToString()

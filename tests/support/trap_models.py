"""Models of strips with a trap: a picture whose first pixel is 77 makes the run hang, stick, or yield NaN."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnx_models
from onnx import TensorProto, helper, numpy_helper

Trap = Literal["loop", "stuck", "nan", "fails"]
"""`loop` ends when ONNX Runtime is told to, `stuck` is one operator of many minutes, which does not."""
PIXEL = 77
"""What sets the trap off; no picture that a reader is proved with has it."""


def trapped(pixels: np.ndarray) -> np.ndarray:
    """The same picture, but one that sets the trap off."""
    changed = pixels.copy()
    changed[0, 0, 0] = PIXEL
    return changed


def package(artifacts: Path, trap: Trap) -> Path:
    """Write `artifacts/strips` as the `package` stage does, with a trap in the model."""
    folder = onnx_models.package(artifacts)
    content = model((folder / "model.onnx").read_bytes(), trap)
    repackage(folder, content)
    return folder


def repackage(folder: Path, content: bytes, **changes: object) -> None:
    """Put another model in a packaged one's place, with a manifest that has its hash."""
    (folder / "model.onnx").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    model = onnx_models.manifest(content)["model"]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"model": model} | changes))


def model(content: bytes, trap: Trap) -> bytes:
    """A model like the one given, with a trap before its `logits`."""
    loaded = onnx.load_from_string(content)
    graph = loaded.graph
    for node in graph.node:
        node.output[:] = ["clear" if name == "logits" else name for name in node.output]
    node = helper.make_node
    constants = {
        "corner": np.array([0, 0, 0], np.int64),
        "corner_end": np.array([1, 1, 1], np.int64),
        "corner_axes": np.array([1, 2, 3], np.int64),
        "channel": np.array([3], np.int64),
        "pixel": np.float32(PIXEL),
        "nothing": np.float32(0),
        "one": np.float32(1),
        "half": np.float32(0.5),
    }
    # (n, 1, 1), 1 where the trap is set off.
    nodes = [
        node("Slice", ["values", "corner", "corner_end", "corner_axes"], ["trigger_4d"]),
        node("Squeeze", ["trigger_4d", "channel"], ["first_pixel"]),
        node("Equal", ["first_pixel", "pixel"], ["equal"]),
        node("Cast", ["equal"], ["trigger"], to=TensorProto.FLOAT),
        node("ReduceMax", ["trigger"], ["is_set_off"], keepdims=0),
    ]
    if trap == "nan":
        nodes += [
            node("Sub", ["one", "trigger"], ["distance"]),
            node("Div", ["nothing", "distance"], ["addend"]),
        ]
    elif trap == "loop":
        constants["times"] = np.int64(2**62)
        body = helper.make_graph(
            [node("Identity", ["go_on"], ["go_on_out"]), node("Mul", ["value", "one"], ["value_out"])],
            "body",
            [
                helper.make_tensor_value_info("index", TensorProto.INT64, []),
                helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("value", TensorProto.FLOAT, []),
            ],
            [
                helper.make_tensor_value_info("go_on_out", TensorProto.BOOL, []),
                helper.make_tensor_value_info("value_out", TensorProto.FLOAT, []),
            ],
        )
        nodes += [
            node("Cast", ["is_set_off"], ["factor"], to=TensorProto.INT64),
            node("Mul", ["factor", "times"], ["trips"]),
            node("Loop", ["trips", "", "nothing"], ["addend"], body=body),
        ]
    elif trap == "stuck":
        # Boxes that do not overlap: each is compared with all before it.
        constants |= {
            "many": np.float32(1_000_000),
            "first_axis": np.array([0], np.int64),
            "second_axis": np.array([1], np.int64),
            "both_axes": np.array([0, 1], np.int64),
            "most": np.array([2**40], np.int64),
        }
        nodes += [
            node("Mul", ["is_set_off", "many"], ["more"]),
            node("Add", ["more", "one"], ["boxes_many"]),
            node("Range", ["nothing", "boxes_many", "one"], ["left"]),
            node("Add", ["left", "half"], ["right"]),
            node("Sub", ["left", "left"], ["top"]),
            node("Add", ["top", "half"], ["bottom"]),
            *(node("Unsqueeze", [side, "second_axis"], [f"{side}_1"]) for side in ("left", "top", "right", "bottom")),
            node("Concat", ["left_1", "top_1", "right_1", "bottom_1"], ["boxes_2d"], axis=1),
            node("Unsqueeze", ["boxes_2d", "first_axis"], ["boxes_3d"]),
            node("Unsqueeze", ["bottom", "both_axes"], ["box_scores"]),
            node("NonMaxSuppression", ["boxes_3d", "box_scores", "most"], ["selected"]),
            node("Size", ["selected"], ["size"]),
            node("Cast", ["size"], ["size_float"], to=TensorProto.FLOAT),
            node("Mul", ["size_float", "nothing"], ["addend"]),
        ]
    else:
        # An index that is not there.
        constants["only"] = np.array([0], np.float32)
        nodes += [
            node("Cast", ["is_set_off"], ["index_of"], to=TensorProto.INT64),
            node("Gather", ["only", "index_of"], ["addend"]),
        ]
    nodes.append(node("Add", ["clear", "addend"], ["logits"]))
    at = next(index for index, each in enumerate(graph.node) if "clear" in each.output) + 1
    rest = list(graph.node)[at:]
    del graph.node[at:]
    graph.node.extend([*nodes, *rest])
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    onnx.checker.check_model(loaded)
    return loaded.SerializeToString()

"""Keras -> ONNX, byte for byte the same for the same model, and the proof that both say the same."""

import hashlib
import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import onnx
from tqdm import tqdm

from pipeline import models
from pipeline.errors import DataError
from pipeline.files import replacing
from pipeline.images import ImageSet
from pipeline.readings import Readings, left_to_right
from pipeline.scoring import blank_of, scores_of_slots

# ONNX Runtime reads this when it is imported, and without it writes a device id below the home folder there and then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

OPSET = 17
TOLERANCE = 1e-4
"""The largest difference of a probability that still counts as the same."""
BOX_TOLERANCE = 0.05
"""The same for a side of a box, in pixels."""
_BATCH = 250


@dataclass(frozen=True)
class Parity:
    """How far ONNX Runtime's readings are from Keras's over one set of pictures.

    Attributes:
        pictures: how many were compared.
        largest_difference: of a probability.
        same_readings: pictures whose classes are equal in every slot.
        near_ties: pictures read differently where the two best classes lie within twice the tolerance of each other.
        largest_box_difference: in pixels, over pictures read the same, box ties left out; None without boxes.
        box_ties: pictures with other boxes and two digits whose scores lie within twice the tolerance of each other:
            which of two regions comes first, or stays, is then a matter of rounding.
    """

    pictures: int
    largest_difference: float
    same_readings: int
    near_ties: int
    largest_box_difference: float | None = None
    box_ties: int = 0

    @property
    def holds(self) -> bool:
        """Probabilities and boxes within their tolerances, and every reading equal but for near-ties."""
        near = self.largest_difference <= TOLERANCE and (self.largest_box_difference or 0.0) <= BOX_TOLERANCE
        return near and self.same_readings + self.near_ties == self.pictures

    def as_dict(self) -> dict[str, float | int | bool]:
        """For the manifest; differences with two digits, so that they are the same from run to run."""
        differences = {
            name: value if value is None else float(f"{value:.1e}")
            for name, value in asdict(self).items()
            if name.startswith("largest")
        }
        return {**asdict(self), **differences, "holds": self.holds}


def to_onnx(model: keras.Model, path: Path) -> None:
    """Export a model that reads uint8 (n, H, W, C); the batch stays dynamic.

    The graph's input is `images`, its outputs carry the names of the contract. Inner names are renumbered in the order
    of the graph: the exporter's own differ from run to run.
    """
    # A first call builds what the exporter needs to trace.
    model(np.zeros((1, *model.input_shape[1:]), np.uint8))
    with replacing(path) as temporary, warnings.catch_warnings():
        # Keras asks NumPy for a name that it no longer has, and says so to no one's use.
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(temporary, format="onnx", opset_version=OPSET, verbose=False)
        graph = onnx.load(temporary)
        onnx.save(canonical(graph, list(model.output)), temporary)


def canonical(model: onnx.ModelProto, outputs: list[str]) -> onnx.ModelProto:
    """Rename input, outputs and everything between them in a fixed order; drop what only describes the exporter.

    Args:
        model: an exported graph that reads one input.
        outputs: the names its outputs get; each is found in the exporter's own name for it.
    """
    names: dict[str, str] = {"": ""}
    graph = model.graph
    nodes = _topological(graph)
    # Constants that the exporter folded stay behind as inputs that nothing reads.
    read = {name for node in nodes for name in node.input}
    inputs = [value for value in graph.input if value.name in read]
    (images,) = inputs
    names[images.name] = "images"
    # Keras flattens a dict of outputs in the order of its sorted keys.
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


def compare(model: keras.Model, path: Path, pictures: ImageSet) -> Parity:
    """Read every picture with Keras and with ONNX Runtime.

    Raises:
        DataError: there are no pictures to compare on.
    """
    if not len(pictures):
        raise DataError("no pictures to compare Keras and ONNX on; expected at least one")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    graph = models.reader(model)
    largest, same, ties, off, box_ties = 0.0, 0, 0, [], 0
    for start in tqdm(range(0, len(pictures), _BATCH), desc="Keras against ONNX", disable=None):
        images = pictures.images[start : start + _BATCH]
        ours = Readings.of({name: value.numpy() for name, value in graph(images).items()})
        theirs = Readings.of(dict(zip(names, session.run(None, {"images": images}), strict=True)))
        largest = max(largest, float(np.abs(ours.probabilities - theirs.probabilities).max()))
        equal = (ours.classes == theirs.classes).all(axis=1)
        best = np.sort(ours.probabilities, axis=-1)
        close = (best[..., -1] - best[..., -2]).min(axis=1) <= 2 * TOLERANCE
        if ours.boxes is not None:
            differences, tied = _box_differences(ours, theirs, blank_of(pictures.class_names))
            off.append(float(differences[equal & ~tied].max(initial=0.0)))
            box_ties += int((equal & tied).sum())
        same += int(equal.sum())
        ties += int((~equal & close).sum())
    return Parity(len(pictures), largest, same, ties, max(off) if off else None, box_ties)


def _box_differences(ours: Readings, theirs: Readings, blank: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Float (n,): the largest difference of a side; bool (n,): whether a tie explains one beyond the tolerance."""
    here, there = (left_to_right(readings, blank) for readings in (ours, theirs))
    differences = np.abs(here.boxes - there.boxes).max(axis=(1, 2))
    scores = np.sort(np.where(ours.classes == blank, np.nan, scores_of_slots(ours)), axis=1)
    gaps = np.nan_to_num(np.diff(scores, axis=1), nan=1.0)
    return differences, (differences > BOX_TOLERANCE) & (gaps.min(axis=1, initial=1.0) <= 2 * TOLERANCE)


def sha256(path: Path) -> str:
    """The identity of a model file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

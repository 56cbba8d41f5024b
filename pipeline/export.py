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
from pipeline.readings import Readings

# ONNX Runtime reads this when it is imported, and without it writes a device id below the home folder there and then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

OPSET = 17
TOLERANCE = 1e-4
"""The largest difference of a probability that still counts as the same."""
BOX_TOLERANCE = 0.05
"""The same for a side of a box, in pixels."""
_BATCH = 250
_NUDGES = 64
"""How many pictures with one pixel a grey level off are read to see whether a reading is steady."""


@dataclass(frozen=True)
class Parity:
    """How far ONNX Runtime's readings are from Keras's over one set of pictures.

    Attributes:
        pictures: how many were compared.
        same_readings: pictures whose classes are equal in every slot.
        differing: pictures with another class, or with a probability or a box beyond its tolerance.
        unsteady: those of them where rounding decides: Keras itself reads as ONNX Runtime does, or at least half as
            near, once one pixel is one grey level lighter or darker. A reading makes choices, such as which of two
            equally high windows is the peak, and the two runtimes round differently.
        largest_difference: of a probability, unsteady pictures left out.
        largest_box_difference: in pixels, of the same pictures; None without boxes.
    """

    pictures: int
    same_readings: int
    differing: int
    unsteady: int
    largest_difference: float
    largest_box_difference: float | None = None

    @property
    def holds(self) -> bool:
        """Every picture is read the same, within the tolerances, but for a few unsteady ones."""
        return self.differing == self.unsteady <= _most_unsteady(self.pictures)

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
    ours = models.read(graph, pictures.images, batch=_BATCH, progress="Keras")
    starts = tqdm(range(0, len(pictures), _BATCH), desc="ONNX Runtime", leave=False, disable=None)
    parts = [session.run(None, {"images": pictures.images[start : start + _BATCH]}) for start in starts]
    theirs = Readings.of(
        {name: np.concatenate(rows) for name, rows in zip(names, zip(*parts, strict=True), strict=True)}
    )

    equal, probabilities, boxes = differences = _differences(ours, theirs)
    distance = _distance(*differences)
    differing = np.flatnonzero(distance > 1)
    steady = np.ones(len(pictures), bool)
    # More cannot be rounding; there is no need to look at each.
    if len(differing) <= _most_unsteady(len(pictures)):
        steady[differing] = [not _unsteady(graph, pictures.images[i], _row(theirs, i), distance[i]) for i in differing]
    return Parity(
        pictures=len(pictures),
        same_readings=int(equal.sum()),
        differing=len(differing),
        unsteady=int((~steady).sum()),
        largest_difference=float(probabilities[steady].max(initial=0.0)),
        largest_box_difference=None if boxes is None else float(boxes[steady].max(initial=0.0)),
    )


def _most_unsteady(pictures: int) -> int:
    return max(1, pictures // 200)


def _differences(ours: Readings, theirs: Readings) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Bool (n,): whether all classes are equal; float (n,): the largest differences of a probability and of a side."""
    equal = (ours.classes == theirs.classes).all(axis=1)
    probabilities = np.abs(ours.probabilities - theirs.probabilities).max(axis=(1, 2))
    return equal, probabilities, None if ours.boxes is None else np.abs(ours.boxes - theirs.boxes).max(axis=(1, 2))


def _distance(equal: np.ndarray, probabilities: np.ndarray, boxes: np.ndarray | None) -> np.ndarray:
    """Float (n,): of `_differences` the largest, in tolerances; infinite where a class differs."""
    distance = probabilities / TOLERANCE
    if boxes is not None:
        distance = np.maximum(distance, boxes / BOX_TOLERANCE)
    return np.where(equal, distance, np.inf)


def _unsteady(graph: models.Reader, picture: np.ndarray, theirs: Readings, distance: float) -> bool:
    """Whether Keras comes at least half as near to `theirs` as `distance` once a pixel of uint8 (H, W, C) is nudged."""
    random = np.random.default_rng(0)
    nudged = np.repeat(picture[None], _NUDGES, axis=0)
    where = (np.arange(_NUDGES), *(random.integers(0, size, _NUDGES) for size in picture.shape))
    step = random.choice([-1, 1], _NUDGES)
    nudged[where] = np.clip(nudged[where].astype(int) + step, 0, 255)
    return bool(_distance(*_differences(models.read(graph, nudged), theirs)).min() < distance / 2)


def _row(readings: Readings, index: int) -> Readings:
    arrays = (readings.probabilities, readings.classes, readings.confidence, readings.boxes)
    return Readings(*(array if array is None else array[index : index + 1] for array in arrays))


def sha256(path: Path) -> str:
    """The identity of a model file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

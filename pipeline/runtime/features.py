"""Feature maps: what the convolutions and poolings of a model make of one picture.

The values are those of the served graph itself: its file gets the maps as further outputs. A protobuf message may come
in parts, which parsers merge by concatenating repeated fields (Protocol Buffers, "Encoding"), so the outputs are
appended to the file's bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.readings import Readings
from pipeline.records.manifest import Manifest
from pipeline.runtime.graph import Operator, operators_of, with_outputs
from pipeline.runtime.memory import bounded_memory
from pipeline.runtime.model import IMAGES
from pipeline.runtime.reader import LOAD_BYTES, read_packaged
from pipeline.runtime.session import Run, Session

MOST_MAPS = 64
"""Maps of a layer that are shown; the first ones."""
_KINDS = {"Conv": "convolution", "MaxPool": "max_pooling", "AveragePool": "average_pooling"}
_ACTIVATION = "Relu"


@dataclass(frozen=True)
class FeatureLayer:
    """The maps that one layer makes of one picture.

    Attributes:
        kind: `convolution`, with its rectification where it has one, `max_pooling` or `average_pooling`.
        kernel: height and width of the window that the layer looks at.
        channels: maps that the layer has.
        maps: uint8 (n, height, width), n at most `MOST_MAPS`: 0 is 0 or less, 255 the largest value of the layer.
    """

    kind: str
    kernel: tuple[int, int]
    channels: int
    maps: np.ndarray


@dataclass(frozen=True)
class _Layer:
    kind: str
    kernel: tuple[int, int]
    output: str


class FeatureNet:
    """A packaged model of pictures whose feature maps are outputs too.

    Attributes:
        manifest: of the model.
    """

    def __init__(self, manifest: Manifest, layers: Sequence[_Layer], session: Session) -> None:
        self.manifest = manifest
        self._layers = layers
        self._session = session

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what the `package` stage wrote to `folder`, with outputs for its maps.

        Raises:
            DataError: as `Reader.load` raises it; or the model has no convolution.
        """
        manifest, content, path = read_packaged(folder)
        layers = _layers(operators_of(content, str(path)))
        if not layers:
            raise DataError(f"{path}: no convolution found, expected a convolutional network")
        with bounded_memory(LOAD_BYTES):
            session = Session.load(with_outputs(content, [layer.output for layer in layers]), str(path))
        return cls(manifest, layers, session)

    def read(self, image: np.ndarray, run: Run | None = None) -> tuple[Readings, list[FeatureLayer]]:
        """The reading of one picture, and the maps of each layer, in the order of the graph.

        Args:
            image: uint8 (height, width, channels) of the model's size.
            run: ends the reading from another thread.

        Raises:
            DataError: another dtype or shape.
            ModelError: ONNX Runtime failed or was told to end.
        """
        if image.dtype != np.uint8 or image.shape != self.manifest.shape:
            raise DataError(f"a picture of {image.dtype} {image.shape} found, expected uint8 {self.manifest.shape}")
        names = [value.name for value in self._session.get_outputs()]
        with self._session.with_run(run):
            outputs = dict(zip(names, self._session.run(names, {IMAGES: image[None]}), strict=True))
        layers = [
            FeatureLayer(layer.kind, layer.kernel, outputs[layer.output].shape[1], _visible(outputs[layer.output][0]))
            for layer in self._layers
        ]
        return Readings.of(outputs), layers


def _layers(operators: Sequence[Operator]) -> list[_Layer]:
    """The layers of a graph whose outputs are maps, each after its rectification."""
    layers: list[_Layer] = []
    for operator in operators:
        kind = _KINDS.get(operator.kind)
        if kind is not None:
            layers.append(_Layer(kind, operator.kernel, operator.outputs[0]))
        elif operator.kind == _ACTIVATION and layers and layers[-1].output in operator.inputs:
            last = layers.pop()
            layers.append(_Layer(last.kind, last.kernel, operator.outputs[0]))
    return layers


def _visible(values: np.ndarray) -> np.ndarray:
    """Values (n, height, width) as uint8, scaled by the largest of all."""
    shown = np.clip(values[:MOST_MAPS].astype(np.float32), 0, None)
    largest = float(values.max(initial=0.0))
    return np.rint(shown * (255 / largest)).astype(np.uint8) if largest > 0 else np.zeros(shown.shape, np.uint8)

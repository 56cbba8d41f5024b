"""Exported models in ONNX Runtime. Imports no TensorFlow: evaluation, export, the registry and serving read with it."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.files import read_file
from pipeline.core.readings import OUTPUTS, Readings

# ONNX Runtime reads this when it is imported, and without it writes a device id below the home folder there and then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

IMAGES = "images"
"""The input of every model: uint8 (n, height, width, channels)."""
REGIONS = "regions"
"""The second input of models that do not propose regions themselves: float32 (n, k, 4), x0, y0, x1, y1 in pixels."""


class OnnxModel:
    """A model in ONNX Runtime on the CPU. Several threads may read at once.

    Attributes:
        shape: height, width and channels of a picture.
        regions: k, the regions of a picture that the second input takes; None where the model takes pictures alone.
        outputs: the names of its outputs, in the order of the graph.
    """

    def __init__(self, session: onnxruntime.InferenceSession, source: str) -> None:
        """Check what a session takes and gives.

        Args:
            session: of the model.
            source: what messages call the model, for instance its path.

        Raises:
            DataError: the graph does not take `images`, takes something else than `regions` besides, or lacks an output
                of the contract.
        """
        inputs = {value.name: (value.type, tuple(value.shape[1:])) for value in session.get_inputs()}
        images, regions = inputs.pop(IMAGES, None), inputs.pop(REGIONS, None)
        if images is None or images[0] != "tensor(uint8)" or len(images[1]) != 3:
            raise DataError(
                f"{source}: inputs: expected {IMAGES}, uint8 (n, height, width, channels), found {images or inputs}"
            )
        if inputs:
            raise DataError(f"{source}: inputs: expected {IMAGES} and at most {REGIONS}, found {', '.join(inputs)} too")
        if regions is not None and (regions[0] != "tensor(float)" or regions[1][1:] != (4,)):
            raise DataError(f"{source}: inputs: expected {REGIONS}, float32 (n, k, 4), found {regions}")
        self.outputs = tuple(output.name for output in session.get_outputs())
        missing = sorted(set(OUTPUTS[:-1]) - set(self.outputs))
        if missing:
            raise DataError(f"{source}: outputs: {', '.join(missing)} missing, expected {', '.join(OUTPUTS[:-1])}")
        self.shape: tuple[int, int, int] = images[1]
        self.regions: int | None = None if regions is None else regions[1][0]
        self._session = session

    @classmethod
    def load(cls, path: Path, *, threads: int = 1) -> Self:
        """Load an ONNX file.

        Args:
            path: the file.
            threads: that share the work of one run; 0 for as many as there are cores.

        Raises:
            DataError: the file is missing, ONNX Runtime cannot load it, or its graph breaks the contract.
        """
        try:
            content = read_file(path)
        except FileNotFoundError:
            raise DataError(f"{path}: no such file; run `make repro` to make it") from None
        return cls.of(content, str(path), threads=threads)

    @classmethod
    def of(cls, content: bytes, source: str, *, threads: int = 1) -> Self:
        """Load the bytes of an ONNX file.

        Args:
            content: the bytes.
            source: what messages call the model.
            threads: as `load` takes it.

        Raises:
            DataError: as `load` does.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no base class but this.
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DataError(
                f"{source}: ONNX Runtime cannot load it ({reason}); run `make repro` to export it"
            ) from None
        return cls(session, source)

    def read(
        self,
        images: np.ndarray,
        regions: np.ndarray | None = None,
        *,
        batch: int | None = None,
        progress: Callable[[range], Iterable[int]] = iter,
    ) -> Readings:
        """Read pictures.

        Args:
            images: uint8 (n, height, width, channels), n at least 1.
            regions: float32 (n, k, 4) for a model that takes them, else None.
            batch: pictures in one run; None for all of them.
            progress: wraps the first index of each batch, as `tqdm.tqdm` does.

        Raises:
            DataError: another dtype or shape, no picture at all, or regions where the model takes none and vice versa.
        """
        self._expect(images, regions)
        given = {IMAGES: images} if regions is None else {IMAGES: images, REGIONS: regions}
        count = len(images)
        if batch is None or count <= batch:
            arrays = self._session.run(None, given)
        else:
            runs = [
                self._session.run(None, {name: array[start : start + batch] for name, array in given.items()})
                for start in progress(range(0, count, batch))
            ]
            arrays = [np.concatenate(parts) for parts in zip(*runs, strict=True)]
        return Readings.of(dict(zip(self.outputs, arrays, strict=True)))

    def _expect(self, images: np.ndarray, regions: np.ndarray | None) -> None:
        if images.dtype != np.uint8:
            raise DataError(f"pictures are {images.dtype}, expected uint8")
        if images.ndim != 4 or images.shape[1:] != self.shape or not len(images):
            raise DataError(f"pictures have shape {images.shape}, expected (n, {', '.join(map(str, self.shape))})")
        if self.regions is None:
            if regions is not None:
                raise DataError(
                    f"regions of shape {regions.shape} found, expected none: the model takes pictures alone"
                )
            return
        expected = (len(images), self.regions, 4)
        if regions is None or regions.dtype != np.float32 or regions.shape != expected:
            found = "none" if regions is None else f"{regions.dtype} {regions.shape}"
            raise DataError(f"regions: expected float32 {expected}, found {found}")

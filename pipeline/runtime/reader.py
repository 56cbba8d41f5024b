"""Packaged models, each held to the manifest beside it. Imports neither TensorFlow nor DVC."""

import hashlib
import re
import threading
from pathlib import Path
from typing import Self

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.files import opened
from pipeline.core.images import to_landscape
from pipeline.core.readings import Readings
from pipeline.records.manifest import MANIFEST, Manifest
from pipeline.runtime.graph import expect_self_contained
from pipeline.runtime.memory import bounded_memory
from pipeline.runtime.model import IMAGES, OnnxModel
from pipeline.runtime.releases import expect_unchanged
from pipeline.runtime.session import ModelError, Run, Session

LOAD_SECONDS = 60.0
"""For the readings that prove a model when it is loaded; a model of the pipeline takes less than one."""
LOAD_BYTES = 2 * 2**30
"""Address space that a model may take to be loaded and proved; the largest of the pipeline takes less than a tenth."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_TOLERANCE = 1e-3
"""Of the sum of a slot's probabilities, and of a probability beyond 0 or 1."""


class Reader:
    """A packaged model. Several threads may read at once.

    Attributes:
        manifest: what the model is.
    """

    def __init__(self, manifest: Manifest, session: Session, source: str) -> None:
        self.manifest = manifest
        self._session = session
        self._source = source
        self._model = OnnxModel(session, source)

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> Self:
        """Load what the `package` stage wrote to `folder`.

        The model's SHA-256 is compared with the manifest's before ONNX Runtime sees a byte of it, and the bytes that
        were compared are the ones that run. Then it has to read a few fixed pictures.

        Args:
            folder: holds `manifest.json` and the model that it names.
            threads: that share the work of one run. One is best for a service, where requests already run side by side.

        Raises:
            DataError: manifest or model are missing or damaged, the hashes differ, the graph is not what the manifest
                says, it needs other files or operators, or it does not read the fixed pictures.
        """
        manifest, content, path = read_packaged(folder)
        with bounded_memory(LOAD_BYTES):
            reader = cls(manifest, Session.load(content, str(path), threads=threads), str(path))
            reader._prove()
        return reader

    def read(self, images: np.ndarray, *, batch: int | None = None, run: Run | None = None) -> Readings:
        """Read pictures.

        Args:
            images: uint8 (n, height, width, channels) of the model's size; upright strips, (n, 140, 28, 1), are turned.
            batch: pictures in one run; None for all of them.
            run: ends the reading from another thread.

        Raises:
            DataError: another dtype or shape, or no picture at all.
            ModelError: ONNX Runtime failed or was told to end, or the readings have other shapes than the manifest
                says, are not finite, or are not probabilities.
        """
        with self._session.with_run(run):
            readings = self._model.read(to_landscape(images), batch=batch)
        problem = _problem(readings, self.manifest, len(images))
        if problem is not None:
            raise ModelError(f"{self._source}: {problem}")
        return readings

    def _prove(self) -> None:
        if self._model.regions is not None:
            raise DataError(
                f"{self._source}: inputs: expected {IMAGES} alone, found regions too; such a model cannot be served"
            )
        if self._model.shape != self.manifest.shape:
            raise DataError(
                f"{self._source}: inputs: {IMAGES} of {self._model.shape} found, expected {self.manifest.shape} as "
                f"{MANIFEST} says"
            )
        run = Run()
        timer = threading.Timer(LOAD_SECONDS, run.cancel)
        timer.daemon = True
        timer.start()
        try:
            # The first run allocates: it belongs to the start, not to the first request.
            self.read(_proofs(self.manifest.shape)[:1], run=run)
            self.read(_proofs(self.manifest.shape), run=run)
        finally:
            timer.cancel()


def read_packaged(folder: Path) -> tuple[Manifest, bytes, Path]:
    """The manifest in a folder, the bytes of the model that it names, and that model's path.

    The model's SHA-256 is compared with the manifest's, and its graph holds everything that it needs.

    Raises:
        DataError: manifest or model are missing or damaged, the model is larger than the manifest says, the hashes
            differ, or the graph needs other files or operators.
    """
    manifest = Manifest.read(folder / MANIFEST)
    if not _NAME.fullmatch(manifest.model.file):
        raise DataError(f"{folder / MANIFEST}: model.file: {manifest.model.file[:80]!r} found, expected model.onnx")
    path = folder / manifest.model.file
    most = min(manifest.model.bytes, LOAD_BYTES)
    try:
        with opened(path) as file:
            content = file.read(most + 1)
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file, but {MANIFEST} names it; run `make repro`, or `dvc pull` from a remote; "
            "`make demo` serves the released models"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}, expected the model that {MANIFEST} names") from None
    if len(content) > most:
        raise DataError(
            f"{path}: more than {most:,} bytes found, expected {manifest.model.bytes:,} as {MANIFEST} says; "
            "the model was changed or damaged: run `make repro` or `dvc checkout`"
        )
    found = hashlib.sha256(content).hexdigest()
    if found != manifest.model.sha256:
        raise DataError(
            f"{path}: SHA-256 {found} found, expected {manifest.model.sha256} as {MANIFEST} says; "
            "the model was changed or damaged: run `make repro` or `dvc checkout`"
        )
    expect_self_contained(content, str(path))
    return manifest, content, path


def load_readers(artifacts: Path, *, threads: int = 1) -> dict[str, Reader]:
    """Load every task packaged below a folder.

    Args:
        artifacts: holds a folder for each task, named like it.
        threads: that share the work of one run.

    Returns:
        Readers by task, in the order of their names.

    Raises:
        DataError: nothing is packaged there, or one of the models is not what its manifest says.
    """
    return {task: Reader.load(artifacts / task, threads=threads) for task in load_manifests(artifacts)}


def load_manifests(artifacts: Path) -> dict[str, Manifest]:
    """What is packaged below a folder, by task, without loading a model.

    Raises:
        DataError: nothing is packaged there; a manifest is damaged, lacks a key or is in another task's folder; or the
            folder is a release, and one of its files is not what `release.json` says.
    """
    expect_unchanged(artifacts)
    # A folder that starts with a dot is one that a killed stage left half-written.
    folders = [file.parent for file in sorted(artifacts.glob(f"*/{MANIFEST}")) if not file.parent.name.startswith(".")]
    if not folders:
        raise DataError(
            f"{artifacts}: no packaged model, expected TASK/{MANIFEST} in it; run `make repro`; `make demo` serves "
            "the released models"
        )
    manifests = {folder.name: Manifest.read(folder / MANIFEST) for folder in folders}
    for task, manifest in manifests.items():
        if manifest.task != task:
            raise DataError(f"{artifacts / task / MANIFEST}: task: expected {task!r}, found {manifest.task!r}")
    return manifests


def _proofs(shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 (4, height, width, channels): black, white, noise and a ramp; the same at every call."""
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    ramp = (np.arange(noise.size) % 256).astype(np.uint8).reshape(shape)
    return np.stack([np.zeros_like(noise), np.full_like(noise, 255), noise, ramp])


def _problem(readings: Readings, manifest: Manifest, count: int) -> str | None:
    """What is wrong with the readings of `count` pictures, if anything is."""
    expected = {
        "probabilities": (count, manifest.slots, len(manifest.class_names)),
        "classes": (count, manifest.slots),
        "confidence": (count,),
        "boxes": (count, manifest.slots, 4),
    }
    for name, shape in expected.items():
        array = getattr(readings, name)
        if array is None:
            if manifest.boxes:
                return f"no boxes found, expected them as {MANIFEST} says"
        elif array.shape != shape:
            pictures = "one picture" if count == 1 else f"{count} pictures"
            return f"{name} of shape {array.shape} found for {pictures}, expected {shape} as {MANIFEST} says"
    probabilities, confidence, boxes = readings.probabilities, readings.confidence, readings.boxes
    # Each comparison is false for what is not a number.
    if not (probabilities.min() >= -_TOLERANCE and abs(probabilities.sum(-1) - 1).max() <= _TOLERANCE):
        return _numbers("probabilities", probabilities, "numbers from 0 to 1 that sum to 1 in each slot")
    if not (confidence.min() >= -_TOLERANCE and confidence.max() <= 1 + _TOLERANCE):
        return _numbers("confidence", confidence, "a number from 0 to 1")
    if boxes is not None and not np.isfinite(boxes).all():
        return _numbers("boxes", boxes, "finite numbers")
    if readings.classes.max() >= len(manifest.class_names):
        return f"class {readings.classes.max()} found, expected one below {len(manifest.class_names)}"
    return None


def _numbers(name: str, array: np.ndarray, expected: str) -> str:
    finite = np.isfinite(array)
    found = "not finite" if not finite.all() else f"from {array.min():g} to {array.max():g}"
    return f"{name} are {found}, expected {expected}"

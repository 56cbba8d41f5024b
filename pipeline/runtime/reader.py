"""Packaged models, each held to the manifest beside it. Imports neither TensorFlow nor DVC."""

import hashlib
from pathlib import Path
from typing import Self

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import to_landscape
from pipeline.core.readings import Readings
from pipeline.records.manifest import MANIFEST, Manifest
from pipeline.runtime.model import IMAGES, OnnxModel


class Reader:
    """A packaged model. Several threads may read at once.

    Attributes:
        manifest: what the model is.
    """

    def __init__(self, manifest: Manifest, model: OnnxModel) -> None:
        self.manifest = manifest
        self._model = model

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> Self:
        """Load what the `package` stage wrote to `folder`.

        The model's SHA-256 is compared with the manifest's before ONNX Runtime sees a byte of it, and the bytes that
        were compared are the ones that run.

        Args:
            folder: holds `manifest.json` and the model that it names.
            threads: that share the work of one run. One is best for a service, where requests already run side by side.

        Raises:
            DataError: manifest or model are missing or damaged, the hashes differ, or the graph is not what the
                manifest says.
        """
        manifest = Manifest.read(folder / MANIFEST)
        path = folder / manifest.model.file
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise DataError(
                f"{path}: no such file, but {MANIFEST} names it; run `make repro`, or `dvc pull` from a remote"
            ) from None
        found = hashlib.sha256(content).hexdigest()
        if found != manifest.model.sha256:
            raise DataError(
                f"{path}: SHA-256 {found} found, expected {manifest.model.sha256} as {MANIFEST} says; "
                "the model was changed or damaged: run `make repro` or `dvc checkout`"
            )
        model = OnnxModel.of(content, str(path), threads=threads)
        _expect_contract(model, manifest, path)
        return cls(manifest, model)

    def read(self, images: np.ndarray, *, batch: int | None = None) -> Readings:
        """Read pictures.

        Args:
            images: uint8 (n, height, width, channels) of the model's size; upright strips, (n, 140, 28, 1), are turned.
            batch: pictures in one run; None for all of them.

        Raises:
            DataError: another dtype or shape, or no picture at all.
        """
        return self._model.read(to_landscape(images), batch=batch)


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
        DataError: nothing is packaged there, a manifest is damaged or lacks a key, or it is in another task's folder.
    """
    # A folder that starts with a dot is one that a killed stage left half-written.
    folders = [file.parent for file in sorted(artifacts.glob(f"*/{MANIFEST}")) if not file.parent.name.startswith(".")]
    if not folders:
        raise DataError(f"{artifacts}: no packaged model, expected TASK/{MANIFEST} in it; run `make repro`")
    manifests = {folder.name: Manifest.read(folder / MANIFEST) for folder in folders}
    for task, manifest in manifests.items():
        if manifest.task != task:
            raise DataError(f"{artifacts / task / MANIFEST}: task: expected {task!r}, found {manifest.task!r}")
    return manifests


def _expect_contract(model: OnnxModel, manifest: Manifest, path: Path) -> None:
    if model.regions is not None:
        raise DataError(f"{path}: inputs: expected {IMAGES} alone, found regions too; such a model cannot be served")
    if model.shape != manifest.shape:
        raise DataError(
            f"{path}: inputs: {IMAGES} of {model.shape} found, expected {manifest.shape} as {MANIFEST} says"
        )
    # The first run allocates: it belongs to the start, not to the first request.
    found = model.read(np.zeros((1, *manifest.shape), np.uint8)).probabilities.shape
    expected = (1, manifest.slots, len(manifest.class_names))
    if found != expected:
        raise DataError(
            f"{path}: probabilities of shape {found} found for one picture, expected {expected} as {MANIFEST} says"
        )

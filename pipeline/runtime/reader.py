"""Exported models in ONNX Runtime, with the manifest each of them is held to. What serving imports: no TensorFlow."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import STRIP_NAMES, to_landscape
from pipeline.core.readings import OUTPUTS, Readings

# ONNX Runtime reads this when it is imported, and without it writes a device id below the home folder there and then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

INPUT = "images"
"""The name of a model's one input."""
MANIFEST = "manifest.json"
_BLANK = STRIP_NAMES[-1]
_MISSING = object()


@dataclass(frozen=True)
class Manifest:
    """What a packaged model is, as `manifest.json` beside it says.

    Attributes:
        task: `strips`, `cifar10`, …; what it reads.
        strategy: how it was made.
        file: the model's file name, in the manifest's folder.
        sha256: of that file, 64 lower-case hex digits; the model's identity.
        size: of that file, in bytes.
        shape: height, width and channels of a picture; uint8.
        slots: positions of a reading.
        class_names: the name of each class.
        origin: where the pictures it was trained on came from; `embedded` is the offline stand-in.
        threshold: a reading at least this confident belongs to those that were 99.5 % right on valid; None where no
            threshold reached that.
        metrics: scores, as packaged.
        boxes: whether it says where each digit is; False where an older manifest does not say.
        positional: whether slot i of a reading is the i-th position; True where an older manifest does not say.
        version: the registry's, None for a model that was never registered.
    """

    task: str
    strategy: str
    file: str
    sha256: str
    size: int
    shape: tuple[int, int, int]
    slots: int
    class_names: tuple[str, ...]
    origin: str
    threshold: float | None
    metrics: Mapping[str, Any]
    version: str | None = None
    boxes: bool = False
    positional: bool = True

    @property
    def blank(self) -> int | None:
        """The class of a slot without a digit, None where every class counts."""
        return self.class_names.index(_BLANK) if _BLANK in self.class_names else None

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Read and check a manifest; keys it does not know are left alone.

        Raises:
            DataError: the file is missing, is no JSON object, or a key is missing or of another type than it should be.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{path}: no such file; run `make repro` to package the model") from None
        except (ValueError, RecursionError):
            raise DataError(f"{path}: damaged, expected JSON; run `make repro` to package the model again") from None
        said = _Document(path, document)
        manifest = cls(
            task=said.get("task", str),
            strategy=said.get("strategy", str),
            file=said.get("model.file", str),
            sha256=said.get("model.sha256", str),
            size=said.get("model.bytes", int),
            shape=tuple(said.get(f"inputs.{side}", int) for side in ("height", "width", "channels")),
            slots=said.get("slots", int),
            class_names=tuple(said.get("class_names", list)),
            origin=said.get("origin", str),
            threshold=said.get("coverage.threshold", float, nullable=True),
            metrics=said.get("metrics", dict),
            version=said.get("version", str, default=None),
            boxes=said.get("boxes", bool, default=False),
            positional=said.get("positional", bool, default=True),
        )
        if not all(isinstance(name, str) for name in manifest.class_names) or len(manifest.class_names) < 2:
            raise DataError(f"{path}: class_names: expected at least two names, found {list(manifest.class_names)!r}")
        if Path(manifest.file).name != manifest.file:
            raise DataError(f"{path}: model.file: expected a file's name without a folder, found {manifest.file!r}")
        return manifest


class Reader:
    """A packaged model, ready to read pictures. Several threads may read at once.

    Attributes:
        manifest: what the model is.
    """

    def __init__(self, manifest: Manifest, session: onnxruntime.InferenceSession) -> None:
        self.manifest = manifest
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> "Reader":
        """Load what the `package` stage wrote to `folder`.

        The model's SHA-256 is compared with the manifest's before ONNX Runtime sees a byte of it, and the bytes that
        were compared are the ones that run.

        Args:
            folder: holds `manifest.json` and the model it names.
            threads: of one read. One is best for a service, where requests already run side by side.

        Raises:
            DataError: manifest or model are missing or damaged, the hashes differ, or the graph is not what the
                manifest says.
        """
        manifest = Manifest.load(folder / MANIFEST)
        path = folder / manifest.file
        try:
            model = path.read_bytes()
        except FileNotFoundError:
            raise DataError(
                f"{path}: no such file, but {MANIFEST} names it; run `make repro`, or `dvc pull` from a remote"
            ) from None
        found = hashlib.sha256(model).hexdigest()
        if found != manifest.sha256:
            raise DataError(
                f"{path}: SHA-256 {found} found, expected {manifest.sha256} as {MANIFEST} says; "
                "the model was changed or damaged: run `make repro` or `dvc checkout`"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no base class but this.
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DataError(f"{path}: ONNX Runtime cannot load it ({reason}); run `make repro` to export it") from None
        _expect_contract(session, manifest, path)
        reader = cls(manifest, session)
        # The first run allocates: it belongs to the start, not to the first request.
        readings = reader.read(np.zeros((1, *manifest.shape), np.uint8))
        expected = (1, manifest.slots, len(manifest.class_names))
        if readings.probabilities.shape != expected:
            raise DataError(
                f"{path}: probabilities of shape {readings.probabilities.shape} found for one picture, "
                f"expected {expected} as {MANIFEST} says"
            )
        return reader

    def read(self, images: np.ndarray) -> Readings:
        """Read pictures.

        Args:
            images: uint8 (n, H, W, C) of the model's size; strips that stand, (n, 140, 28, 1), are turned.

        Raises:
            DataError: another dtype or shape, or no picture at all.
        """
        if images.dtype != np.uint8:
            raise DataError(f"pictures are {images.dtype}, expected uint8")
        laid = to_landscape(images)
        if laid.ndim != 4 or laid.shape[1:] != self.manifest.shape or not len(laid):
            raise DataError(
                f"pictures have shape {images.shape}, expected (n, {', '.join(map(str, self.manifest.shape))})"
            )
        return Readings.of(dict(zip(self._outputs, self._session.run(None, {INPUT: laid}), strict=True)))


def load_readers(artifacts: Path, *, threads: int = 1) -> dict[str, Reader]:
    """Load every task packaged below a folder.

    Args:
        artifacts: holds a folder for each task, named like it.
        threads: of one read.

    Returns:
        Readers by task, in the order of their names.

    Raises:
        DataError: nothing is packaged there, or one of the models is not what its manifest says.
    """
    return {task: Reader.load(artifacts / task, threads=threads) for task in load_manifests(artifacts)}


def load_manifests(artifacts: Path) -> dict[str, Manifest]:
    """What is packaged below a folder, by task, without loading a model.

    Raises:
        DataError: nothing is packaged there, or a manifest is missing something or stands in another task's folder.
    """
    # A folder that starts with a dot is one that a killed stage left half-written.
    folders = [file.parent for file in sorted(artifacts.glob(f"*/{MANIFEST}")) if not file.parent.name.startswith(".")]
    if not folders:
        raise DataError(f"{artifacts}: no packaged model, expected TASK/{MANIFEST} in it; run `make repro`")
    manifests = {folder.name: Manifest.load(folder / MANIFEST) for folder in folders}
    for task, manifest in manifests.items():
        if manifest.task != task:
            raise DataError(f"{artifacts / task / MANIFEST}: task: expected {task!r}, found {manifest.task!r}")
    return manifests


@dataclass(frozen=True)
class _Document:
    path: Path
    content: Any

    def get(self, key: str, kind: type, *, nullable: bool = False, default: Any = _MISSING) -> Any:
        value = self.content
        for part in key.split("."):
            value = value.get(part, _MISSING) if isinstance(value, dict) else _MISSING
        if value is _MISSING and default is not _MISSING:
            return default
        if value is None and (nullable or default is None):
            return None
        if kind is float and type(value) is int:
            value = float(value)
        # An exact type: a bool is an int to isinstance.
        if type(value) is not kind:
            expected = _KINDS[kind] + (" or null" if nullable else "")
            found = "nothing" if value is _MISSING else json.dumps(value)
            raise DataError(
                f"{self.path}: {key}: expected {expected}, found {found}; run `make repro` to package it again"
            )
        return value


_KINDS = {
    bool: "true or false",
    str: "text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a mapping",
}


def _expect_contract(session: onnxruntime.InferenceSession, manifest: Manifest, path: Path) -> None:
    inputs = {value.name: (value.type, tuple(value.shape[1:])) for value in session.get_inputs()}
    expected = {INPUT: ("tensor(uint8)", manifest.shape)}
    if inputs != expected:
        raise DataError(f"{path}: inputs {inputs} found, expected {expected}")
    missing = set(OUTPUTS[:-1]) - {output.name for output in session.get_outputs()}
    if missing:
        raise DataError(f"{path}: output {', '.join(sorted(missing))} missing, expected {', '.join(OUTPUTS[:-1])}")

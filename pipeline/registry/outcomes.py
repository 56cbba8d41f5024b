"""What a version read of its gate pictures, right or wrong: from the readings that `evaluate` stored."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import PipelineError, RegistryError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings, left_to_right
from pipeline.evaluation import scoring
from pipeline.registry import artifacts
from pipeline.registry.artifacts import Artifact
from pipeline.registry.history import Event
from pipeline.registry.repository import Repository
from pipeline.registry.storage import Storage, digest
from pipeline.runtime.reader import MANIFEST, Reader

SPLIT = "gate"
"""The split that promotions are decided on: nothing trains, chooses or reports on it."""


@dataclass(frozen=True)
class Outcomes:
    """By suite, of n gate pictures each.

    Attributes:
        right: bool (n,), which were read whole.
        confidence: float32 (n,), how sure the model was.
        pictures: what was read.
        digests: MD5 of the file that the pictures are in; equal ones are the same pictures in the same order.
    """

    right: Mapping[str, np.ndarray]
    confidence: Mapping[str, np.ndarray]
    pictures: Mapping[str, ImageSet]
    digests: Mapping[str, str]


def stored(repository: Repository, artifact: Artifact, version: Event) -> Outcomes:
    """What a version's stored readings say.

    Raises:
        RegistryError: readings or pictures are gone or were changed.
    """
    evidence = version.evidence("strategy", "metrics")
    right, confidence, pictures, digests = {}, {}, {}, {}
    with Storage.at(repository.root, version.revision) as storage, tempfile.TemporaryDirectory() as folder:
        for suite in evidence["metrics"]:
            path = artifact.pictures(suite, SPLIT)
            truth = ImageSet.load(storage.fetch(path, Path(folder) / "pictures" / f"{suite}.npz"))
            read = Readings.load(
                storage.fetch(
                    artifacts.predictions(evidence["strategy"], suite, SPLIT),
                    Path(folder) / "readings" / f"{suite}.npz",
                )
            )
            right[suite], confidence[suite] = scoring.correctness(read, truth), read.confidence
            pictures[suite], digests[suite] = truth, storage.md5(path)
    return Outcomes(right, confidence, pictures, digests)


def on_the_same_pictures(
    repository: Repository, artifact: Artifact, champion: Event, challenger: Outcomes
) -> Mapping[str, np.ndarray]:
    """Bool (n,) by suite: which of the challenger's gate pictures a champion reads whole.

    Its stored readings say so where they are of the same pictures. Where the suites were composed anew since, its model
    reads the challenger's pictures now, in ONNX Runtime.

    Returns:
        The suites that both can read.

    Raises:
        RegistryError: readings, pictures or model are gone or were changed, or the model takes other pictures.
    """
    known = stored(repository, artifact, champion)
    right = {
        suite: known.right[suite] for suite, digest in challenger.digests.items() if known.digests.get(suite) == digest
    }
    others = [suite for suite in challenger.digests if suite in known.digests and suite not in right]
    if others:
        with tempfile.TemporaryDirectory() as folder:
            reader = fetched_reader(repository, artifact, champion, Path(folder))
            for suite in others:
                truth = challenger.pictures[suite]
                try:
                    right[suite] = scoring.correctness(_read(reader, truth.images), truth)
                except PipelineError as error:
                    raise RegistryError(
                        f"{artifact.name}@{champion.version} cannot read the gate pictures of {suite}, which were "
                        f"composed anew: {error}"
                    ) from None
    return {suite: right[suite] for suite in challenger.right if suite in right}


def fetched_reader(repository: Repository, artifact: Artifact, version: Event, folder: Path) -> Reader:
    """A version's model, copied to `folder` with its manifest, held to its hashes and ready to read.

    Raises:
        RegistryError: the model is gone, was changed, or is not what manifest and evidence say.
    """
    fetch_model(repository, artifact, version, folder)
    try:
        return Reader.load(folder)
    except PipelineError as error:
        raise RegistryError(f"{artifact.name}@{version.version}: {error}") from None


def fetch_model(repository: Repository, artifact: Artifact, version: Event, folder: Path) -> None:
    """Copy a version's model and manifest to `folder`, and hold the model to the SHA-256 in the version's tag.

    Raises:
        RegistryError: the model is gone, or is not the one that was registered.
    """
    expected = version.evidence("sha256")["sha256"]
    with Storage.at(repository.root, version.revision) as storage:
        storage.fetch(artifact.model, folder / Path(artifact.model).name)
    (folder / MANIFEST).write_text(repository.text(version.revision, artifact.manifest), encoding="utf-8")
    found = digest(folder / Path(artifact.model).name, "sha256")
    if found != expected:
        raise RegistryError(
            f"{artifact.model} of {artifact.name}@{version.version}: SHA-256 {found} found, expected {expected} as "
            f"its tag says; the tag or the revision's dvc.lock was changed"
        )


def _read(reader: Reader, images: np.ndarray, batch: int = 250) -> Readings:
    parts = [reader.read(images[start : start + batch]) for start in range(0, len(images), batch)]
    joined = Readings(
        probabilities=np.concatenate([part.probabilities for part in parts]),
        classes=np.concatenate([part.classes for part in parts]),
        confidence=np.concatenate([part.confidence for part in parts]),
        boxes=None if parts[0].boxes is None else np.concatenate([part.boxes for part in parts]),
    )
    return joined if reader.manifest.positional else left_to_right(joined, reader.manifest.blank)

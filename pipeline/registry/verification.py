"""A version against what it says of itself: every hash, its signature, and the metrics computed anew."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import PipelineError, RegistryError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation import scoring
from pipeline.registry import artifacts, evidence, signing
from pipeline.registry.artifacts import Artifact
from pipeline.registry.history import Event
from pipeline.registry.repository import Repository
from pipeline.registry.storage import Storage, digest
from pipeline.runtime.reader import Reader


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        what: a file, or what was computed.
        holds: whether it is as the version says.
        detail: what was found; where it does not hold, and what was expected.
    """

    what: str
    holds: bool
    detail: str


def verify(repository: Repository, artifact: Artifact, version: Event) -> list[Finding]:
    """Check everything that can be checked of a version, and go on where something does not hold."""
    try:
        said = version.evidence(*evidence.NEEDED)
    except RegistryError as error:
        return [Finding(version.tag, False, str(error))]
    findings = [_equal("revision", version.revision, said["revision"])]
    for path, key in (("dvc.lock", "dvc_lock_sha256"), ("params.yaml", "params_sha256")):
        try:
            content = repository.text(version.revision, path)
            findings.append(_equal(path, hashlib.sha256(content.encode()).hexdigest(), said[key]))
        except RegistryError as error:
            findings.append(Finding(path, False, str(error)))
    with tempfile.TemporaryDirectory() as place, Storage.at(repository.root, version.revision) as storage:
        folder = Path(place)
        for path, md5 in said["files"].items():
            findings.append(_fetched(storage, path, md5, folder / path))
        findings += _model(repository, artifact, version, folder)
        findings += _metrics(repository, artifact, version, folder)
    return findings


def _fetched(storage: Storage, path: str, md5: str, target: Path) -> Finding:
    try:
        storage.fetch(path, target)
    except RegistryError as error:
        target.unlink(missing_ok=True)
        return Finding(path, False, str(error).removeprefix(f"{path}: "))
    # `fetch` has held the file to what the revision says; what is left is whether the tag says the same.
    return _equal(path, storage.md5(path), md5)


def _model(repository: Repository, artifact: Artifact, version: Event, folder: Path) -> Iterator[Finding]:
    model, said = folder / artifact.model, version.document
    if not model.exists():
        return
    yield _equal(f"{artifact.model}, SHA-256", digest(model, "sha256"), said["sha256"])
    try:
        text = repository.text(version.revision, artifact.manifest)
        manifest = json.loads(text)
        (folder / artifact.manifest).write_text(text, encoding="utf-8")
        yield _equal(artifact.manifest, manifest["model"]["sha256"], said["sha256"])
        Reader.load(model.parent)
        yield Finding("inputs and outputs", True, "as the manifest says, in ONNX Runtime")
    except (PipelineError, ValueError, KeyError) as error:
        yield Finding(artifact.manifest, False, str(error))
    key, signature = signing.Keys.of(repository).public, said.get("signed")
    if key is not None:
        try:
            signing.check(model, signature, key, f"{artifact.name}@{version.version}")
            yield Finding("signature", True, f"holds for {key.name}")
        except RegistryError as error:
            yield Finding("signature", False, str(error))
    elif signature:
        yield Finding("signature", True, f"there is one; not checked, since {signing.VERIFYING_KEY} is not set")


def _metrics(repository: Repository, artifact: Artifact, version: Event, folder: Path) -> Iterator[Finding]:
    """The scores of the stored readings, computed anew, against those that the tag tells."""
    said = version.document
    strategy = said["strategy"]
    needed = {
        (suite, split): (artifact.pictures(suite, split), artifacts.predictions(strategy, suite, split))
        for suite in said["metrics"]
        for split in evidence.SPLITS
    }
    missing = [path for paths in needed.values() for path in paths if not (folder / path).exists()]
    if missing:
        yield Finding("metrics", False, f"cannot be computed anew: {missing[0]} does not hold")
        return
    try:
        positional = json.loads(repository.text(version.revision, artifact.manifest))["positional"]
        truth = {suite: {} for suite in said["metrics"]}
        read = {suite: {} for suite in said["metrics"]}
        for (suite, split), (pictures, readings) in needed.items():
            truth[suite][split] = ImageSet.load(folder / pictures)
            read[suite][split] = Readings.load(folder / readings)
        scores = scoring.evaluation(read, truth, positional)
    except (PipelineError, ValueError, KeyError) as error:
        yield Finding("metrics", False, f"cannot be computed anew: {error}")
        return
    for suite, splits in said["metrics"].items():
        for split, values in splits.items():
            anew = scores["suites"][suite][split]
            differing = [key for key, value in values.items() if anew[key] != value]
            told = ", ".join(f"{key} {anew[key]} found, {values[key]} expected" for key in differing)
            detail = told or f"sequence_accuracy {values['sequence_accuracy']:.4f} of {values['n']:,}, as it says"
            yield Finding(f"metrics, {suite} {split}", not differing, detail)
    same = scores["coverage"] == said["coverage"]
    yield Finding(
        "metrics, coverage", same, "as it says" if same else f"{scores['coverage']} found, {said['coverage']} expected"
    )


def _equal(what: str, found: str, expected: str) -> Finding:
    if found == expected:
        return Finding(what, True, f"{found[:12]}, as it says")
    return Finding(what, False, f"{found} found, expected {expected}")

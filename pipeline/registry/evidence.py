"""The evidence of a version: collected when it is registered, and compared with that of another version."""

import hashlib
import platform
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime
from pydantic import JsonValue

from pipeline.config import params
from pipeline.core.errors import ConfigurationError, DataError, PipelineError, RegistryError
from pipeline.core.files import digest
from pipeline.events.repository import Repository
from pipeline.records.base import Record
from pipeline.records.data import ValidationReport
from pipeline.records.evaluation import Evaluation
from pipeline.records.manifest import MANIFEST, Manifest
from pipeline.records.registry import (
    Evidence,
    Interface,
    Measures,
    MetricDifference,
    Previous,
    SuiteMeasures,
    Tensor,
    VersionDifference,
)
from pipeline.records.robustness import Robustness, Shift
from pipeline.registry import artifacts
from pipeline.registry.artifacts import Artifact
from pipeline.registry.storage import Storage
from pipeline.registry.version import parse_manifest
from pipeline.runtime.reader import Reader

SPLITS = ("valid", "gate", "test")
_Record = TypeVar("_Record", bound=Record)
_LOCK = "requirements/pipeline.lock"
_PARAMS = ("seed", "budget", "precision", "compose", "sources")


def collect(
    repository: Repository, artifact: Artifact, revision: str, version: str, previous: Previous | None
) -> Evidence:
    """The evidence of a version, as its revision has it; without signature and remote storage.

    Args:
        repository: the clone.
        artifact: what it will be a version of.
        revision: the commit.
        version: its number.
        previous: the artifact's event before.

    Raises:
        RegistryError: a file is missing, gone or changed, or the model is not what its manifest says.
    """
    manifest = parse_manifest(repository, artifact, revision)
    if manifest.task != artifact.task:
        raise RegistryError(f"{artifact.manifest}: task: expected {artifact.task!r}, found {manifest.task!r}")
    evaluation = _record(repository, Evaluation, artifact.evaluation(manifest.strategy), revision)
    lock, written = repository.text(revision, "dvc.lock"), repository.text(revision, "params.yaml")
    with Storage.at(repository.root, revision) as storage, tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = storage.fetch(artifact.model, folder / Path(artifact.model).name)
        manifest.write(folder / MANIFEST)
        sha256 = digest(model)
        if sha256 != manifest.model.sha256:
            raise RegistryError(
                f"{artifact.model}: SHA-256 {sha256} found, expected {manifest.model.sha256} "
                "as its manifest says; run `make repro` and commit what it wrote"
            )
        files = {
            path: storage.md5(path)
            for path in file_paths(artifact, manifest.strategy, evaluation.suites, manifest.trained_on)
        }
        for path in files:
            # A disk that changed a byte changes no time, so DVC's own check would find nothing.
            storage.fetch(path, folder / "hashed")
        validation = {
            dataset: ValidationReport.read(
                storage.fetch(artifacts.validation(dataset), folder / "validation.json")
            ).success
            for dataset in _datasets(artifact, evaluation.suites, manifest.trained_on)
        }
        interface = _interface(model, manifest)
        (folder / "params.yaml").write_text(written, encoding="utf-8")
        values = _params(folder / "params.yaml", manifest, f"params.yaml at {revision[:12]}")
    return Evidence(
        previous=previous,
        artifact=artifact.name,
        version=version,
        task=manifest.task,
        strategy=manifest.strategy,
        sha256=sha256,
        md5=files[artifact.model],
        bytes=manifest.model.bytes,
        manifest_sha256=text_sha256(repository.text(revision, artifact.manifest)),
        revision=revision,
        dvc_lock_sha256=text_sha256(lock),
        params_sha256=text_sha256(written),
        params=values,
        origin=manifest.origin,
        pretrained=manifest.pretrained,
        parameters=manifest.parameters,
        trained_on=manifest.trained_on,
        metrics={
            suite: SuiteMeasures(gate=Measures.of(splits["gate"]), test=Measures.of(splits["test"]))
            for suite, splits in evaluation.suites.items()
        },
        coverage=evaluation.coverage,
        shift=shift(repository, artifact, revision, manifest.strategy, sha256),
        files=files,
        validation=validation,
        parity={suite: result.holds for suite, result in manifest.parity.items()},
        interface=interface,
        environment={
            **manifest.made_with,
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "lock_sha256": text_sha256(repository.text(revision, _LOCK)),
        },
    )


def shift(repository: Repository, artifact: Artifact, revision: str, strategy: str, sha256: str) -> Shift:
    """The figures of a model on corrupted pictures, as a revision has them.

    Raises:
        RegistryError: the revision has none, or those of another model.
    """
    path = artifact.robustness(strategy)
    found = _record(repository, Robustness, path, revision)
    if found.sha256 != sha256:
        raise RegistryError(
            f"{path}: of the model {found.sha256[:12]}, expected {sha256[:12]}; run `make repro` and commit what it "
            "wrote"
        )
    return found.shift


def file_paths(artifact: Artifact, strategy: str, suites: Iterable[str], trained_on: str) -> list[str]:
    """The paths of the files that a version depends on: model, pictures, readings and validation reports."""
    paths = [artifact.model]
    for suite in suites:
        for split in SPLITS:
            paths += [artifact.pictures(suite, split), artifact.predictions(strategy, suite, split)]
    return paths + [artifacts.validation(dataset) for dataset in _datasets(artifact, suites, trained_on)]


def milliseconds(reader: Reader, times: int = 30) -> float:
    """Median wall-clock milliseconds to read one picture on one thread, in ONNX Runtime."""
    picture = np.zeros((1, *reader.manifest.shape), np.uint8)
    durations = []
    for _ in range(times):
        started = time.perf_counter()
        reader.read(picture)
        durations.append(time.perf_counter() - started)
    return round(1000 * statistics.median(durations), 3)


def text_sha256(text: str) -> str:
    """The SHA-256 of a text in UTF-8, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def differences(first: Evidence, second: Evidence) -> VersionDifference:
    """What differs between two versions of one artifact. Revision and hashes, which always differ, are included."""
    metrics = {}
    for suite in {**first.metrics, **second.metrics}:
        for split in ("gate", "test"):
            ours, theirs = (_accuracy(evidence, suite, split) for evidence in (first, second))
            change = None if ours is None or theirs is None else round(theirs - ours, 6)
            metrics[f"{suite} {split}"] = MetricDifference(first=ours, second=theirs, difference=change)
    left, right = (dict(_flat(evidence.as_json())) for evidence in (first, second))
    apart = ("metrics.", "coverage.", "version", "signature", "previous", "nonce")
    other = {
        key: (left.get(key), right.get(key))
        for key in sorted({**left, **right})
        if not key.startswith(apart) and left.get(key) != right.get(key)
    }
    return VersionDifference(first=first.version, second=second.version, metrics=metrics, other=other)


def _datasets(artifact: Artifact, suites: Iterable[str], trained_on: str) -> list[str]:
    return sorted({trained_on, *(f"{artifact.task}/{suite}" for suite in suites)})


def _record(repository: Repository, kind: type[_Record], path: str, revision: str) -> _Record:
    text = repository.text(revision, path)
    try:
        return kind.parse(text, f"{path} at {revision[:12]}")
    except DataError as error:
        raise RegistryError(f"{error}, and commit what it wrote") from None


def _params(path: Path, manifest: Manifest, source: str) -> dict[str, JsonValue]:
    """The parameters that produced a model.

    Raises:
        RegistryError: params.yaml is damaged, or knows nothing of the model; the message calls it `source`.
    """
    try:
        settings = params.read(path)
        entry = settings["strategies"][manifest.strategy]
        return {
            **{key: settings[key] for key in _PARAMS if key in settings},
            "suites": {name: suite for name, suite in settings["suites"].items() if suite["task"] == manifest.task},
            # params.yaml lists what differs from a default; the manifest has every setting of the training.
            "strategy": {**manifest.settings, **entry},
        }
    except ConfigurationError as error:
        raise RegistryError(str(error).replace(str(path), source)) from None
    except (AttributeError, KeyError, TypeError):
        raise RegistryError(
            f"{source}: expected the settings of {manifest.strategy}, the packaged strategy, and suites with a task "
            "each; run `make repro` and commit what it wrote"
        ) from None


def _interface(model: Path, manifest: Manifest) -> Interface:
    try:
        Reader.load(model.parent)
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    except PipelineError as error:
        raise RegistryError(str(error)) from None
    inputs, outputs = (
        tuple(Tensor(name=value.name, type=value.type, shape=tuple(value.shape)) for value in values)
        for values in (session.get_inputs(), session.get_outputs())
    )
    return Interface(inputs=inputs, outputs=outputs, slots=manifest.slots, class_names=manifest.class_names)


def _accuracy(evidence: Evidence, suite: str, split: str) -> float | None:
    measures = evidence.metrics.get(suite)
    if measures is None:
        return None
    return (measures.gate if split == "gate" else measures.test).sequence_accuracy


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value

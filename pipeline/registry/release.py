"""What is in a stage, small enough for git: `make demo` serves it in a clone that has no data and no cache of DVC."""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.core.errors import ConfigurationError, DataError, RegistryError
from pipeline.core.files import digest
from pipeline.core.images import ImageSet
from pipeline.evaluation.evaluated import Evaluated
from pipeline.packaging import quantization
from pipeline.project import folders
from pipeline.records.export import ModelFile
from pipeline.records.manifest import MANIFEST, Manifest, ReleasedFrom, Weights
from pipeline.records.release import RELEASE, Release, ReleaseAccuracy, ReleasedModel, ReleasedTask
from pipeline.registry.deployment import placed_versions
from pipeline.registry.operations import Registry, known_stage
from pipeline.registry.version import RegisteredVersion, read
from pipeline.runtime.gallery import STRATEGIES, TEXTBOOK
from pipeline.runtime.reader import Reader
from pipeline.runtime.releases import expect_unchanged

LARGEST = 12_000_000
"""Bytes of a release: every clone has them, and those of every release before."""
TOLERANCE = 0.0005
"""The largest loss of sequence accuracy on valid that counts as none: 0.05 points."""
SPLIT = "valid"
"""Whose pictures both files read. Thresholds and candidates are chosen by it; nothing is learned of the others."""
MODEL = "model.onnx"
_RESERVED = 64_000
"""Bytes for `release.json`."""
_SHRINKS = 5
"""A file does not get smaller than this part."""
_THREADS = 2
_OWN = re.compile(rf"{re.escape(RELEASE)}|[\w-]+/({STRATEGIES}/[\w-]+/)?({re.escape(MODEL)}|{re.escape(MANIFEST)})")


@dataclass(frozen=True)
class _Original:
    """A model as it was packaged.

    Attributes:
        artifact: of the registry.
        manifest: with the version of a registered model.
        content: of the model file.
        pictures: of valid, by suite that the model reads.
    """

    artifact: str
    manifest: Manifest
    content: bytes
    pictures: Mapping[str, ImageSet]


@dataclass
class _Task:
    """What a release has of one task.

    Attributes:
        version, revision: that are in the stage.
        model: the registered model.
        others: by name, the other strategies of that commit.
        released: what was written.
        left_out: by name, why a strategy was not.
    """

    version: str
    revision: str
    model: _Original
    others: dict[str, _Original]
    left_out: dict[str, str]
    released: dict[str, ReleasedModel] = field(default_factory=dict)


def release(registry: Registry, stage: str, out: Path, *, limit: int = LARGEST) -> Release:
    """Write the models that are in a stage to `out/TASK`, and further strategies of their commits beside them.

    A file holds its weights in eight bits, or in half precision, or as they were: the first of these with which it
    loses no more than `TOLERANCE` of the sequence accuracy over the pictures of valid of all suites. The further
    strategies are in `out/TASK/strategies`: that whose feature maps the page shows, then the smallest, as long as they
    fit. The checks of `registry deploy` come first, and each file is loaded as the service does. Then the folder is
    replaced as a whole and in one step.

    Args:
        registry: as it is now.
        stage: what is released.
        out: the folder.
        limit: its size in bytes.

    Returns:
        The content of `release.json`.

    Raises:
        ConfigurationError: `out` holds a file that this would delete.
        RegistryError: as `deploy` does; or pictures or strategies are gone or were changed; or the models of the stage
            alone are larger than `limit`.
    """
    out = out.resolve()
    _expect_own(out)
    tasks = {}
    for name, each in placed_versions(registry, stage).items():
        with registry.opened(registry.history.version(name, each.version)) as opened:
            tasks[opened.artifact.task] = _task(opened, limit)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _write(tasks, folder, limit)
        released = Release(
            stage=known_stage(stage),
            tasks={task: _record(each) for task, each in tasks.items()},
            files={path.relative_to(folder).as_posix(): digest(path) for path in sorted(folder.rglob("*.*"))},
        )
        released.write(folder / RELEASE)
        expect_unchanged(folder)
        with folders.publishing(out) as new:
            shutil.copytree(folder, new, dirs_exist_ok=True)
    return released


def _task(version: RegisteredVersion, limit: int) -> _Task:
    manifest = version.load_reader().manifest.model_copy(update={"version": version.event.version})
    version.check_signature()
    paths = {suite: version.artifact.pictures(suite, SPLIT) for suite in version.evidence.metrics}
    try:
        pictures = {suite: ImageSet.load(version.fetch(path)) for suite, path in paths.items()}
    except DataError as error:
        raise RegistryError(f"{version.name}: {error}") from None

    def original(manifest: Manifest, model: Path) -> _Original:
        readable = {suite: each for suite, each in pictures.items() if suite in manifest.suites}
        return _Original(version.artifact.name, manifest, model.read_bytes(), readable)

    others, left_out = {}, {}
    for name in version.strategies():
        if name == manifest.strategy:
            continue
        found = version.strategy_manifest(name)
        if not set(found.suites) & set(version.evidence.metrics):
            left_out[name] = f"it reads none of {', '.join(version.evidence.metrics)}"
        elif found.model.bytes > _SHRINKS * limit:
            left_out[name] = f"its model has {_megabytes(found.model.bytes)}"
        else:
            others[name] = original(found, version.fetch_strategy(name))
    model = original(manifest, version.fetch_model())
    return _Task(version.event.version, version.event.revision, model, others, left_out)


def _write(tasks: Mapping[str, _Task], folder: Path, limit: int) -> None:
    """Write the models of a stage, then the strategies that fit: `TEXTBOOK`, and the others from the smallest up."""
    others = [(task, name, each) for task, one in tasks.items() for name, each in one.others.items()]
    least = {(task, name): len(quantization.store(each.content, quantization.FORMS[0])) for task, name, each in others}
    # The page shows feature maps of one of them, which comes first.
    others.sort(key=lambda other: (other[:2] != TEXTBOOK, least[other[:2]], *other[:2]))
    with tqdm(total=len(tasks) + len(others), desc="models", unit="model", leave=False, disable=None) as bar:
        for task, one in tasks.items():
            one.released[one.model.manifest.strategy] = _smallest(one.model, folder / task)
            bar.update()
        if (size := _size(folder)) > limit:
            raise RegistryError(
                f"the models of {', '.join(tasks)} have {_megabytes(size)} together, expected at most "
                f"{_megabytes(limit)}; nothing was released"
            )
        for task, name, original in others:
            bar.update()
            size = _size(folder)
            if size + least[task, name] > limit:
                tasks[task].left_out[name] = f"{_megabytes(least[task, name])}, and {_megabytes(limit - size)} are left"
                continue
            target = folder / task / STRATEGIES / name
            released = _smallest(original, target)
            if _size(folder) > limit:
                shutil.rmtree(target)
                found = f"{_megabytes(released.released.bytes)} with weights in {released.weights}"
                tasks[task].left_out[name] = f"{found}, and {_megabytes(limit - size)} are left"
            else:
                tasks[task].released[name] = released


def _smallest(original: _Original, folder: Path) -> ReleasedModel:
    """Write the smallest file of a model that is as accurate, and its manifest.

    Raises:
        RegistryError: the model cannot be loaded, or fails.
    """
    folder.mkdir(parents=True)
    try:
        before = _correct(original, _put(original, original.content, "float32", folder), folder)
    except DataError as error:
        raise RegistryError(f"{original.artifact}, {original.manifest.strategy}: {error}") from None
    for weights in quantization.FORMS[:-1]:
        content = quantization.store(original.content, weights)
        if len(content) >= len(original.content):
            continue
        try:
            quantization.expect_folded(content, original.content)
            written = _put(original, content, weights, folder)
            released = _compared(original, written, before, _correct(original, written, folder))
        except DataError:
            # Half precision ends at 65,504: what is larger becomes infinite, and the readings are no numbers.
            continue
        expected, found = released.accuracies
        # Sums of shares differ in the last digits.
        if expected - found <= TOLERANCE + 1e-9:
            return released
    return _compared(original, _put(original, original.content, "float32", folder), before, before)


def _compared(
    original: _Original, written: Manifest, before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]
) -> ReleasedModel:
    assert written.released is not None, "set where it is written"
    return ReleasedModel(
        strategy=written.strategy,
        weights=written.released.weights,
        original=original.manifest.model,
        released=written.model,
        valid={
            suite: ReleaseAccuracy(n=len(each), original=float(each.mean()), released=float(after[suite].mean()))
            for suite, each in before.items()
        },
    )


def _put(original: _Original, content: bytes, weights: Weights, folder: Path) -> Manifest:
    """Write a file of a model and the manifest of this file."""
    path = folder / MODEL
    path.write_bytes(content)
    given = original.manifest.model
    manifest = original.manifest.model_copy(
        update={
            "model": ModelFile(file=MODEL, sha256=digest(path), bytes=len(content)),
            "released": ReleasedFrom(
                artifact=original.artifact, sha256=given.sha256, bytes=given.bytes, weights=weights
            ),
        }
    )
    manifest.write(folder / MANIFEST)
    return manifest


def _correct(original: _Original, manifest: Manifest, folder: Path) -> dict[str, np.ndarray]:
    """Bool (n,) by suite: which pictures of valid the model in a folder reads correctly, loaded as the service does."""
    reader = Reader.load(folder, threads=_THREADS)
    return {
        suite: Evaluated.of(read(reader, pictures.images), pictures, manifest.positional).correct
        for suite, pictures in original.pictures.items()
    }


def _record(task: _Task) -> ReleasedTask:
    strategy = task.model.manifest.strategy
    return ReleasedTask(
        artifact=task.model.artifact,
        version=task.version,
        revision=task.revision,
        model=task.released[strategy],
        strategies={name: each for name, each in task.released.items() if name != strategy},
        left_out=task.left_out,
    )


def _size(folder: Path) -> int:
    return _RESERVED + sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"


def _expect_own(out: Path) -> None:
    """Raise a ConfigurationError where a folder holds anything but what `release` writes."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigurationError(f"{out}: a file; expected a folder, new, empty or written by `registry release`")
    for place, within, files in os.walk(out):
        # The first one ends this: the folder may be any, with millions of files.
        within.sort()
        for path in (Path(place) / name for name in sorted([*within, *files])):
            name = path.relative_to(out).as_posix()
            if path.is_symlink() or (not path.is_dir() and not _OWN.fullmatch(name)):
                raise ConfigurationError(
                    f"{out}: {name} would be lost, since the folder is replaced as a whole; expected a folder that is "
                    "new, empty or written by `registry release`"
                )

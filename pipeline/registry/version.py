"""One version of an artifact, opened: its evidence, its files, its model, and what it read of its gate pictures."""

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError, PipelineError, RegistryError
from pipeline.core.files import digest
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings, left_to_right
from pipeline.evaluation.evaluated import Evaluated
from pipeline.events import trust
from pipeline.events.history import Event
from pipeline.events.repository import Repository
from pipeline.events.signing import Keys
from pipeline.records.manifest import MANIFEST, Manifest
from pipeline.records.registry import Evidence
from pipeline.registry.artifacts import Artifact
from pipeline.registry.storage import Storage
from pipeline.runtime.reader import Reader

GATE = "gate"
"""The split that decides on promotions: no training, choice or report uses it."""
BATCH = 250
"""Pictures that a model reads at once."""
_STRATEGY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class RegisteredVersion:
    """A registered version, opened with `RegisteredVersion.open`. What it fetches is removed when it closes.

    Attributes:
        repository: the clone.
        artifact: what it is a version of.
        event: its registration.
        evidence: the document in its tag.
        storage: the files of its revision.
        folder: where fetched files are, each at its path in the project.
    """

    repository: Repository
    artifact: Artifact
    event: Event
    evidence: Evidence
    storage: Storage
    folder: Path

    @classmethod
    @contextlib.contextmanager
    def open(cls, repository: Repository, artifact: Artifact, event: Event) -> Iterator["RegisteredVersion"]:
        """Open a version; the workspace is not touched.

        Raises:
            ConfigurationError: the clone is no DVC project.
            RegistryError: its tag has no valid evidence, or this clone lacks its revision.
        """
        evidence = event.evidence
        with Storage.at(repository.root, event.revision) as storage, tempfile.TemporaryDirectory() as folder:
            yield cls(repository, artifact, event, evidence, storage, Path(folder))

    @property
    def name(self) -> str:
        """The artifact and its version, for instance `strip-reader@v0.1.0`."""
        return self.event.name

    def fetch(self, path: str) -> Path:
        """A copy of a file that DVC tracks, with the MD5 that it has at the version's revision.

        Raises:
            RegistryError: neither the cache nor the remote storage has it, or it was changed.
        """
        target = self.folder / path
        return target if target.exists() else self.storage.fetch(path, target)

    def fetch_model(self) -> Path:
        """A copy of the model, with the SHA-256 in the version's tag, and the manifest beside it, likewise.

        Raises:
            RegistryError: the model is gone; or it, or the manifest, is not the one that was registered.
        """
        model = self.fetch(self.artifact.model)
        found = digest(model)
        if found != self.evidence.sha256:
            raise RegistryError(
                f"{self.artifact.model} of {self.name}: SHA-256 {found} found, expected {self.evidence.sha256} as "
                f"its tag says; the tag or the revision's dvc.lock was changed"
            )
        model.with_name(MANIFEST).write_text(self._manifest(), encoding="utf-8")
        return model

    def read_manifest(self) -> Manifest:
        """The manifest at the version's revision.

        Raises:
            RegistryError: there is none, it is damaged, or it is not the one that was registered.
        """
        self._manifest()
        return parse_manifest(self.repository, self.artifact, self.event.revision)

    def load_reader(self) -> Reader:
        """The model, ready to read pictures.

        Raises:
            RegistryError: the model is gone, was changed, or is not what manifest and evidence say.
        """
        model = self.fetch_model()
        try:
            return Reader.load(model.parent)
        except PipelineError as error:
            raise RegistryError(f"{self.name}: {error}") from None

    def strategies(self) -> list[str]:
        """The strategies that were packaged beside this version's model; none at a revision from before there were any.

        Raises:
            RegistryError: their folder is gone, a name cannot be part of a path, or dvc.lock is not the one of the tag.
        """
        # The tag has no hashes of these files. It has that of dvc.lock, which has theirs.
        found = hashlib.sha256(self.repository.text(self.event.revision, "dvc.lock").encode()).hexdigest()
        if found != self.evidence.dvc_lock_sha256:
            raise RegistryError(
                f"dvc.lock of {self.name}: SHA-256 {found} found, expected {self.evidence.dvc_lock_sha256} as its tag "
                "says"
            )
        names = self.storage.names(self.artifact.strategies)
        for name in names:
            if not _STRATEGY.fullmatch(name):
                raise RegistryError(f"{self.artifact.strategies}: {name!r} found, expected letters, digits, _ and -")
        return names

    def strategy_manifest(self, strategy: str) -> Manifest:
        """The manifest of one of `strategies`.

        Raises:
            RegistryError: it is gone, was changed or is damaged.
        """
        try:
            manifest = Manifest.read(self.fetch(f"{self.artifact.strategies}/{strategy}/{MANIFEST}"))
        except DataError as error:
            raise RegistryError(f"{strategy}, beside {self.name}: {error}") from None
        if (manifest.task, manifest.strategy) != (self.artifact.task, strategy):
            raise RegistryError(
                f"{self.artifact.strategies}/{strategy}/{MANIFEST} of {self.name}: {manifest.task}, "
                f"{manifest.strategy} found, expected {self.artifact.task}, {strategy}"
            )
        return manifest

    def fetch_strategy(self, strategy: str) -> Path:
        """A copy of the model of one of `strategies`, with the SHA-256 in its manifest.

        Raises:
            RegistryError: it is gone, or is not the one that its manifest names.
        """
        expected = self.strategy_manifest(strategy).model
        model = self.fetch(f"{self.artifact.strategies}/{strategy}/{expected.file}")
        if (found := digest(model)) != expected.sha256:
            raise RegistryError(
                f"{strategy}, beside {self.name}: SHA-256 {found} found, expected {expected.sha256} as {MANIFEST} says"
            )
        return model

    def check_signature(self) -> None:
        """Check the version's signature; does nothing where no verifying key is configured.

        It covers model, manifest, artifact, version, revision and evidence. `fetch_model` has compared the files with
        the evidence.

        Raises:
            ConfigurationError: the key cannot be used.
            RegistryError: there is no signature, or it is not of this version as it is now.
        """
        trust.check_signature(self.event, Keys.of(self.repository).public)

    def evaluated(self, suite: str, split: str, positional: bool = True) -> Evaluated:
        """The stored readings of one split beside its pictures.

        Args:
            suite: one that the version reads.
            split: `valid`, `gate` or `test`.
            positional: whether slot i of a reading stands for slot i of the target.

        Raises:
            RegistryError: readings or pictures are gone or were changed.
            DataError: they do not belong together.
        """
        pictures = ImageSet.load(self.fetch(self.artifact.pictures(suite, split)))
        return Evaluated.of(self._readings(suite, split), pictures, positional)

    def gate_outcomes(self) -> dict[str, Evaluated]:
        """The stored readings of the gate pictures, by suite.

        Raises:
            RegistryError: readings or pictures are gone or were changed.
        """
        return {suite: self.evaluated(suite, GATE) for suite in self.evidence.metrics}

    def correct_on(self, challenger: "RegisteredVersion", outcomes: Mapping[str, Evaluated]) -> dict[str, np.ndarray]:
        """Which of a challenger's gate pictures this version reads correctly.

        Its stored readings answer that where they are of the same pictures. Where a suite was composed again since, its
        model reads the challenger's pictures now.

        Args:
            challenger: the other version.
            outcomes: its `gate_outcomes`.

        Returns:
            Bool (n,), exact matches, for each suite that both versions read.

        Raises:
            RegistryError: readings, pictures or model are gone or were changed, or the model takes other pictures.
        """
        correct, reader = {}, None
        for suite, theirs in outcomes.items():
            if suite not in self.evidence.metrics:
                continue
            ours, other = self.artifact.pictures(suite, GATE), challenger.artifact.pictures(suite, GATE)
            if self.storage.md5(ours) == challenger.storage.md5(other):
                correct[suite] = Evaluated.of(self._readings(suite, GATE), theirs.pictures).correct
                continue
            reader = reader or self.load_reader()
            try:
                correct[suite] = Evaluated.of(read(reader, theirs.pictures.images), theirs.pictures).correct
            except DataError as error:
                raise RegistryError(
                    f"{self.name} cannot read the gate pictures of {suite}, which were composed again since: {error}"
                ) from None
        return correct

    def _manifest(self) -> str:
        """The text of the manifest, with the SHA-256 in the version's tag."""
        text = self.repository.text(self.event.revision, self.artifact.manifest)
        found = hashlib.sha256(text.encode()).hexdigest()
        if found != self.evidence.manifest_sha256:
            raise RegistryError(
                f"{self.artifact.manifest} of {self.name}: SHA-256 {found} found, expected "
                f"{self.evidence.manifest_sha256} as its tag says; the tag was changed, or points at another commit"
            )
        return text

    def _readings(self, suite: str, split: str) -> Readings:
        return Readings.load(self.fetch(self.artifact.predictions(self.evidence.strategy, suite, split)))


def parse_manifest(repository: Repository, artifact: Artifact, revision: str) -> Manifest:
    """The manifest of an artifact at a revision.

    Raises:
        RegistryError: there is none, or it is damaged.
    """
    text = repository.text(revision, artifact.manifest)
    try:
        return Manifest.parse(text, f"{artifact.manifest} at {revision[:12]}")
    except DataError as error:
        raise RegistryError(f"{error}, and commit what it wrote") from None


def read(reader: Reader, images: np.ndarray) -> Readings:
    """Read any number of pictures, uint8 (n, height, width, channels), and sort the slots from left to right."""
    parts = [reader.read(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    joined = Readings(
        probabilities=np.concatenate([part.probabilities for part in parts]),
        classes=np.concatenate([part.classes for part in parts]),
        confidence=np.concatenate([part.confidence for part in parts]),
        boxes=None if parts[0].boxes is None else np.concatenate([part.boxes for part in parts]),
    )
    return joined if reader.manifest.positional else left_to_right(joined, reader.manifest.blank)

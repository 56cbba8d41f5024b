"""`release.json`, which `registry release` writes beside the models of a release."""

from collections.abc import Mapping

from pydantic import Field

from pipeline.records.base import Record
from pipeline.records.export import ModelFile
from pipeline.records.manifest import Weights
from pipeline.records.registry import Digest, Name, Sha256, Stage, Version

RELEASE = "release.json"


class ReleaseAccuracy(Record):
    """Sequence accuracy on the valid split of one suite: of `n` pictures, read with the original and the released file.

    Attributes:
        n: pictures.
        original, released: shares that are read correctly.
    """

    n: int
    original: float
    released: float


class ReleasedModel(Record):
    """One model of a release.

    Attributes:
        strategy: its name.
        weights: how the released file holds them.
        original, released: the files.
        valid: by suite.
    """

    strategy: Name
    weights: Weights
    original: ModelFile
    released: ModelFile
    valid: Mapping[Name, ReleaseAccuracy] = Field(min_length=1)

    @property
    def accuracies(self) -> tuple[float, float]:
        """The shares of the pictures of all suites that the original and the released file read correctly."""
        pictures = sum(each.n for each in self.valid.values())
        original = sum(each.n * each.original for each in self.valid.values())
        released = sum(each.n * each.released for each in self.valid.values())
        return original / pictures, released / pictures


class ReleasedTask(Record):
    """What is released for one task.

    Attributes:
        artifact, version, revision: the registered version.
        model: its model.
        strategies: by name, the other strategies that fit.
        left_out: by name, why another one is not in the release.
    """

    artifact: Name
    version: Version
    revision: Digest
    model: ReleasedModel
    strategies: Mapping[Name, ReleasedModel]
    left_out: Mapping[Name, str]


class Release(Record):
    """A released folder.

    Attributes:
        stage: whose versions it has.
        tasks: by task.
        files: by path below the folder, the SHA-256 of every other file.
    """

    stage: Stage
    tasks: Mapping[Name, ReleasedTask] = Field(min_length=1)
    files: Mapping[str, Sha256]

"""The artifacts that dvc.yaml names, and where the pipeline keeps what belongs to one: one place for its paths."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.config import params
from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.runtime.reader import MANIFEST


@dataclass(frozen=True)
class Artifact:
    """What has versions and stages: one task's model.

    Attributes:
        name: `strip-reader`, …, as tags and `dvc artifacts get` name it.
        model: the path of its model file below the project's top folder.
    """

    name: str
    model: str

    @property
    def task(self) -> str:
        """Its task: the name of the folder that the model is packaged in."""
        return PurePosixPath(self.model).parent.name

    @property
    def manifest(self) -> str:
        """What describes the model, beside it."""
        return str(PurePosixPath(self.model).with_name(MANIFEST))

    def pictures(self, suite: str, split: str) -> str:
        """The pictures of one split of one of its suites."""
        return f"data/{self.task}/{suite}/{split}.npz"


def predictions(strategy: str, suite: str, split: str) -> str:
    """The readings that `evaluate` stored."""
    return f"predictions/{strategy}/{suite}-{split}.npz"


def evaluation(strategy: str) -> str:
    """The scores that `evaluate` wrote of those readings."""
    return f"metrics/evaluation/{strategy}.json"


def validation(dataset: str) -> str:
    """The report of `validate` on a data set, `task/suite`."""
    return f"reports/validation/{dataset}.json"


def load(path: Path) -> Mapping[str, Artifact]:
    """The artifacts by name, as a dvc.yaml lists them; a name that is not there is told which there are.

    Raises:
        ConfigurationError: the file cannot be read, or lists none.
    """
    entries = params.read(path).get("artifacts")
    if not isinstance(entries, dict) or not entries:
        raise ConfigurationError(f"{path}: artifacts: expected a mapping with at least one entry, found {entries!r}")
    found = {}
    for name, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise ConfigurationError(
                f"{path}: artifacts.{name}.path: expected the path of a model file, found {entry!r}"
            )
        found[str(name)] = Artifact(str(name), entry["path"])
    return _Artifacts(found)


class _Artifacts(dict):
    def __missing__(self, name: str) -> Artifact:
        raise RegistryError(f"{name}: no such artifact; dvc.yaml names {', '.join(self)}")

"""The artifacts that dvc.yaml names, and the one place for the paths of everything that belongs to them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.config import params
from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.records.manifest import MANIFEST

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_PATH = re.compile(r"(?:[A-Za-z0-9_-]+/)+[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class Artifact:
    """The packaged model of one task: what has versions and stages.

    Attributes:
        name: for instance `strip-reader`, as tags and `dvc artifacts get` name it.
        model: the path of its model file, relative to the project's top folder.
    """

    name: str
    model: str

    @property
    def task(self) -> str:
        """Its task: the name of the folder that the model is packaged in."""
        return PurePosixPath(self.model).parent.name

    @property
    def manifest(self) -> str:
        """The path of the manifest, beside the model."""
        return str(PurePosixPath(self.model).with_name(MANIFEST))

    @property
    def strategies(self) -> str:
        """The path of the folder, beside the model, of all strategies of the task that can be served."""
        return str(PurePosixPath(self.model).with_name("strategies"))

    def pictures(self, suite: str, split: str) -> str:
        """The path of the pictures of one split."""
        return pictures(self.task, suite, split)

    def predictions(self, strategy: str, suite: str, split: str) -> str:
        """The path of the readings of one split."""
        return predictions(self.task, strategy, suite, split)

    def evaluation(self, strategy: str) -> str:
        """The path of the scores of a strategy."""
        return evaluation(self.task, strategy)

    def robustness(self, strategy: str) -> str:
        """The path of the scores of a strategy on corrupted pictures."""
        return robustness(self.task, strategy)


def pictures(task: str, suite: str, split: str) -> str:
    """The path of the pictures of one split of a suite, which `compose` writes."""
    return f"data/{task}/{suite}/{split}.npz"


def predictions(task: str, strategy: str, suite: str, split: str) -> str:
    """The path of a strategy's readings of one split of a suite, which `evaluate` writes."""
    return f"predictions/{task}/{strategy}/{suite}-{split}.npz"


def evaluation(task: str, strategy: str) -> str:
    """The path of a strategy's scores, which `evaluate` writes."""
    return f"metrics/evaluation/{task}/{strategy}.json"


def robustness(task: str, strategy: str) -> str:
    """The path of a strategy's scores on corrupted pictures, which `robustness` writes."""
    return f"metrics/robustness/{task}/{strategy}.json"


def validation(dataset: str) -> str:
    """The path of the report that `validate` writes on a data set, `task/suite`."""
    return f"reports/validation/{dataset}.json"


class Artifacts(dict[str, Artifact]):
    """Artifacts by name. A name that is not in it is a RegistryError that lists the names that are."""

    def __missing__(self, name: str) -> Artifact:
        raise RegistryError(f"{name}: no such artifact; dvc.yaml names {', '.join(self)}")


def load(path: Path) -> Mapping[str, Artifact]:
    """The artifacts of a dvc.yaml, by name.

    Raises:
        ConfigurationError: the file cannot be read, has no artifacts, or one whose name or path may not become part of
            tags and paths.
    """
    entries = params.read(path).get("artifacts")
    if not isinstance(entries, dict) or not entries:
        raise ConfigurationError(f"{path}: artifacts: expected a mapping with at least one entry, found {entries!r}")
    found = Artifacts()
    for name, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise ConfigurationError(
                f"{path}: artifacts.{name}.path: expected the path of a model file, found {entry!r}"
            )
        if not _NAME.fullmatch(str(name)):
            raise ConfigurationError(
                f"{path}: artifacts: {str(name)!r}: expected a name of letters, digits, _ and -; it is part of tags"
            )
        if not _PATH.fullmatch(entry["path"]):
            raise ConfigurationError(
                f"{path}: artifacts.{name}.path: expected folders of letters, digits, _ and -, and a file in the last "
                f"one, below the project's top folder, found {entry['path']!r}"
            )
        found[str(name)] = Artifact(str(name), entry["path"])
    return found

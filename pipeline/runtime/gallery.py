"""The gallery: every strategy of a task that can be served, loaded when it is first compared.

Beside the packaged model of a task, `TASK/model.onnx`, there may be folders `TASK/strategies/NAME` of the same form.
Their manifests are read at the start, their models once they are asked for; those asked for least recently are dropped
when together they have too many bytes.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipeline.core.errors import DataError
from pipeline.records.manifest import MANIFEST, Manifest
from pipeline.runtime.features import FeatureNet
from pipeline.runtime.reader import Reader

STRATEGIES = "strategies"
"""The folder of a packaged task that has a folder for each of its strategies."""
TEXTBOOK = ("mnist", "textbook")
"""Task and strategy whose feature maps are shown."""


@dataclass(frozen=True)
class _Entry:
    manifest: Manifest
    folder: Path | None
    reader: Reader | None = None


class Gallery:
    """Strategies by task. One thread at a time may load from it, because a load bounds the memory of the process."""

    def __init__(self, entries: Mapping[str, Mapping[str, _Entry]], most_bytes: int) -> None:
        self._entries = entries
        self._most_bytes = most_bytes
        self._loaded: OrderedDict[tuple[str, str], Reader] = OrderedDict()
        self._net: FeatureNet | None = None

    @classmethod
    def of(cls, readers: Mapping[str, Reader], artifacts: Path | None, most_bytes: int) -> Self:
        """The gallery of a folder, without loading a model.

        Args:
            readers: of the packaged models, by task; they are strategies too.
            artifacts: the folder that they were loaded from; None compares the packaged models alone.
            most_bytes: of the files of the models that stay loaded, at most; one model may have more.

        Raises:
            DataError: a manifest is damaged, or is in another task's or strategy's folder.
        """
        entries: dict[str, dict[str, _Entry]] = {}
        for task, reader in readers.items():
            folder = None if artifacts is None else artifacts / task
            manifest = reader.manifest
            found = {manifest.strategy: _Entry(manifest, folder, reader)}
            for file in sorted(folder.glob(f"{STRATEGIES}/*/{MANIFEST}")) if folder else ():
                if file.parent.name.startswith("."):
                    continue
                other = Manifest.read(file)
                if (other.task, other.strategy) != (task, file.parent.name):
                    raise DataError(
                        f"{file}: expected the strategy {file.parent.name!r} of {task!r}, found {other.strategy!r} of "
                        f"{other.task!r}"
                    )
                if other.strategy != manifest.strategy:
                    found[other.strategy] = _Entry(other, file.parent)
            entries[task] = dict(sorted(found.items()))
        return cls(entries, most_bytes)

    def strategies(self, task: str) -> dict[str, Manifest]:
        """The manifest of each strategy of a task, by its name; none of a task that is not packaged."""
        return {name: entry.manifest for name, entry in self._entries.get(task, {}).items()}

    def manifests(self) -> dict[str, Manifest]:
        """Every manifest, by `TASK/STRATEGY`."""
        return {f"{task}/{name}": entry.manifest for task, of in self._entries.items() for name, entry in of.items()}

    def reader(self, task: str, strategy: str) -> Reader:
        """The reader of a strategy, loaded if it was not.

        Raises:
            DataError: the model is missing, damaged, or another one than at the start.
        """
        entry, key = self._entries.get(task, {}).get(strategy), (task, strategy)
        if entry is None:
            raise DataError(f"{strategy} for {task} is served no more: another version has replaced it")
        if entry.reader is not None:
            return entry.reader
        if key in self._loaded:
            self._loaded.move_to_end(key)
            return self._loaded[key]
        assert entry.folder is not None
        size = entry.manifest.model.bytes
        while (
            self._loaded and size + sum(each.manifest.model.bytes for each in self._loaded.values()) > self._most_bytes
        ):
            self._loaded.popitem(last=False)
        reader = Reader.load(entry.folder)
        if reader.manifest != entry.manifest:
            raise DataError(f"{entry.folder}: the model was replaced since the service started; start it again")
        self._loaded[key] = reader
        return reader

    def serve(self, reader: Reader, folder: Path | None) -> None:
        """Take another model as the one of its task that answers; the former one is none of the strategies any more.

        Args:
            reader: of the model.
            folder: that it was loaded from.
        """
        manifest = reader.manifest
        others = {
            name: entry
            for name, entry in self._entries.get(manifest.task, {}).items()
            if entry.reader is None and name != manifest.strategy
        }
        entries = {**others, manifest.strategy: _Entry(manifest, folder, reader)}
        self._entries = {**self._entries, manifest.task: dict(sorted(entries.items()))}
        self._net = None

    def served(self, task: str) -> str | None:
        """The strategy of a task that is packaged."""
        return next((name for name, entry in self._entries.get(task, {}).items() if entry.reader is not None), None)

    def feature_net(self) -> FeatureNet:
        """The textbook net with its feature maps, loaded if it was not.

        Raises:
            DataError: it is not packaged, damaged, or another one than at the start.
        """
        task, strategy = TEXTBOOK
        entry = self._entries.get(task, {}).get(strategy)
        if entry is None or entry.folder is None:
            raise DataError(f"no {strategy} for {task} is packaged in a folder")
        if self._net is None:
            self._net = FeatureNet.load(entry.folder)
            if self._net.manifest != entry.manifest:
                self._net = None
                raise DataError(f"{entry.folder}: the model was replaced since the service started; start it again")
        return self._net

"""Which model answers a request: one for each task, and during a canary a second one for a share of the requests.

A request is read by one model from beginning to end, and its answer names that one. A model that is replaced reads on
for the requests that it has begun, and is forgotten after the last of them.
"""

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import JsonValue

from pipeline.core.readings import Readings
from pipeline.records.answer import ModelIdentity
from pipeline.records.manifest import Manifest
from pipeline.records.rollout import Rollout
from pipeline.scheduling.batching import DynamicBatcher, Images
from pipeline.scheduling.errors import ApiError
from pipeline.scheduling.watchdog import WatchedReader

_MARK = "@"
"""Between task and number in the name of a model that is not the first of its task."""


def task_of_name(name: str) -> str:
    """The task of a model, from the name by which the batcher knows it."""
    return name.partition(_MARK)[0]


@dataclass(eq=False)
class Version:
    """One model of a task in this process.

    Attributes:
        name: by which the batcher knows it.
        manifest: of the model.
        reader: what reads, watched.
        identity: in every answer, a `ModelIdentity` as JSON.
        requests: that it reads now, or that fall back on it; the event loop counts.
        retired: whether no request begins with it any more.
    """

    name: str
    manifest: Manifest
    reader: WatchedReader
    identity: Mapping[str, JsonValue] = field(init=False)
    requests: int = 0
    retired: bool = False

    def __post_init__(self) -> None:
        self.identity = ModelIdentity.of(self.manifest).as_json()


@dataclass(frozen=True)
class Comparison:
    """Pictures of one request, for both models.

    Attributes:
        rollout: for which they are compared.
        served, candidate: the models.
        images: uint8 (n, height, width, channels).
        failed: whether the candidate failed on them already.
    """

    rollout: Rollout
    served: Version
    candidate: Version
    images: np.ndarray
    failed: bool = False


def _ignore(*_: Any) -> None:
    pass


class Versions:
    """The models that answer, and the choice among them.

    Attributes:
        compare: called with pictures that both models are to read, while a candidate is on trial.
    """

    def __init__(
        self,
        readers: Mapping[str, WatchedReader],
        batcher: DynamicBatcher,
        answered: Callable[[Manifest], object] = _ignore,
    ) -> None:
        """Define.

        Args:
            readers: that the batcher knows by their tasks.
            batcher: what reads.
            answered: called with the manifest of the model that has read the pictures of a request.
        """
        self._batcher = batcher
        self._answered = answered
        self.compare: Callable[[Comparison], object] = _ignore
        self._served = {task: Version(task, reader.manifest, reader) for task, reader in readers.items()}
        self._trial: tuple[Rollout, Version] | None = None
        self._numbers = itertools.count(1)
        self._random = random.Random()  # Which requests a candidate answers is no secret.

    @property
    def manifests(self) -> dict[str, Manifest]:
        """Of the models that answer, by task."""
        return {task: version.manifest for task, version in self._served.items()}

    def served(self, task: str) -> Version:
        """The model that answers, but for the share of a canary."""
        return self._served[task]

    async def read(
        self, task: str, images: Images, *, many: bool = False, slices: bool = False
    ) -> tuple[Version, Readings]:
        """Have the pictures of one request read by one model.

        Where the candidate of a canary fails, the model that is served reads them.

        Args:
            task: whose model reads them.
            images: as `DynamicBatcher.read` takes them.
            many: pictures of many, read in slices; one of them is compared.
            slices: lines of one picture, read in slices; all of them are compared.

        Returns:
            The model that has read them, and what it read.

        Raises:
            ApiError, PictureError: as `DynamicBatcher.read` does.
        """
        # What is chosen here holds for the whole request, whatever changes meanwhile.
        served, trial = self._served[task], self._trial
        if trial is None or trial[1].manifest.task != task or self._random.random() >= trial[0].share:
            readings = await self._read(served, images, many or slices)
            self._answered(served.manifest)
            return served, readings
        rollout, candidate = trial
        chosen = candidate if rollout.mode == "canary" else served
        failed = False
        # A swap meanwhile must not drop the model that reads where the candidate fails.
        with self._held(served):
            try:
                readings = await self._read(chosen, images, many or slices)
            except ApiError as error:
                if chosen is served or error.code not in ("internal", "timed_out"):
                    raise
                chosen, failed = served, True
                readings = await self._read(served, images, many or slices)
        self._answered(chosen.manifest)
        pixels = images if isinstance(images, np.ndarray) else images()
        if many:
            # One of a request's many: a request counts once, like any other.
            pixels = pixels[self._random.randrange(len(pixels))][None]
        self.compare(Comparison(rollout, served, candidate, pixels, failed))
        return chosen, readings

    def prepare(self, task: str, reader: WatchedReader) -> Version:
        """Let the batcher know a model that may answer later. Any thread may call this."""
        version = Version(f"{task}{_MARK}{next(self._numbers)}", reader.manifest, reader)
        self._batcher.add(version.name, reader)
        return version

    def discard(self, version: Version) -> None:
        """Forget a model that was prepared and never answered. Any thread may call this."""
        self._batcher.drop(version.name)

    def replace(self, version: Version) -> None:
        """Have a model answer every request of its task from now on. The event loop calls this."""
        before = self._served[version.manifest.task]
        self._served = {**self._served, version.manifest.task: version}
        if before is not version:
            self.retire(before)

    def begin_trial(self, rollout: Rollout, candidate: Version) -> None:
        """Let a candidate answer, or be compared, as a rollout says. The event loop calls this."""
        self._trial = rollout, candidate

    def end_trial(self) -> None:
        """Let it do neither. The event loop calls this."""
        self._trial = None

    def retire(self, version: Version) -> None:
        """Forget a model once the requests that it reads are finished. The event loop calls this."""
        version.retired = True
        self._forget(version)

    async def _read(self, version: Version, images: Images, many: bool) -> Readings:
        with self._held(version):
            return await self._batcher.read(version.name, images, many=many)

    @contextlib.contextmanager
    def _held(self, version: Version) -> Iterator[None]:
        """Keep a model known to the batcher while a request may still be read by it."""
        version.requests += 1
        try:
            yield
        finally:
            version.requests -= 1
            self._forget(version)

    def _forget(self, version: Version) -> None:
        if version.retired and not version.requests:
            version.retired = False
            self._batcher.drop(version.name)

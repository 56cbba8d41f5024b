"""Pictures that both models read: in one thread of low priority, beside the requests and never in their way."""

import hashlib
import logging
import queue
import random
import threading
import time
from collections.abc import Callable

import numpy as np

from pipeline.core.readings import Readings
from pipeline.records.manifest import Manifest
from pipeline.records.rollout import Observation
from pipeline.rollout.versions import Comparison, Version
from pipeline.runtime.answers import readings_as_json
from pipeline.scheduling.batching import give_way
from pipeline.scheduling.errors import ApiError

_log = logging.getLogger("bentoml.reader")
WAITING = 32
"""Requests whose pictures wait to be compared. Which ones are left out is decided before anybody knows the readings."""
_LOG_SECONDS = 10.0


class Comparator:
    """Reads the pictures of some requests once more, with both models, and notes what each made of them.

    Each model runs alone and on the same pictures, in random order, so that their times can be compared.
    """

    def __init__(
        self,
        note: Callable[[str, Observation], object],
        count: Callable[[str, str], object],
        waiting: int = WAITING,
    ) -> None:
        """Define; `start` begins.

        Args:
            note: called with the id of the rollout and an observation, by the thread.
            count: called with the task and `compared`, `disagreed`, `failed` or `skipped`.
            waiting: requests that wait at most; more are skipped.
        """
        self._note = note
        self._count = count
        self._queue: queue.Queue[Comparison | None] = queue.Queue(waiting)
        self._random = random.Random()
        self._thread: threading.Thread | None = None
        self._said = 0.0

    def start(self) -> None:
        """Begin to compare."""
        self._thread = threading.Thread(target=self._work, name="compare-versions", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after what is being compared; what waits is dropped."""
        while True:
            try:
                self._queue.put_nowait(None)
                return
            except queue.Full:
                self._drop_one()

    def offer(self, comparison: Comparison) -> None:
        """Compare pictures when there is time. The event loop calls this; it costs next to nothing."""
        try:
            self._queue.put_nowait(comparison)
        except queue.Full:
            self._count(comparison.served.manifest.task, "skipped")

    def _drop_one(self) -> None:
        try:
            self._queue.get_nowait()
        except queue.Empty:
            return

    def _work(self) -> None:
        give_way()
        while (comparison := self._queue.get()) is not None:
            task = comparison.served.manifest.task
            try:
                seen = self._compare(comparison)
                self._note(comparison.rollout.id, seen)
            except Exception as error:  # The thread lives on; the requests were answered long ago.
                self._say("a comparison of %s failed: %s", task, error)
                self._count(task, "skipped")
                continue
            self._count(task, "compared")
            if seen.candidate is None:
                self._count(task, "failed")
            if seen.served != seen.candidate:
                self._count(task, "disagreed")

    def _compare(self, comparison: Comparison) -> Observation:
        images = comparison.images
        versions = [comparison.served, *(() if comparison.failed else (comparison.candidate,))]
        self._random.shuffle(versions)
        results = {version.name: _timed(version, images) for version in versions}
        served = results[comparison.served.name]
        candidate = results.get(comparison.candidate.name)
        times = None
        if served is not None and candidate is not None:
            times = round(served[2], 4), round(candidate[2], 4)
        return Observation(
            picture=hashlib.sha256(np.ascontiguousarray(images).data).hexdigest(),
            served=None if served is None else served[0],
            candidate=None if candidate is None else candidate[0],
            accepted=(served is not None and served[1], candidate is not None and candidate[1]),
            milliseconds=times,
        )

    def _say(self, message: str, *arguments: object) -> None:
        now = time.monotonic()
        if now - self._said > _LOG_SECONDS:
            self._said = now
            _log.error(message, *arguments)


def _timed(version: Version, images: np.ndarray) -> tuple[str, bool, float] | None:
    """What a model reads of a request's pictures, whether that is accepted, and its milliseconds; None if it failed."""
    started = time.perf_counter()
    try:
        readings = version.reader.read(images)
    except ApiError:
        return None
    milliseconds = 1000 * (time.perf_counter() - started)
    return (*_read(version.manifest, readings), milliseconds)


def _read(manifest: Manifest, readings: Readings) -> tuple[str, bool]:
    answers = readings_as_json(manifest, readings, [()] * len(readings), every_class=False)
    text = "\n".join(str(answer.get("digits", answer.get("class"))) for answer in answers)
    return text, all(answer["accepted"] is True for answer in answers)

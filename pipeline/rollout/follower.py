"""A worker of the service as it follows its rollout folder: loads, answers, and ends what is decided.

There is no coordinator that could be lost. Each worker does the same: it puts the state into effect, says so, and where
the state calls for a decision that the facts allow, makes it. The lock of the folder makes one of them the first.

A swap has two phases: every worker loads and proves the candidate while the old model answers, and only once all of
them have it do they change over. Where one of them cannot load it, none changes over.
"""

import asyncio
import concurrent.futures
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError, PipelineError
from pipeline.core.files import digest
from pipeline.records.manifest import MANIFEST, Manifest
from pipeline.records.rollout import (
    Observation,
    Outcome,
    Placed,
    Replacement,
    Result,
    Rollout,
    RolloutState,
    WorkerState,
)
from pipeline.rollout.comparator import Comparator
from pipeline.rollout.store import STATE, Store
from pipeline.rollout.trial import Trial
from pipeline.rollout.versions import Version, Versions
from pipeline.runtime.reader import Reader
from pipeline.scheduling.watchdog import WatchedReader

_log = logging.getLogger("bentoml.reader")
POLL_SECONDS = 0.2
"""Between two looks at the folder."""
_DEATHS = 2
"""Times that every worker may end while it has the candidate. One that is killed is no sign; a service that ends again
and again is one."""
_CALL_SECONDS = 30.0
"""For the event loop to change over."""


def manifest_digest(manifest: Manifest) -> str:
    """A hash of all that a manifest says; the model's own hash is a part of it."""
    return hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()


def load_placed(store: Store, placed: Placed, like: Manifest, most_bytes: int) -> Reader:
    """Load a model of a rollout folder, and prove it.

    Args:
        store: the folder.
        placed: the model.
        like: the manifest of a model that it is to replace.
        most_bytes: of its file.

    Raises:
        DataError: it is missing, damaged, too large, another one than `placed` says, or does not take and give what
            the other one does.
    """
    folder = store.model_folder(placed)
    try:
        found = digest(folder / MANIFEST)
    except OSError as error:
        raise DataError(f"{folder / MANIFEST}: {error.strerror}, expected a model of a rollout") from None
    if found != placed.folder:
        raise DataError(f"{folder / MANIFEST}: SHA-256 {found} found, expected {placed.folder} as the folder is named")
    manifest = Manifest.read(folder / MANIFEST)
    expect_replaceable(like, manifest, most_bytes)
    if manifest.model.sha256 != placed.sha256:
        raise DataError(f"{folder}: the model {manifest.model.sha256} found, expected {placed.sha256} as {STATE} says")
    return Reader.load(folder)


def expect_replaceable(served: Manifest, candidate: Manifest, most_bytes: int) -> None:
    """Compare what callers rely on.

    Raises:
        DataError: the candidate is of another task, takes other pictures, gives other slots, classes or boxes, or has
            too large a file.
    """
    for name in ("task", "shape", "slots", "class_names", "boxes"):
        before, after = getattr(served, name), getattr(candidate, name)
        if before != after:
            raise DataError(f"the candidate's {name}: {after} found, expected {before} as the model that is served has")
    if candidate.model.bytes > most_bytes:
        raise DataError(
            f"the candidate's file has {candidate.model.bytes:,} bytes, expected at most {most_bytes:,} "
            "(READER_CANDIDATE_BYTES): two models are in memory during a rollout"
        )


@dataclass(frozen=True)
class _Candidate:
    rollout: str
    placed: Placed
    version: Version
    reader: Reader


class _BusyLoopError(DataError):
    """The event loop had no time for a change; nothing was changed."""


class Follower:
    """Keeps the models of this process what the rollout folder says."""

    def __init__(
        self,
        store: Store,
        versions: Versions,
        *,
        watch: Callable[[Reader], WatchedReader],
        watch_candidate: Callable[[Reader], WatchedReader],
        reload: Callable[[str], Reader],
        most_bytes: int,
        changed: Callable[[Reader, Path | None], object],
        count: Callable[[str, str], object],
    ) -> None:
        """Define.

        Args:
            store: the folder.
            versions: the models of this process; those that are packaged, for now.
            watch: has a watchdog end the runs of a model that take too long.
            watch_candidate: the same for one on trial; where it fails, there is time left for the model that is served.
            reload: the packaged reader of a task, loaded again.
            most_bytes: of a candidate's file.
            changed: called with each reader that begins to answer, and its folder if it is not packaged. The event loop
                calls it.
            count: of pictures that are compared, as `Comparator` takes it.
        """
        self._store = store
        self._versions = versions
        self._watch = watch
        self._watch_candidate = watch_candidate
        self._reload = reload
        self._most_bytes = most_bytes
        self._changed = changed
        self._base = {task: manifest_digest(manifest) for task, manifest in versions.manifests.items()}
        self._in_effect: dict[str, str | None] = dict.fromkeys(self._base)
        self._state = RolloutState()
        self._stamp: tuple[int, int, int] | None = None
        self._candidate: _Candidate | None = None
        self._problem: tuple[str, str] | None = None
        self._trial: tuple[str, Trial, int] | None = None
        self._on_trial: str | None = None
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._said = ""
        self._comparator = Comparator(store.observe, count)
        versions.compare = self._comparator.offer
        self._worker = store.enter()

    def begin(self) -> None:
        """Put the state into effect before the first request.

        Raises:
            DataError: the state or a model that it names is damaged.
        """
        try:
            while not self._served_at_start():
                pass
        except BaseException:
            self._worker.leave()
            raise
        self._say()

    def _served_at_start(self) -> bool:
        self._state = self._look()
        try:
            self._serve(self._state)
        except DataError:
            # Another worker may have changed the state meanwhile, and removed what it does not name any more.
            if self._store.read().revision == self._state.revision:
                raise
            return False
        return True

    def start(self) -> None:
        """Follow the folder from now on, in a thread. The event loop calls this."""
        self._loop = asyncio.get_running_loop()
        self._comparator.start()
        threading.Thread(target=self._follow, name="rollout", daemon=True).start()

    def close(self) -> None:
        """Follow it no more."""
        self._stopped.set()
        self._comparator.stop()
        self._worker.leave()

    def feedback(self, sha256: str, *, picture: str, wrong: bool, given: Callable[[float], bool]) -> None:
        """Take what a person says of an answer, if the candidate of a canary gave it; others are not counted here.

        Args:
            sha256: of the model that answered.
            picture: the digest of the picture's file, which counts once in a trial.
            wrong: whether the answer was wrong.
            given: whether the service gave this answer since a time, in seconds since 1970.
        """
        rollout = self._state.rollout
        if rollout is None or not rollout.running or rollout.candidate.sha256 != sha256:
            return
        if given(rollout.began):
            # `make forget` removes every digest of a file; this one is of the trial alone.
            key = hashlib.sha256(f"{rollout.id} {picture}".encode()).hexdigest()
            self._store.observe(rollout.id, Observation(picture=key, wrong=wrong))

    def _follow(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            try:
                self._step()
                self._said = ""
            except (PipelineError, OSError) as error:
                # It serves on what it has, and tries again.
                if str(error) != self._said:
                    _log.error("rollout: %s", error)
                    self._said = str(error)
            except Exception:
                if not self._stopped.is_set():
                    _log.exception("rollout: following %s failed", self._store.folder)

    def _step(self) -> None:
        state = self._state = self._look()
        self._serve(state)
        self._prepare(state.rollout)
        self._say()
        if state.rollout is not None:
            self._decide(state.rollout)

    def _look(self) -> RolloutState:
        try:
            found = (self._store.folder / STATE).stat()
        except FileNotFoundError:
            self._stamp = None
            return RolloutState()
        stamp = found.st_ino, found.st_mtime_ns, found.st_size
        if stamp != self._stamp:
            state = self._store.read()
            self._stamp = stamp
            return state
        return self._state

    def _serve(self, state: RolloutState) -> None:
        """Have the models answer that the state names."""
        for task, base in self._base.items():
            wanted = state.models.get(task)
            if wanted is not None and wanted.base != base:
                if self._in_effect[task] is None and self._loop is None:
                    _log.warning("rollout: %s was deployed after %s, and answers", task, _named(wanted.model))
                wanted = None
            folder = None if wanted is None else wanted.model.folder
            if folder == self._in_effect[task]:
                continue
            on_trial: Version | None = None
            if wanted is None:
                reader = self._reload(task)
                if manifest_digest(reader.manifest) != base:
                    raise DataError(f"the packaged model of {task} was replaced since the service started")
                version = self._versions.prepare(task, self._watch(reader))
            elif self._candidate is not None and self._candidate.placed == wanted.model:
                reader, on_trial = self._candidate.reader, self._candidate.version
                version = self._versions.prepare(task, self._watch(reader))
            else:
                like = self._versions.served(task).manifest
                reader = load_placed(self._store, wanted.model, like, self._most_bytes)
                version = self._versions.prepare(task, self._watch(reader))
            try:
                self._call(self._change_over, version, on_trial, reader, None if wanted is None else wanted.model)
            except _BusyLoopError:
                # It is prepared anew when the change is tried again.
                self._versions.discard(version)
                raise
            self._in_effect[task] = folder

    def _change_over(self, version: Version, on_trial: Version | None, reader: Reader, placed: Placed | None) -> None:
        self._versions.end_trial()
        self._on_trial = None
        self._versions.replace(version)
        if on_trial is not None:
            self._candidate = None
            self._versions.retire(on_trial)
        self._changed(reader, None if placed is None else self._store.model_folder(placed))

    def _prepare(self, rollout: Rollout | None) -> None:
        """Have the candidate loaded that the state names, and no other; let it answer once all workers have it."""
        if self._candidate is not None and (rollout is None or self._candidate.rollout != rollout.id):
            self._call(self._withdraw, self._candidate.version)
        if rollout is None or rollout.candidate.task not in self._base:
            return
        if self._candidate is None and (self._problem is None or self._problem[0] != rollout.id):
            served = self._versions.served(rollout.candidate.task).manifest
            # Should this end the process, the others know why.
            self._say(loading=rollout.id)
            try:
                reader = load_placed(self._store, rollout.candidate, served, self._most_bytes)
            except PipelineError as error:
                self._problem = rollout.id, str(error)
                return
            watched = self._watch if rollout.mode == "swap" else self._watch_candidate
            version = self._versions.prepare(rollout.candidate.task, watched(reader))
            self._candidate = _Candidate(rollout.id, rollout.candidate, version, reader)
        if self._candidate is not None and rollout.running and self._on_trial != rollout.id:
            self._call(self._versions.begin_trial, rollout, self._candidate.version)
            self._on_trial = rollout.id

    def _withdraw(self, version: Version) -> None:
        self._versions.end_trial()
        self._on_trial = None
        self._candidate = None
        self._versions.retire(version)

    def _say(self, loading: str | None = None) -> None:
        rollout = self._state.rollout
        problem = self._problem[1] if self._problem is not None and rollout and self._problem[0] == rollout.id else None
        self._worker.say(
            WorkerState(
                pid=os.getpid(),
                revision=self._state.revision,
                models={task: manifest.model.sha256 for task, manifest in self._versions.manifests.items()},
                loading=loading if self._candidate is None else self._candidate.rollout,
                loaded=None if self._candidate is None else self._candidate.rollout,
                problem=problem,
            )
        )

    def _decide(self, rollout: Rollout) -> None:
        """Make the decision that is due, if one is."""
        if rollout.candidate.task not in self._base:
            conclude(self._store, rollout, "failed", f"no model for {rollout.candidate.task} is served here")
            return
        workers = self._store.workers()
        deaths = self._store.deaths(rollout.id)
        if deaths > _DEATHS * max(1, len(workers)):
            self._conclude(rollout, "failed", f"{deaths} workers ended while they loaded it or had it")
            return
        if not rollout.running:
            self._begin(rollout, workers)
            return
        if self._trial is None or self._trial[0] != rollout.id:
            self._trial = rollout.id, Trial(rollout.bounds), 0
        _, trial, offset = self._trial
        self._trial = rollout.id, trial, self._store.follow(rollout.id, trial, offset)
        if rollout.mode == "canary":
            if reason := trial.reason_to_take_back():
                self._conclude(rollout, "rolled_back", reason, trial)
            elif trial.passed():
                self._conclude(rollout, "passed", "every criterion is within its tolerance", trial)
            elif trial.exhausted():
                self._conclude(rollout, "undecided", f"{trial.compared:,} pictures do not decide", trial)
        elif trial.exhausted():
            self._conclude(rollout, "ended", f"{trial.compared:,} pictures were compared", trial)

    def _begin(self, rollout: Rollout, workers: Sequence[WorkerState]) -> None:
        problems = [f"worker {worker.pid}: {worker.problem}" for worker in workers if worker.problem]
        if problems:
            self._conclude(rollout, "failed", problems[0])
        elif workers and all(worker.loaded == rollout.id for worker in workers):
            if rollout.mode == "swap":
                self._conclude(rollout, "swapped", f"{len(workers)} workers have it")
            else:
                begin_trial(self._store, rollout)

    def _conclude(self, rollout: Rollout, result: Result, reason: str, trial: Trial | None = None) -> None:
        task = rollout.candidate.task
        takes_over = result == "swapped" or (result == "passed" and rollout.takes_over)
        conclude(
            self._store,
            rollout,
            result,
            reason,
            trial=trial,
            replaced=self._versions.served(task).manifest.model.sha256,
            base=self._base[task] if takes_over else None,
        )

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the event loop, which alone changes what answers; before it runs, at once.

        Raises:
            _BusyLoopError: the event loop is busy; then the function is not called later either.
        """
        if self._loop is None:
            function(*arguments)
            return
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        def call() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                function(*arguments)
                done.set_result(None)
            except Exception as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        concurrent.futures.wait([done], _CALL_SECONDS)
        if done.cancel():
            raise _BusyLoopError(
                f"the event loop did not change over within {_CALL_SECONDS:g} seconds; it is tried again"
            )
        # Whatever has begun ends soon: none of these functions waits.
        done.result()


def conclude(
    store: Store,
    rollout: Rollout,
    result: Result,
    reason: str,
    *,
    trial: Trial | None = None,
    replaced: str | None = None,
    base: str | None = None,
) -> bool:
    """End a rollout, unless it has ended. Its outcome is kept before the state changes: neither is lost alone.

    Args:
        store: the folder.
        rollout: as it is in the state.
        result: how it ends.
        reason: the same in words.
        trial: what was compared.
        replaced: the SHA-256 of the model that answered before.
        base: a hash of the packaged manifest, if the candidate takes over.

    Returns:
        Whether this call has ended it.
    """
    ended = []

    def end(state: RolloutState) -> RolloutState | None:
        if state.rollout != rollout:
            return None
        outcome = Outcome(
            rollout=rollout,
            result=result,
            reason=reason,
            replaced=replaced,
            ended=round(time.time(), 3),
            compared=0 if trial is None else trial.compared,
            tallies=() if trial is None else trial.tallies(),
        )
        store.record(outcome)
        models: Mapping[str, Replacement] = state.models
        if base is not None:
            models = {**models, rollout.candidate.task: Replacement(model=rollout.candidate, base=base)}
        ended.append(outcome)
        return RolloutState(models=models)

    store.change(end)
    for outcome in ended:
        log = _log.error if result in ("failed", "rolled_back") else _log.warning
        log("rollout: %s of %s: %s (%s)", rollout.mode, _named(rollout.candidate), result, outcome.reason)
    return bool(ended)


def expect_loadable(store: Store, manifests: Mapping[str, Manifest], most_bytes: int) -> None:
    """Load every model that a service with these packaged models would serve in their place.

    Args:
        store: the rollout folder.
        manifests: of the packaged models, by task.
        most_bytes: of a file.

    Raises:
        DataError: the state, or one of the models, is damaged.
    """
    for task, each in store.read().models.items():
        if task in manifests and each.base == manifest_digest(manifests[task]):
            load_placed(store, each.model, manifests[task], most_bytes)


def begin_trial(store: Store, rollout: Rollout) -> None:
    """Let the candidate run, now that every worker has it."""

    def begin(state: RolloutState) -> RolloutState | None:
        if state.rollout != rollout:
            return None
        return state.model_copy(update={"rollout": rollout.model_copy(update={"running": True})})

    store.change(begin)


def _named(placed: Placed) -> str:
    name = f"{placed.artifact}@{placed.version}" if placed.artifact and placed.version else placed.task
    return f"{name} ({placed.sha256[:12]})"

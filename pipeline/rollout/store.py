"""The rollout folder: what the workers of one service and the commands of operators share.

```
state.json                what is served beside what is packaged, and the rollout in progress (`RolloutState`)
models/SHA256/            models, each in a folder named by the SHA-256 of its manifest; they never change
workers/ID.json           what each worker serves; ID.lock is locked while it lives
trials/ID.jsonl           what was compared in a rollout, a line for each picture
trials/ID.deaths          a line for each worker that ended by itself, or was killed, while it had the candidate
outcomes/ID.json          how each rollout ended; a damaged one is set aside as ID.json.damaged
```

`state.json` is replaced as a whole, under the lock of the folder, so that a process that is killed leaves the
old state or the new one. Whether a worker lives is known from its lock, which the system releases with the process,
whatever ends it. The folder is one machine's: locks of network file systems are not relied on.
"""

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from pipeline.core.errors import DataError
from pipeline.core.files import digest, replacing, write_text
from pipeline.records.manifest import MANIFEST, Manifest
from pipeline.records.rollout import Bounds, Observation, Outcome, Placed, RolloutReport, RolloutState, WorkerState
from pipeline.rollout.trial import Trial

ROLLOUT_VARIABLE = "READER_ROLLOUT"
"""Names the rollout folder of a service; without it the models that are packaged are served, and no others."""
STATE = "state.json"
_FOLDERS = ("models", "workers", "trials", "outcomes")
_KEPT, _SHOWN = 100, 10
"""Outcomes that are kept, and that a report has."""
_DAMAGED = ".damaged"
_log = logging.getLogger("bentoml.reader")


class Store:
    """One rollout folder.

    Attributes:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> None:
        """Make the folder, where it is not there.

        Raises:
            DataError: it cannot be made or written.
        """
        try:
            for name in _FOLDERS:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            with self._locked():
                pass
        except OSError as error:
            raise DataError(
                f"{self.folder}: {error.strerror}, expected a folder that the service can write ({ROLLOUT_VARIABLE})"
            ) from None

    def read(self) -> RolloutState:
        """The state; an empty one where nothing was ever rolled out.

        Raises:
            DataError: it is damaged.
        """
        if not (self.folder / STATE).exists():
            return RolloutState()
        return RolloutState.read(self.folder / STATE)

    def change(self, make: Callable[[RolloutState], RolloutState | None]) -> RolloutState:
        """Replace the state, while nobody else does.

        Args:
            make: the new state from the present one, or None where there is nothing to change; its revision is set
                here.

        Returns:
            The state then.

        Raises:
            DataError: the state is damaged.
        """
        with self._locked():
            before = self.read()
            after = make(before)
            if after is None:
                return before
            after = after.model_copy(update={"revision": before.revision + 1})
            after.write(self.folder / STATE)
            self._forget_models(after)
            return after

    def add_model(self, source: Path, artifact: str | None) -> Placed:
        """Take a copy of a packaged model into the folder. Called while the state is changed: others are removed then.

        Args:
            source: a folder with `manifest.json` and the model that it names, which were checked.
            artifact: of the registry.

        Raises:
            DataError: the manifest is damaged.
        """
        manifest = Manifest.read(source / MANIFEST)
        placed = Placed(
            task=manifest.task,
            artifact=artifact,
            version=manifest.version,
            sha256=manifest.model.sha256,
            folder=digest(source / MANIFEST),
        )
        target = self.model_folder(placed)
        if not target.exists():
            with replacing(target) as temporary:
                shutil.copytree(source, temporary)
        return placed

    def model_folder(self, placed: Placed) -> Path:
        """Where a model is."""
        return self.folder / "models" / placed.folder

    def _forget_models(self, state: RolloutState) -> None:
        """Remove the models of which the state says nothing any more."""
        kept = {each.model.folder for each in state.models.values()}
        if state.rollout is not None:
            kept.add(state.rollout.candidate.folder)
        for folder in (self.folder / "models").glob("[0-9a-f]*"):
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def enter(self) -> "Worker":
        """Be one of the workers of this folder until the process ends."""
        return Worker(self)

    def workers(self) -> tuple[WorkerState, ...]:
        """The workers that are alive; the files of others are removed."""
        states = (self._state_of(path) for path in sorted((self.folder / "workers").glob("*.lock")))
        return tuple(state for state in states if state is not None)

    def deaths(self, rollout: str) -> int:
        """How many workers have ended, other than by stopping, while they loaded a rollout's candidate or had it."""
        try:
            return self._deaths(rollout).read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def observe(self, rollout: str, seen: Observation) -> None:
        """Add a line to what was compared. Lines of several processes do not mix: each is one write at the end."""
        line = f"{seen.model_dump_json(exclude_defaults=True)}\n".encode()
        file = os.open(self._trial(rollout), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def follow(self, rollout: str, trial: Trial, offset: int = 0) -> int:
        """Tell a trial what was compared since an offset; every process reads the same lines in the same order.

        Returns:
            The offset of the first byte that was not read. A line that is not complete is left for later.
        """
        try:
            with self._trial(rollout).open("rb") as file:
                file.seek(offset)
                content = file.read()
        except FileNotFoundError:
            return offset
        complete = content.rpartition(b"\n")[0]
        for line in complete.splitlines():
            # A machine that lost its power may leave a line that is none.
            with contextlib.suppress(ValueError):
                trial.observe(Observation.model_validate_json(line))
        return offset + (len(complete) + 1 if complete else 0)

    def record(self, outcome: Outcome) -> None:
        """Keep how a rollout ended; of many, the latest. What is wrong with former ones does not keep this one out.

        Raises:
            OSError: it cannot be written.
        """
        outcome.write(self.folder / "outcomes" / f"{outcome.rollout.id}.json")
        try:
            for former in self.outcomes()[_KEPT:]:
                rollout = former.rollout.id
                for path in (self.folder / "outcomes" / f"{rollout}.json", self._trial(rollout), self._deaths(rollout)):
                    path.unlink(missing_ok=True)
        except OSError as error:
            _log.error("rollout: %s: %s; former outcomes stay", error.filename, error.strerror)

    def outcomes(self) -> list[Outcome]:
        """How rollouts ended, the latest first. A damaged file is set aside, and the log names it."""
        found = [self._outcome(path) for path in (self.folder / "outcomes").glob("[0-9a-f]*.json")]
        return sorted((each for each in found if each is not None), key=lambda each: each.ended, reverse=True)

    def _outcome(self, path: Path) -> Outcome | None:
        try:
            return Outcome.read(path)
        except (DataError, OSError) as error:
            # Another process may have removed it, or set it aside, since it was listed.
            if path.exists():
                aside = path.with_name(f"{path.name}{_DAMAGED}")
                with contextlib.suppress(OSError):
                    path.replace(aside)
                reason = str(error).partition("; run ")[0]
                _log.error("rollout: %s; it is left out, and set aside as %s", reason, aside.name)
        return None

    def report(self) -> RolloutReport:
        """All of it, for operators.

        Raises:
            DataError: a file is damaged.
        """
        state = self.read()
        trial = Trial(Bounds())
        if state.rollout is not None:
            trial = Trial(state.rollout.bounds)
            self.follow(state.rollout.id, trial)
        return RolloutReport(
            state=state,
            workers=self.workers(),
            compared=trial.compared,
            tallies=trial.tallies(),
            outcomes=tuple(self.outcomes()[:_SHOWN]),
        )

    def _trial(self, rollout: str) -> Path:
        return self.folder / "trials" / f"{rollout}.jsonl"

    def _state_of(self, lock: Path) -> WorkerState | None:
        """What a worker says; None for one that has not said anything yet, and for one that is gone."""
        # Another process may remove the files of a worker that is gone at the same time.
        with contextlib.suppress(FileNotFoundError), lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with contextlib.suppress(DataError):
                    return WorkerState.read(lock.with_suffix(".json"))
                return None
            self._bury(lock)
        return None

    def _deaths(self, rollout: str) -> Path:
        return self.folder / "trials" / f"{rollout}.deaths"

    def _bury(self, lock: Path) -> None:
        """Remove the files of a worker that is gone; the process that locks them does it alone."""
        state = lock.with_suffix(".json")
        with contextlib.suppress(DataError):
            found = WorkerState.read(state)
            if found.loading is not None:
                with self._deaths(found.loading).open("a") as file:
                    file.write(f"{found.pid}\n")
        state.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class Worker:
    """This process as one of the workers of a rollout folder."""

    def __init__(self, store: Store) -> None:
        self._path = store.folder / "workers" / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self._lock = self._enter()
        self._said = ""
        self._changing = threading.Lock()

    def say(self, state: WorkerState) -> None:
        """Let the others know what this worker serves."""
        text = state.model_dump_json()
        with self._changing:
            if text != self._said and not self._lock.closed:
                write_text(self._path, text)
                self._said = text

    def _enter(self) -> IO[bytes]:
        while True:
            lock = self._path.with_suffix(".lock").open("ab")
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another process may have removed it before it was locked, as that of a worker that is gone.
            with contextlib.suppress(FileNotFoundError):
                if self._path.with_suffix(".lock").stat().st_ino == os.fstat(lock.fileno()).st_ino:
                    return lock
            lock.close()

    def leave(self) -> None:
        """Be none of them any more."""
        with self._changing:
            # The lock goes last: another process that finds it free takes what this one said for that of a killed one.
            self._path.unlink(missing_ok=True)
            self._path.with_suffix(".lock").unlink(missing_ok=True)
            self._lock.close()

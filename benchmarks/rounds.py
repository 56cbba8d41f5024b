"""Rounds that contenders run in turns, each in a process that stays prepared between its rounds.

A contender is a module that is run as a program. It makes a `Rounds`, prepares what its settings say, and does one
round whenever it is asked. This module needs the standard library alone: peers run in environments of their own.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Stopwatch:
    """The seconds since it was made: those of the clock, and those of the processor, summed over threads."""

    def __init__(self) -> None:
        self._clock, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """`seconds` and `processor`."""
        return {"seconds": time.perf_counter() - self._clock, "processor": time.process_time() - self._processor}


class Rounds:
    """The contender's side: settings and requests arrive on standard input, answers leave on standard output.

    Attributes:
        settings: what the contender prepares.
    """

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        # What libraries print goes to the log.
        os.dup2(2, 1)
        self.settings: dict[str, Any] = json.loads(sys.stdin.readline())

    def ready(self, **facts: Any) -> None:
        """Say that everything is prepared, and what the table's reader should know of it."""
        self._send(facts)

    def asked(self) -> bool:
        """Wait for the next round; False where there is none."""
        return bool(sys.stdin.readline())

    def answer(self, taken: dict[str, float], units: float, **found: Any) -> None:
        """Report a round: the stopwatch's reading, the pictures or other units done, and what else was found."""
        self._send({**taken, "units": units, "found": found})

    def serve(self, work: Callable[[], float], *, warm: bool = True, **facts: Any) -> None:
        """Do all rounds: `work` does one and returns its units. With `warm`, one before them is not counted."""
        if warm:
            work()
        self.ready(**facts)
        while self.asked():
            stopwatch = Stopwatch()
            units = work()
            self.answer(stopwatch.read(), units)

    def _send(self, document: dict[str, Any]) -> None:
        print(json.dumps(document), file=self._answers, flush=True)


@dataclass(frozen=True)
class Taken:
    """One round of one contender.

    Attributes:
        seconds: of the clock.
        processor: seconds of the processor, summed over threads.
        units: done in them.
        found: what else the contender reported.
    """

    seconds: float
    processor: float
    units: float
    found: dict[str, Any] = field(default_factory=dict)


class Contestant:
    """The driver's side of a contender.

    Attributes:
        facts: what it said when it was ready.

    Raises:
        RuntimeError: it ended by itself; the message has the end of its log.
    """

    def __init__(self, python: Path | str, module: str, settings: dict[str, Any], log: Path) -> None:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        self._module, self._log = module, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [str(python), "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                cwd=ROOT,
                env=environment,
            )
        self._ask(json.dumps(settings))
        self.facts = self._answer()

    def round(self) -> Taken:
        """Ask for a round and wait for it."""
        self._ask("")
        return Taken(**self._answer())

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            self.close()
            end = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{self._module} ended with {self._process.returncode}; the end of {self._log}:\n{end}")
        return json.loads(line)


@contextlib.contextmanager
def closing(contestants: list[Contestant]) -> Iterator[list[Contestant]]:
    """End all contestants that were added to the list, at the end of the block."""
    try:
        yield contestants
    finally:
        for each in contestants:
            each.close()


def alternate(contestants: Sequence[Contestant], rounds: int) -> list[list[Taken]]:
    """The rounds of each contestant. Every second turn is in reverse, so that other load meets all alike."""
    taken: list[list[Taken]] = [[] for _ in contestants]
    for number in range(rounds):
        order = range(len(contestants))
        for index in reversed(order) if number % 2 else order:
            taken[index].append(contestants[index].round())
    return taken

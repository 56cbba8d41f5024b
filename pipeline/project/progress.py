"""Follows the output of `dvc repro`: one line per stage, the output of the stages in log files, the time left."""

import contextlib
import copy
import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, TextIO

Estimate = Callable[[Mapping[str, float], Collection[str]], float | None]
"""From the seconds of the finished stages and the names of the remaining ones: the seconds left, None if unknown."""
_TRAILER = "Having any troubles?"
"""The beginning of the line with which DVC ends after an error; the line before says what is wrong."""
_EVENTS = {
    "run": re.compile(r"Running stage '([\w@-]+)':"),
    "cached": re.compile(r"Stage '([\w@-]+)' is cached - skipping run, checking out outputs"),
    "unchanged": re.compile(r"Stage '([\w@-]+)' didn't change, skipping"),
    "saved": re.compile(r"(?:Generating|Updating) lock file '(.+)'"),
}
"""What DVC prints when it begins a stage, or has saved its outs."""
DVC_LOG = "dvc.log"
"""The log of what DVC itself prints."""


class Progress:
    """What a run has done so far. Feed it with the output of DVC.

    Attributes:
        ran: seconds by stage, of the stages that ran.
        cached: the stages with outs from the cache.
        unchanged: the stages that were up to date.
        log: the log of the running stage, or of DVC between two stages.
        last_line: the last line of that log that is not empty.
        dvc_log: the name of DVC's own log.
        alone: whether a terminal shows the running stage.
    """

    def __init__(
        self,
        logs: Path,
        out: TextIO,
        estimate: Estimate = lambda finished, left: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nothing done.

        Args:
            logs: the folder for the log files, one per stage.
            out: where the lines go. A terminal also shows the running stage.
            estimate: how to estimate the time left.
            clock: seconds.
        """
        self.ran: dict[str, float] = {}
        self.cached: set[str] = set()
        self.unchanged: set[str] = set()
        self.log = logs / DVC_LOG
        self.last_line = ""
        self._logs, self._out, self._estimate, self._clock = logs, out, estimate, clock
        self._expected: set[str] = set()
        self._stage, self._began = "", 0.0
        self._file: BinaryIO | None = None
        self._opened: set[str] = set()
        self._result: Path | None = None
        self._rest = b""
        self.dvc_log, self.alone = DVC_LOG, True
        self._turn = threading.RLock()

    def lane(self, number: int) -> "Progress":
        """The progress of one of several runs of DVC side by side, each followed by a thread of its own.

        Its stages count with those of the others. DVC's own output goes to `dvc-NUMBER.log`, and a terminal shows no
        running stage.
        """
        lane = copy.copy(self)
        lane.dvc_log, lane.alone = f"dvc-{number}.log", False
        lane.log = self._logs / lane.dvc_log
        return lane

    def expect(self, stages: Collection[str]) -> None:
        """Add stages to those that this run is expected to handle: the m of `n/m`."""
        self._expected |= set(stages)

    @contextlib.contextmanager
    def following(self, result: Path) -> Iterator[None]:
        """Open the logs for one run of DVC.

        Args:
            result: the file in which a stage leaves its result.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        self._result = result
        self._open(self.dvc_log)
        try:
            yield
        finally:
            self._clear()
            self._close()

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the output of DVC; an empty one only updates the terminal."""
        *lines, self._rest = re.split(rb"(?<=[\n\r])", self._rest + chunk)
        for line in lines:
            self._line(line)
        self._show()

    def finish(self, *, failed: bool) -> None:
        """Take the end of the output; without a failure, the stage that was running is done."""
        self._line(self._rest)
        self._rest = b""
        with self._turn:
            if self._stage and not failed:
                self._end()
            self._stage = ""

    def summary(self) -> str:
        """One line that counts the stages."""
        counted = [f"{_count(len(self.ran), 'stage')} ran"]
        counted[0] += f" in {format_seconds(sum(self.ran.values()))}" if self.ran else ""
        counted += [f"{len(self.cached)} from the cache"] if self.cached else []
        counted += [f"{len(self.unchanged)} up to date"] if self.unchanged else []
        return ", ".join(counted)

    def _line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        for kind, pattern in _EVENTS.items():
            if found := pattern.fullmatch(text):
                self._event(kind, found[1])
                return
        if self._file is not None:
            self._file.write(line)
            self._file.flush()
        # DVC repeats the command of a stage that failed; the line before says why it failed.
        repeated = self._stage and self.last_line and text.startswith("ERROR: failed to reproduce")
        if text and not repeated and not text.startswith(_TRAILER):
            self.last_line = text

    def _event(self, kind: str, name: str) -> None:
        with self._turn:
            if self._stage:
                self._end()
            if kind == "run":
                self._stage, self._began = name, self._clock()
                self._open(f"{name}.log")
            elif kind == "cached":
                self.cached.add(name)
                self._print(name, "from the cache")
            elif kind == "unchanged" and name not in self.ran:
                self.unchanged.add(name)

    def _end(self) -> None:
        name, self._stage = self._stage, ""
        self.ran[name] = self._clock() - self._began
        self.unchanged.discard(name)
        result = ""
        if self._result is not None and self._result.exists():
            result = " ".join(self._result.read_text(encoding="utf-8").split())
            self._result.unlink()
        parts = [f"{format_seconds(self.ran[name]):>10}", *filter(None, [result])]
        self._print(name, "  ".join(parts))
        self._open(self.dvc_log)

    def _print(self, name: str, text: str) -> None:
        self._clear()
        handled = {*self.ran, *self.cached, *self.unchanged}
        self._expected.add(name)
        left = self._left()
        print(f"{self._position(len(handled & self._expected))} {name:<24} {text}{left}", file=self._out, flush=True)

    def _position(self, number: int) -> str:
        total = len(self._expected)
        return f"[{number:>{len(str(total))}}/{total}]"

    def _left(self) -> str:
        waiting = self._expected - {*self.ran, *self.cached, *self.unchanged}
        seconds = self._estimate(self.ran, waiting) if waiting else None
        return "" if seconds is None else f"  ({format_left(seconds)})"

    def _open(self, name: str) -> None:
        self._close()
        self.log, self.last_line = self._logs / name, ""
        self._file = self.log.open("ab" if name in self._opened else "wb")
        self._opened.add(name)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _show(self) -> None:
        """Show the running stage, how long it has run, and its last line, in one line of the terminal."""
        if not self._stage or not self.alone or not self._out.isatty():
            return
        handled = {*self.ran, *self.cached, *self.unchanged} & self._expected
        text = f"{self._position(len(handled) + 1)} {self._stage}  {format_seconds(self._clock() - self._began)}"
        line = f"{text}  {self.last_line}"[: shutil.get_terminal_size().columns - 1]
        self._out.write(f"\r\x1b[2K{line}")
        self._out.flush()

    def _clear(self) -> None:
        if self._out.isatty():
            self._out.write("\r\x1b[2K")


def format_seconds(seconds: float) -> str:
    """`9.5 s`, `5 min 28 s` or `1 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def format_left(seconds: float) -> str:
    """`about 40 s left`, `about 12 min left` or `about 1 h 10 min left`."""
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s left"
    minutes = round(seconds / 60)
    hours = f"{minutes // 60} h {minutes % 60:02} min"
    return f"about {minutes if minutes < 60 else hours}{' min' if minutes < 60 else ''} left"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")

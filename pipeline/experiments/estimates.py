"""How long the stages of a run will take, from the committed timings, from earlier runs here, and from this run."""

import contextlib
import csv
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.files import write_json

TIMINGS = Path("metrics/timings.csv")
"""The committed seconds of every training and every evaluation."""
SECONDS = "seconds.json"
"""The seconds by stage of the last runs, beside the logs."""


@dataclass(frozen=True)
class Estimates:
    """Seconds by stage that an earlier run took."""

    seconds: Mapping[str, float]

    @classmethod
    def load(cls, logs: Path, timings: Path = TIMINGS, share: float = 1.0) -> "Estimates":
        """Read what is known; files that are missing or damaged are left out.

        Args:
            logs: the folder with the seconds of earlier runs, which `save` wrote.
            timings: the committed timings.
            share: the budget of this run as a share of that of the committed run; a training takes as much less time.
        """
        return cls({**_committed(timings, share), **_recorded(logs / SECONDS)})

    def save(self, logs: Path, ran: Mapping[str, float]) -> None:
        """Add the seconds of the stages that ran to those of earlier runs."""
        write_json(logs / SECONDS, {**_recorded(logs / SECONDS), **{name: round(ran[name], 1) for name in ran}})

    def left(self, finished: Mapping[str, float], waiting: Collection[str]) -> float | None:
        """Estimate the seconds that the waiting stages take.

        A stage without earlier seconds takes the mean of the finished stages of its kind (`compose` of
        `compose@plain`), or else the mean of all finished stages without earlier seconds. The pace of this run corrects
        earlier seconds.

        Args:
            finished: seconds by stage, of this run.
            waiting: names of the stages that have not ended.

        Returns:
            None where nothing is known about any of them.
        """
        known = [name for name in finished if name in self.seconds]
        expected = sum(self.seconds[name] for name in known)
        pace = sum(finished[name] for name in known) / expected if expected else 1.0
        unknown = {name: seconds for name, seconds in finished.items() if name not in self.seconds}
        guesses = [self.seconds[name] * pace if name in self.seconds else _mean_like(name, unknown) for name in waiting]
        found = [guess for guess in guesses if guess is not None]
        return sum(found) if found else None


def _mean_like(name: str, finished: Mapping[str, float]) -> float | None:
    kind = name.partition("@")[0]
    alike = [seconds for other, seconds in finished.items() if other.partition("@")[0] == kind]
    chosen = alike or list(finished.values())
    return sum(chosen) / len(chosen) if chosen else None


def _committed(path: Path, share: float) -> dict[str, float]:
    """The committed seconds by stage: `train@S` and `evaluate@S` for every strategy S."""
    seconds = {}
    with contextlib.suppress(OSError, KeyError, ValueError, csv.Error), path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for stage, factor in (("train", share), ("evaluate", 1.0)):
                if cell := row[f"{stage}_seconds"]:
                    seconds[f"{stage}@{row['strategy']}"] = factor * float(cell)
    return seconds


def _recorded(path: Path) -> dict[str, float]:
    try:
        return {str(name): float(seconds) for name, seconds in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}

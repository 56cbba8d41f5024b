"""The page of `make drift`: the distributions of the reference and of the latest traffic, and declined pictures."""

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.monitoring import statistics
from pipeline.monitoring.detector import parse_counts
from pipeline.monitoring.quarantine import pictures_of
from pipeline.monitoring.reference import count
from pipeline.monitoring.statistics import BINS
from pipeline.records.monitoring import DriftState
from pipeline.reports import templating

EXAMPLES = 24
"""Pictures of the quarantine on a page."""
LATEST = 1000
"""Pictures of the latest traffic in the figures."""
_MIMES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}


@dataclass(frozen=True)
class Figure:
    """A statistic: shares of the reference and of the latest traffic in the bins from `first` to `last`.

    Attributes:
        statistic: its name.
        level: the evidence as a share of the threshold.
        alarm: when it reached the threshold, in words; None where it did not.
        bars: of each bin where it begins, its share in the reference and its share in the latest traffic.
    """

    statistic: str
    level: float
    alarm: str | None
    bars: tuple[tuple[str, float, float], ...]

    @property
    def highest(self) -> float:
        """The largest share of a bin."""
        return max((share for _, *shares in self.bars for share in shares), default=0.0) or 1.0


@dataclass(frozen=True)
class Example:
    """A declined picture of the quarantine: its digest, what was read, and its file as a data address."""

    digest: str
    reading: str
    confidence: float | None
    notes: str
    address: str


def render(state: DriftState, latest: Sequence[Mapping[str, Any]], quarantine: Path) -> str:
    """The page.

    Args:
        state: of the test.
        latest: lines of the log, in the form of `Prediction`, the latest one last.
        quarantine: the folder of declined pictures.
    """
    return templating.render(
        "drift.html",
        state=state,
        started=format_time(state.started),
        latest_time=format_time(state.latest),
        checked=format_time(state.checked),
        weeks=(state.latest - state.started) / (7 * 86_400),
        latest=len(latest),
        figures=figures(state, latest),
        examples=examples(state, latest, quarantine),
    )


def format_time(seconds: float) -> str:
    """A time in UTC."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) + " UTC"


def figures(state: DriftState, latest: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Every statistic, those with alarms and with the most evidence first."""
    names = list(state.counts)
    bins = np.array([statistics.bins_of(line, names) for line in latest], np.int64).reshape(len(latest), len(names))
    traffic = count(bins) if len(latest) else np.zeros((len(names), BINS), np.int64)
    alarms = {alarm.statistic: f"{format_time(alarm.time)}, picture {alarm.pictures:,}" for alarm in state.alarms}
    made = []
    for name, of_traffic in zip(names, traffic, strict=True):
        reference = parse_counts(state.reference_counts[name])
        shares = [each / max(each.sum(), 1) for each in (reference, of_traffic)]
        used = np.flatnonzero(reference + of_traffic)
        bars = tuple(
            (statistics.value_of(name, int(bin_)), float(shares[0][bin_]), float(shares[1][bin_]))
            for bin_ in range(used[0], used[-1] + 1)
        )
        made.append(Figure(name, state.levels[name], alarms.get(name), bars))
    return sorted(made, key=lambda figure: (figure.alarm is None, -figure.level))


def examples(state: DriftState, latest: Sequence[Mapping[str, Any]], quarantine: Path) -> list[Example]:
    """Declined pictures, those first that are rarest under the reference in the statistic with the most evidence."""
    alarmed = [alarm.statistic for alarm in state.alarms]
    name = alarmed[0] if alarmed else max(state.levels, key=lambda key: state.levels[key])
    reference = parse_counts(state.reference_counts[name])
    declined = {line["digest"]: line for line in latest if line["accepted"] is not True}
    ranked = sorted(declined.values(), key=lambda line: int(reference[statistics.bins_of(line, [name])[0]]))
    found = []
    for line in ranked:
        path = next(pictures_of(quarantine, line["digest"]), None)
        if path is not None:
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            address = f"data:{_MIMES[path.suffix]};base64,{data}"
            notes = ", ".join(line["notes"])
            found.append(Example(line["digest"], line["reading"], line["confidence"], notes, address))
        if len(found) == EXAMPLES:
            break
    return found

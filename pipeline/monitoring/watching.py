"""Carries the test of a model's traffic on, from one look at the log to the next."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.monitoring import reading, statistics
from pipeline.monitoring.detector import Detector, format_counts, parse_counts
from pipeline.monitoring.monitor import PREDICTIONS
from pipeline.monitoring.reference import ALL_SUITES, count, counts_of
from pipeline.monitoring.statistics import SCHEME
from pipeline.records.manifest import Manifest
from pipeline.records.monitoring import DriftAlarm, DriftState

FOLDER = "drift"
"""What was seen, and reports, below the folder of the log."""
RATE = 0.01
"""False alarms a week that are allowed on average, of each model: one in a hundred weeks."""
ACCEPTED = "accepted traffic"
ENOUGH = 500
"""Pictures that can become a reference; 2,000 are better."""
MOST_ACCEPTED = 2000


class NoReferenceError(DataError):
    """A model has no reference with which its traffic can be compared: it was packaged before there was one."""


def begin(manifest: Manifest, suite: str = ALL_SUITES, rate: float = RATE) -> DriftState:
    """A test that has seen nothing, with the reference of the model's manifest.

    Raises:
        ConfigurationError: there is no such suite.
        NoReferenceError: the manifest has no reference, or one of other bins.
    """
    source = f"the manifest of {manifest.task}"
    if manifest.reference is None:
        raise NoReferenceError(
            f"{source} has no reference statistics: it was packaged before there were any; package the model again, or "
            "take the logged traffic as the reference with ACCEPT=1"
        )
    try:
        counts = counts_of(manifest.reference, suite, source)
    except DataError as error:
        raise NoReferenceError(str(error)) from None
    return _begun(manifest, suite, rate, counts)


def accept(manifest: Manifest, folder: Path, rate: float = RATE) -> DriftState:
    """A test whose reference is the latest traffic of the log: what it is from now on counts as normal.

    Raises:
        DataError: there are too few pictures.
    """
    log = folder / PREDICTIONS
    lines = reading.latest(log, manifest.task, manifest.model.sha256, MOST_ACCEPTED)
    lines = list({line["digest"]: line for line in lines}.values())
    if len(lines) < ENOUGH:
        found = f"{len(lines)} pictures of {manifest.task} found"
        raise DataError(f"{log}: {found}, expected at least {ENOUGH} to take them as the reference")
    names = statistics.names(manifest)
    counts = count(np.array([statistics.bins_of(line, names) for line in lines]))
    state = _begun(manifest, ACCEPTED, rate, dict(zip(names, counts, strict=True)))
    # They are the reference, and are not tested against themselves.
    return skip(state, folder)


def skip(state: DriftState, folder: Path) -> DriftState:
    """The same test without what is in the log so far: it begins with the next picture."""
    traffic = reading.unseen(folder / PREDICTIONS, state.task, state.model, list(state.counts), {})
    now = float(traffic.times[-1]) if len(traffic.times) else 0.0
    return state.model_copy(update={"offsets": traffic.offsets, "started": now, "latest": now})


def follow(state: DriftState, folder: Path) -> DriftState:
    """Test what was logged since.

    Args:
        state: so far.
        folder: of the log.

    Raises:
        DataError: a line is not one of the log's.
    """
    names = list(state.counts)
    traffic = reading.unseen(folder / PREDICTIONS, state.task, state.model, names, state.offsets)
    detector = Detector(
        np.stack([parse_counts(state.counts[name]) for name in names]),
        statistics.weights(names),
        rate=state.rate,
        seed=int(state.model[:8], 16),
        evidence=np.array([state.evidence[name] for name in names]),
        pictures=state.pictures,
    )
    started, alarms = state.started, list(state.alarms)
    now = state.latest
    if len(traffic.times):
        started = started or float(traffic.times[0])
        # A process may have written a little later than another one: time never goes back.
        clock = np.maximum.accumulate(np.append(state.latest or started, traffic.times))
        now = float(clock[-1])
        known = {alarm.statistic for alarm in alarms}
        for crossing in detector.update(traffic.bins, np.diff(clock)):
            if (name := names[crossing.statistic]) not in known:
                known.add(name)
                at = float(traffic.times[crossing.picture])
                alarms.append(DriftAlarm(statistic=name, time=at, pictures=state.pictures + crossing.picture + 1))
    return state.model_copy(
        update={
            "started": started,
            "latest": now,
            "checked": time.time(),
            "pictures": detector.pictures,
            "repeated": state.repeated + traffic.repeated,
            "counts": dict(zip(names, map(format_counts, detector.counts), strict=True)),
            "evidence": {name: tuple(row.tolist()) for name, row in zip(names, detector.evidence, strict=True)},
            "levels": {name: float(level) for name, level in zip(names, detector.levels, strict=True)},
            "alarms": tuple(alarms),
            "offsets": traffic.offsets,
        }
    )


def _begun(manifest: Manifest, reference: str, rate: float, counts: Mapping[str, np.ndarray]) -> DriftState:
    texts = {name: format_counts(each) for name, each in counts.items()}
    nothing = Detector(np.stack(list(counts.values())), np.ones(len(counts)), rate=rate, seed=0).evidence
    return DriftState(
        scheme=SCHEME,
        task=manifest.task,
        model=manifest.model.sha256,
        reference=reference,
        rate=rate,
        started=0,
        latest=0,
        checked=time.time(),
        pictures=0,
        repeated=0,
        reference_counts=texts,
        counts=texts,
        evidence={name: tuple(row.tolist()) for name, row in zip(counts, nothing, strict=True)},
        levels=dict.fromkeys(counts, 0.0),
        alarms=(),
        offsets={},
    )

"""The reference statistics of a model, which its manifest carries."""

from collections.abc import Mapping

import numpy as np

from pipeline.core.decoding import judge
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.readings import Readings
from pipeline.monitoring import statistics
from pipeline.monitoring.detector import format_counts, parse_counts
from pipeline.monitoring.statistics import BINS, SCHEME, SIZES
from pipeline.records.manifest import Manifest
from pipeline.records.monitoring import Reference, SuiteReference
from pipeline.runtime.answers import readings_as_json, reads_digits
from pipeline.runtime.pages import LINES

ALL_SUITES = "all suites"


def predictions(manifest: Manifest, images: np.ndarray, readings: Readings) -> list[dict]:
    """What the service would log of pictures of the model's size: the keys of `Prediction` that statistics need.

    Args:
        manifest: of the model.
        images: uint8 (n, H, W, C).
        readings: of these.
    """
    key = "digits" if reads_digits(manifest) else "class"
    height, width = images.shape[1:3]
    answers = readings_as_json(manifest, readings, judge(images), every_class=False)
    return [
        {
            "reading": answer[key],
            "confidence": answer["confidence"],
            "accepted": answer["accepted"],
            "shift": statistics.shift_score(answer),
            "ink": statistics.ink_share(pixels),
            "brightness": statistics.brightness(pixels),
            "height": height,
            "width": width,
        }
        for answer, pixels in zip(answers, images, strict=True)
    ]


def count(bins: np.ndarray) -> np.ndarray:
    """int64 (statistics, BINS): how many of (n, statistics) are in each bin."""
    return np.stack([np.bincount(column, minlength=BINS) for column in bins.T])


def reference_of(manifest: Manifest, suites: Mapping[str, tuple[np.ndarray, Readings]]) -> Reference:
    """The statistics of the valid split of suites.

    Lines of writing were cut out of larger pictures, whose size valid does not have: it is left out there.

    Args:
        manifest: of the model.
        suites: by name, the pictures, uint8 (n, H, W, C), and what the served form reads of them.
    """
    names = [name for name in statistics.names(manifest) if manifest.task != LINES or name not in SIZES]
    made = {}
    for suite, (images, readings) in suites.items():
        found = [statistics.bins_of(each, names) for each in predictions(manifest, images, readings)]
        counts = map(format_counts, count(np.array(found)))
        made[suite] = SuiteReference(pictures=len(images), counts=dict(zip(names, counts, strict=True)))
    return Reference(scheme=SCHEME, suites=made)


def counts_of(reference: Reference, suite: str, source: str) -> dict[str, np.ndarray]:
    """By statistic the counts of one suite, or of `ALL_SUITES`, (BINS,).

    Args:
        reference: of a model.
        suite: its name.
        source: what messages call the manifest.

    Raises:
        ConfigurationError: there is no such suite.
        DataError: the bins are of another version of the project.
    """
    if reference.scheme != SCHEME:
        raise DataError(
            f"{source}: reference.scheme: {reference.scheme} found, expected {SCHEME}; package the model again with "
            "`make repro`, or use ACCEPT=1"
        )
    chosen = reference.suites if suite == ALL_SUITES else {suite: reference.suites.get(suite)}
    if None in chosen.values():
        raise ConfigurationError(f"SUITE: {suite[:60]!r} found, expected one of {', '.join(reference.suites)}")
    parts = [each for each in chosen.values() if each is not None]
    return {name: np.sum([parse_counts(part.counts[name]) for part in parts], axis=0) for name in parts[0].counts}

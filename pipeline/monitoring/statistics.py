"""What is measured of a picture and its reading, for the log and for drift.

Drift compares distributions over bins that are fixed here: they depend on no data, so that the reference and the
traffic are exchangeable where nothing changed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.core.images import INK
from pipeline.records.manifest import Manifest
from pipeline.runtime.answers import reads_digits

DECIMALS = 6
SCHEME = 1
"""Of the bins. A reference of another scheme cannot be compared."""
BINS = 64
"""Of every statistic. The last one is of pictures that have no value: without any line."""
MEASURES = ("confidence", "shift", "accepted", "ink", "brightness", "area", "aspect", "length")
"""The statistics that every task has; `class NAME` follows for each class."""
SIZES = ("area", "aspect")
"""Statistics of the picture that was sent."""
CLASS = "class "
_LAST = BINS - 2


def shift_score(answer: Mapping[str, Any]) -> float:
    """How little a reading is like those of validation, 0 to 1: 1 minus its confidence, and 1 without any line.

    Args:
        answer: in the form of `PictureAnswer`, `Answer` or `TaskReading`.
    """
    confidence = answer["confidence"]
    return 1.0 if confidence is None else round(1.0 - confidence, DECIMALS)


def ink_share(pixels: np.ndarray) -> float | None:
    """Share of uint8 (n, H, W, C) that is at least `INK` bright; None of no picture."""
    if not pixels.size:
        return None
    return round(float(np.count_nonzero(pixels >= INK)) / pixels.size, DECIMALS)


def brightness(pixels: np.ndarray) -> float | None:
    """Mean of uint8 (n, H, W, C), 0 to 255; None of no picture."""
    return round(float(pixels.mean(dtype=np.float64)), DECIMALS) if pixels.size else None


def notes(answer: Mapping[str, Any]) -> list[str]:
    """The notes of a picture and those of its lines, each once."""
    of_lines = [note for line in answer.get("lines", ()) for note in line["notes"]]
    return list(dict.fromkeys([*answer["notes"], *of_lines]))


def names(manifest: Manifest) -> tuple[str, ...]:
    """The statistics of a task. Pictures of a model of classes have one class each: their length says nothing."""
    digits = reads_digits(manifest)
    measures = MEASURES if digits else tuple(name for name in MEASURES if name != "length")
    classes = [name for index, name in enumerate(manifest.class_names) if index != manifest.blank]
    return (*measures, *(f"{CLASS}{name}" for name in classes))


def weights(names: Sequence[str]) -> np.ndarray:
    """float64 (statistics,): the share of the false alarms that each may cause; the classes share that of one."""
    is_class = np.array([name.startswith(CLASS) for name in names])
    classes = int(is_class.sum())
    single = len(names) - classes + (classes > 0)
    return np.where(is_class, 1 / max(classes, 1), 1.0) / single


def bins_of(prediction: Mapping[str, Any], names: Sequence[str]) -> list[int]:
    """The bin of each statistic, 0 to `BINS` - 1.

    Confidence and shift are on a logarithmic scale of the error, a tenth of a decade each; ink and brightness on that
    of their square roots; the area is in steps of a quarter of an octave, the aspect in those of an eighth.

    Args:
        prediction: a line of the log, in the form of `Prediction`.
        names: of the statistics.
    """
    confidence, ink, bright = prediction["confidence"], prediction["ink"], prediction["brightness"]
    height, width, reading = prediction["height"], prediction["width"], prediction["reading"]
    measured = {
        "confidence": BINS - 1 if confidence is None else _decades(1 - confidence),
        "shift": _decades(prediction["shift"]),
        "accepted": {False: 0, None: 1, True: 2}[prediction["accepted"]],
        "ink": BINS - 1 if ink is None else min(_LAST, int(math.sqrt(ink) * BINS)),
        "brightness": BINS - 1 if bright is None else min(_LAST, int(math.sqrt(bright / 255) * BINS)),
        "area": min(_LAST, int(math.log2(height * width) * 2)),
        "aspect": min(_LAST, max(0, BINS // 2 + round(math.log2(width / height) * 4))),
        "length": min(_LAST, len(reading.replace("\n", ""))),
    }
    found = []
    for name in names:
        if name.startswith(CLASS):
            of_class = name[len(CLASS) :]
            # The names of digits are single characters, those of other classes are the whole reading.
            count = reading.count(of_class) if len(of_class) == 1 else int(reading == of_class)
            found.append(min(_LAST, count))
        else:
            found.append(measured[name])
    return found


def value_of(name: str, bin_: int) -> str:
    """A bin in words, for reports: where it begins."""
    if bin_ == BINS - 1:
        return "none"
    if name == "confidence":
        return f"{1 - 10 ** (-bin_ / 10):.6f}"
    if name == "shift":
        return f"{10 ** (-bin_ / 10):.6f}"
    if name == "accepted":
        return ("no", "no threshold", "yes")[bin_]
    if name == "ink":
        return f"{(bin_ / BINS) ** 2:.3f}"
    if name == "brightness":
        return f"{255 * (bin_ / BINS) ** 2:.1f}"
    if name == "area":
        return f"{2 ** (bin_ / 2):.0f}"
    if name == "aspect":
        return f"{2 ** ((bin_ - BINS // 2) / 4):.2f}"
    return str(bin_)


def _decades(share: float) -> int:
    """The bin of a share near 0: its decimal logarithm in tenths, up to six decades."""
    return min(60, int(-10 * math.log10(share) + 1e-9)) if share > 1e-6 else 60

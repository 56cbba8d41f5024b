"""What a packaged model answers to one picture, as plain values: the service sends it, `make read` prints it."""

from typing import Any

from pipeline.images import DIGIT_NAMES
from pipeline.readings import Readings, left_to_right
from pipeline.runtime import Manifest

DECIMALS = 6
"""Of a probability."""


def answer(manifest: Manifest, readings: Readings, notes: tuple[str, ...]) -> dict[str, Any]:
    """The reading of one picture.

    Args:
        manifest: of the model that read it.
        readings: of that one picture.
        notes: what was done to the picture before.

    Returns:
        `digits`, what is read from left to right without blanks, or `class`, where the classes are no digits; `slots`,
        from left to right, each with `class`, `probability`, the `probabilities` of all classes by name, and `box`,
        x0, y0, x1, y1 in pixels, None for a blank or where the model gives none; `confidence`; `accepted`, whether it
        reaches the threshold at which 99.5 % of valid were right, None where none did; `notes`; and `model`, its
        `identity`.
    """
    if not manifest.positional:
        readings = left_to_right(readings, manifest.blank)
    classes = [int(index) for index in readings.classes[0]]
    names = [manifest.class_names[index] for index in classes]
    slots = [
        {
            "class": name,
            "probability": _rounded(row[index]),
            "probabilities": dict(zip(manifest.class_names, map(_rounded, row), strict=True)),
            "box": None
            if readings.boxes is None or index == manifest.blank
            else [_rounded(side) for side in readings.boxes[0, slot]],
        }
        for slot, (index, name, row) in enumerate(zip(classes, names, readings.probabilities[0], strict=True))
    ]
    confidence = float(readings.confidence[0])
    said = "".join(name for index, name in zip(classes, names, strict=True) if index != manifest.blank)
    return {
        "digits" if reads_digits(manifest) else "class": said,
        "slots": slots,
        "confidence": _rounded(confidence),
        "accepted": None if manifest.threshold is None else confidence >= manifest.threshold,
        "notes": list(notes),
        "model": identity(manifest),
    }


def reads_digits(manifest: Manifest) -> bool:
    """Whether its classes are digits, with or without a blank."""
    return manifest.class_names[: len(DIGIT_NAMES)] == DIGIT_NAMES


def identity(manifest: Manifest) -> dict[str, Any]:
    """Which model it is: `task`, `strategy`, `sha256` of its file, `version` in the registry or None, and `origin`."""
    return {
        "task": manifest.task,
        "strategy": manifest.strategy,
        "sha256": manifest.sha256,
        "version": manifest.version,
        "origin": manifest.origin,
    }


def _rounded(value: Any) -> float:
    return round(float(value), DECIMALS)

"""What a packaged model answers to pictures, as plain values: the service sends it, `make read` prints it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pipeline.core.images import DIGIT_NAMES
from pipeline.core.readings import Readings, left_to_right
from pipeline.records.manifest import Manifest

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
    return {**answers(manifest, readings, [notes], every_class=True)[0], "model": identity(manifest)}


def answers(
    manifest: Manifest, readings: Readings, notes: Sequence[tuple[str, ...]], *, every_class: bool
) -> list[dict[str, Any]]:
    """The readings of n pictures, as `answer` gives them but without `model`.

    Args:
        manifest: of the model that read them.
        readings: of those n pictures.
        notes: what was done to each of them before.
        every_class: whether each slot has the `probabilities` of all classes. They are most of an answer's bytes.
    """
    if not manifest.positional:
        readings = left_to_right(readings, manifest.blank)
    names, blank, threshold = manifest.class_names, manifest.blank, manifest.threshold
    said = "digits" if reads_digits(manifest) else "class"
    # Whole arrays become lists at once: value by value it would take longer than the reading.
    classes = readings.classes.tolist()
    chosen = np.take_along_axis(readings.probabilities, readings.classes[..., None].astype(np.intp), axis=-1)[..., 0]
    probabilities = _rounded(chosen)
    rows = _rounded(readings.probabilities) if every_class else None
    boxes = None if readings.boxes is None else _rounded(readings.boxes)
    confidences = _rounded(readings.confidence)
    found = []
    for index, row in enumerate(classes):
        slots = []
        for slot, chosen_class in enumerate(row):
            slots.append({"class": names[chosen_class], "probability": probabilities[index][slot]})
            if rows is not None:
                slots[-1]["probabilities"] = dict(zip(names, rows[index][slot], strict=True))
            slots[-1]["box"] = None if boxes is None or chosen_class == blank else boxes[index][slot]
        found.append(
            {
                said: "".join(names[chosen_class] for chosen_class in row if chosen_class != blank),
                "slots": slots,
                "confidence": confidences[index],
                "accepted": None if threshold is None else float(readings.confidence[index]) >= threshold,
                "notes": list(notes[index]),
            }
        )
    return found


def reads_digits(manifest: Manifest) -> bool:
    """Whether its classes are digits, with or without a blank."""
    return manifest.class_names[: len(DIGIT_NAMES)] == DIGIT_NAMES


def asked(manifests: Iterable[Manifest], *, digits: bool) -> list[Manifest]:
    """Those of the models that are asked where digits, or else where classes of CIFAR-10, are wanted."""
    return [manifest for manifest in manifests if (reads_digits(manifest) if digits else manifest.task == "cifar10")]


def identity(manifest: Manifest) -> dict[str, Any]:
    """Which model it is: `task`, `strategy`, `sha256` of its file, `version` in the registry or None, and `origin`."""
    return {
        "task": manifest.task,
        "strategy": manifest.strategy,
        "sha256": manifest.model.sha256,
        "version": manifest.version,
        "origin": manifest.origin,
    }


def _rounded(values: np.ndarray) -> list:
    return np.round(values.astype(np.float64), DECIMALS).tolist()

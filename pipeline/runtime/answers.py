"""From a model's readings to the answers that the service sends and `make read` prints.

They are plain JSON values in the form of `pipeline.records.answer`: to build and to validate a record for every slot
takes longer than a small model. Tests validate them.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import JsonValue

from pipeline.core.decoding import NOTHING_TO_SEE
from pipeline.core.images import DIGIT_NAMES
from pipeline.core.readings import Readings, left_to_right
from pipeline.records.answer import Answer, ModelIdentity
from pipeline.records.manifest import Manifest

DECIMALS = 6
"""Of probabilities and pixels."""


def answer(manifest: Manifest, readings: Readings, notes: tuple[str, ...]) -> Answer:
    """The answer to one picture.

    Args:
        manifest: of the model that read it.
        readings: of that one picture.
        notes: how it was converted before.
    """
    return Answer.model_validate(answer_as_json(manifest, readings, notes))


def answer_as_json(manifest: Manifest, readings: Readings, notes: tuple[str, ...]) -> dict[str, JsonValue]:
    """`answer` in the form of `Answer`, not validated."""
    reading = readings_as_json(manifest, readings, [notes], every_class=True)[0]
    return {**reading, "model": ModelIdentity.of(manifest).as_json()}


def readings_as_json(
    manifest: Manifest, readings: Readings, notes: Sequence[tuple[str, ...]], *, every_class: bool
) -> list[dict[str, JsonValue]]:
    """The readings of n pictures in the form of `Reading`, not validated.

    Args:
        manifest: of the model that read them.
        readings: of those n pictures.
        notes: how each of them was converted before.
        every_class: whether each slot has the `probabilities` of all classes. They are most of an answer's bytes.
    """
    if not manifest.positional:
        readings = left_to_right(readings, manifest.blank)
    names, blank, threshold = manifest.class_names, manifest.blank, manifest.threshold
    key = "digits" if reads_digits(manifest) else "class"
    # Whole arrays become lists at once: value by value it would take longer than the model.
    classes = readings.classes.tolist()
    if every_class:
        of_classes = _rounded(readings.probabilities)
    else:
        index = readings.classes[..., None].astype(np.intp)
        of_chosen = _rounded(np.take_along_axis(readings.probabilities, index, axis=-1)[..., 0])
    boxes = None if readings.boxes is None else _rounded(readings.boxes)
    confidences = _rounded(readings.confidence)
    exact = readings.confidence.tolist()
    answers: list[dict[str, JsonValue]] = []
    for picture, row in enumerate(classes):
        slots: list[JsonValue] = []
        for slot, chosen in enumerate(row):
            box = None if boxes is None or chosen == blank else boxes[picture][slot]
            if every_class:
                probabilities = of_classes[picture][slot]
                slots.append(
                    {
                        "class": names[chosen],
                        "probability": probabilities[chosen],
                        "probabilities": dict(zip(names, probabilities, strict=True)),
                        "box": box,
                    }
                )
            else:
                slots.append({"class": names[chosen], "probability": of_chosen[picture][slot], "box": box})
        answers.append(
            {
                key: "".join([names[chosen] for chosen in row if chosen != blank]),
                "slots": slots,
                "confidence": confidences[picture],
                "accepted": _accepted(exact[picture], threshold, notes[picture]),
                "notes": list(notes[picture]),
            }
        )
    return answers


def _accepted(confidence: float, threshold: float | None, notes: tuple[str, ...]) -> bool | None:
    # What a model makes of a picture without contrast is no evidence, however sure it is.
    return None if threshold is None else confidence >= threshold and NOTHING_TO_SEE not in notes


def reads_digits(manifest: Manifest) -> bool:
    """Whether a model's classes are digits, with or without a blank."""
    return manifest.class_names[: len(DIGIT_NAMES)] == DIGIT_NAMES


def select(manifests: Iterable[Manifest], *, digits: bool) -> list[Manifest]:
    """The models that read digits, or those that classify CIFAR-10."""
    return [manifest for manifest in manifests if (reads_digits(manifest) if digits else manifest.task == "cifar10")]


def _rounded(values: np.ndarray) -> list:
    return values.astype(np.float64).round(DECIMALS).tolist()

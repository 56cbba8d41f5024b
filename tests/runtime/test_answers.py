"""Answers made of readings: rounded, ordered, in the form of the records."""

import numpy as np
import onnx_models
import pytest

from pipeline.core.images import STRIP_NAMES
from pipeline.core.readings import Readings
from pipeline.records.answer import Reading
from pipeline.records.manifest import Manifest
from pipeline.runtime.answers import answer, readings_as_json


def manifest(**changes):
    content = onnx_models.manifest(b"", **{key: changes.pop(key) for key in ("task",) if key in changes})
    return Manifest.model_validate(content | changes)


def readings(classes, confidence=0.5):
    probabilities = np.full((*np.shape(classes), 11), 0.01234567, np.float32)
    classes = np.array(classes, np.uint8)
    np.put_along_axis(probabilities, classes[..., None].astype(int), 0.8765432, axis=-1)
    return Readings(probabilities, classes, np.full(len(classes), confidence, np.float32))


@pytest.mark.parametrize("every_class", [True, False])
def test_what_is_built_is_a_valid_record(every_class):
    notes = [("turned",), ()]
    built = readings_as_json(manifest(), readings([[1, 2, 10, 3, 10], [10] * 5]), notes, every_class=every_class)
    first, second = (Reading.model_validate(each) for each in built)
    assert (first.digits, second.digits) == ("123", "")
    assert (first.notes, second.notes) == (("turned",), ())
    assert first.slots[0].probability == 0.876543, "six decimals"
    for slot in first.slots:
        assert (slot.probabilities is not None) == every_class
        if every_class:
            assert tuple(slot.probabilities) == STRIP_NAMES
            assert slot.probabilities[slot.class_] == slot.probability


@pytest.mark.parametrize(("threshold", "accepted"), [(0.5, True), (0.51, False), (None, None)])
def test_a_reading_is_accepted_from_the_threshold_on(threshold, accepted):
    coverage = onnx_models.manifest(b"")["coverage"] | {"threshold": threshold}
    assert answer(manifest(coverage=coverage), readings([[1] * 5]), ()).accepted is accepted


def test_a_model_without_digits_answers_with_a_class():
    found = Readings(np.full((1, 1, 10), 0.1, np.float32), np.array([[3]], np.uint8), np.array([0.1], np.float32))
    (built,) = readings_as_json(manifest(task="cifar10"), found, [()], every_class=False)
    assert Reading.model_validate(built).class_ == "cat"
    assert "digits" not in built

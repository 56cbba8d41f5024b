import numpy as np
import predictions
import pytest

from pipeline.core.images import STRIP_NAMES
from pipeline.monitoring import statistics
from pipeline.monitoring.statistics import BINS, bins_of, value_of
from pipeline.records.monitoring import Prediction

NAMES = (*statistics.MEASURES, *(f"class {name}" for name in STRIP_NAMES[:10]))


def of(**changes):
    line = predictions.prediction(0, np.random.default_rng(0), time=1.0, **changes)
    Prediction.model_validate(line)
    return dict(zip(NAMES, bins_of(line, NAMES), strict=True))


def test_every_value_has_a_bin():
    for confidence in (None, 0.0, 1e-9, 0.5, 0.999999, 1.0):
        for share in (None, 0.0, 0.5, 1.0):
            bright = None if share is None else 255 * share
            shift = 1.0 if confidence is None else 1 - confidence
            found = of(confidence=confidence, shift=shift, ink=share, brightness=bright, height=1, width=16_000_000)
            assert all(0 <= bin_ < BINS for bin_ in found.values())
            assert all(value_of(name, bin_) for name, bin_ in found.items())


def test_classes_are_counted_in_the_reading():
    found = of(reading="77\n170")
    assert (found["class 7"], found["class 1"], found["class 0"], found["class 9"]) == (3, 1, 1, 0)
    assert found["length"] == 5
    line = predictions.prediction(0, np.random.default_rng(0), time=1.0, reading="ship")
    assert bins_of(line, ["class ship", "class automobile"]) == [1, 0]


@pytest.mark.parametrize(
    ("statistic", "before", "after"),
    [
        ("confidence", {"confidence": 0.9}, {"confidence": 0.99}),
        ("shift", {"shift": 0.2}, {"shift": 0.02}),
        ("accepted", {"accepted": False}, {"accepted": True}),
        ("ink", {"ink": 0.1}, {"ink": 0.2}),
        ("brightness", {"brightness": 20}, {"brightness": 40}),
        ("area", {"height": 28}, {"height": 56}),
        ("aspect", {"width": 140}, {"width": 280}),
    ],
)
def test_a_value_that_differs_is_in_another_bin(statistic, before, after):
    assert of(**before)[statistic] < of(**after)[statistic]


def test_the_classes_share_the_false_alarms_of_one_statistic():
    weights = statistics.weights(NAMES)
    assert weights.sum() == pytest.approx(1)
    assert weights[8:].sum() == pytest.approx(weights[0])

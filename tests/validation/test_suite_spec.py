"""The specification of a suite is what params.yaml requires of it."""

import pytest
from noise_suites import spec

from pipeline.config.sections import (
    LabelledSceneSuite,
    LabelledSuite,
    LineSuite,
    SceneSuite,
    SplitSuite,
    StripSuite,
    Validation,
)
from pipeline.core.images import DIGIT_NAMES, STRIP_NAMES
from pipeline.validation.suite_spec import SuiteSpec

BOUNDS = Validation(class_share=[0.5, 2.0], constant_share=0.1)
STRIPS = {"task": "strips", "source": "mnist/mnist", "rounds": 1}


@pytest.mark.parametrize(
    ("suite", "expected"),
    [
        (SplitSuite(task="cifar10", source="raw/cifar10", train=1, valid=1, gate=1, test=1), {}),
        (StripSuite(**STRIPS, digits=[0, 5], jitter=False, clutter=False), {"digits": (0, 5)}),
        (
            StripSuite(**STRIPS, digits=[5, 5], jitter=True, clutter=True),
            {"digits": (5, 5), "jitter": True, "clutter": True},
        ),
        (
            SceneSuite(task="scenes", source="mnist/mnist", rounds=2, digits=[1, 8], clutter=True),
            {"digits": (1, 8), "clutter": True},
        ),
        (LineSuite(task="lines", source="mnist/mnist", train=1, valid=1, gate=1, test=1), {"digits": (1, 10)}),
        (
            LabelledSuite(task="lines", source="raw/cheques", labels="published", recomposed=0),
            {"digits": (1, 10), "labelled": True},
        ),
        (LabelledSceneSuite(task="scenes", source="raw/shelf"), {"digits": (1, 8), "labelled": True}),
    ],
    ids=["splits", "strips", "jittered-strips", "scenes", "lines", "labelled-lines", "labelled-scenes"],
)
def test_the_specification_of_a_suite(suite, expected):
    found = SuiteSpec.from_params("mine", suite, BOUNDS)
    assert found == SuiteSpec("mine", suite.task, (0.5, 2.0), 0.1, **expected)


def test_the_classes_of_a_slot():
    assert spec("cifar10").classes_of(0, ("cat", "dog")) == ("cat", "dog")
    assert spec("plain").classes_of(4, STRIP_NAMES) == DIGIT_NAMES
    assert spec("blanks").classes_of(0, STRIP_NAMES) == STRIP_NAMES
    scenes = spec("scenes", digits=(2, 8))
    assert [len(scenes.classes_of(slot, STRIP_NAMES)) for slot in (0, 1, 2, 7)] == [10, 10, 11, 11]
    assert (scenes.label_columns[0], scenes.label_columns[-1]) == ("slot_1", "slot_8")
    lines = spec("lines", digits=(1, 10))
    assert [len(lines.classes_of(slot, STRIP_NAMES)) for slot in (0, 1, 9)] == [10, 11, 11]
    assert lines.label_columns[-1] == "slot_10"
    assert spec("mnist").label_columns == ["label"]

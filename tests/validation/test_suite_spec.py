"""The specification of a suite is what params.yaml requires of it."""

from pathlib import Path

import pytest
from noise_suites import spec

from pipeline.config import params
from pipeline.core.images import DIGIT_NAMES, STRIP_NAMES
from pipeline.validation.suite_spec import SuiteSpec

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "task", "digits", "jitter", "clutter"),
    [
        ("mnist", "mnist", None, False, False),
        ("plain", "strips", (5, 5), False, False),
        ("clutter", "strips", (5, 5), True, True),
        ("scenes", "scenes", (1, 8), False, True),
    ],
)
def test_a_suite_of_params(name, task, digits, jitter, clutter):
    settings = params.load(ROOT / "params.yaml")
    found = SuiteSpec.from_params(name, settings.suites[name], settings.validation)
    assert found == SuiteSpec(name, task, (0.5, 2.0), 0.0, digits=digits, jitter=jitter, clutter=clutter)


def test_the_classes_of_a_slot():
    assert spec("cifar10").classes_of(0, ("cat", "dog")) == ("cat", "dog")
    assert spec("plain").classes_of(4, STRIP_NAMES) == DIGIT_NAMES
    assert spec("blanks").classes_of(0, STRIP_NAMES) == STRIP_NAMES
    scenes = spec("scenes", digits=(2, 8))
    assert [len(scenes.classes_of(slot, STRIP_NAMES)) for slot in (0, 1, 2, 7)] == [10, 10, 11, 11]
    assert (scenes.label_columns[0], scenes.label_columns[-1]) == ("slot_1", "slot_8")
    assert spec("mnist").label_columns == ["label"]

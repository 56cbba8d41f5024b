"""The gates, criterion by criterion: requirements, budgets, floors, and the contest with the champion."""

import numpy as np
import pytest

from pipeline.config.sections import Gates, TaskGate
from pipeline.core.images import DIGIT_NAMES, STRIP_NAMES, ImageSet
from pipeline.core.readings import Readings
from pipeline.evaluation.evaluated import Evaluated
from pipeline.records.robustness import Shift
from pipeline.registry import gates

BOUNDS = {"floor": 0.9, "ece": 0.05, "accepted_wrong": 0.1, "milliseconds": 10.0, "megabytes": 5.0}
POLICY = Gates.model_validate(
    {
        "confidence": 0.95,
        "resamples": 4000,
        "seed": 1,
        "slice_pictures": 50,
        "staging": {"allowed_loss": 0.02, "suite_loss": 0.04, "slice_loss": 0.1, "shift_loss": 0.03},
        "prod": {"allowed_loss": 0.01, "suite_loss": 0.025, "slice_loss": 0.05, "shift_loss": 0.01},
        "tasks": {"mnist": BOUNDS, "strips": BOUNDS},
    }
)


def digits(n, seed=8):
    labels = np.random.default_rng(seed).integers(0, 10, (n, 1)).astype(np.uint8)
    return ImageSet(np.zeros((n, 2, 2, 1), np.uint8), labels, DIGIT_NAMES, "mnist")


def evaluated(correct, pictures, confidence=None):
    """What a model read, given which of its readings are correct."""
    confidence = np.full(len(correct), correct.mean() if confidence is None else confidence, np.float32)
    classes = np.where(correct[:, None], pictures.labels, 9 - pictures.labels).astype(np.uint8)
    return Evaluated.of(Readings(np.zeros((*classes.shape, 10), np.float32), classes, confidence), pictures)


def outcomes(correct, pictures, suite="mnist"):
    return {suite: evaluated(correct, pictures)}


def failed(criteria):
    return {criterion.name for criterion in criteria if not criterion.passed}


def test_a_version_of_real_data_meets_every_requirement(evidence):
    criteria = gates.requirements(evidence)
    assert [criterion.name for criterion in criteria] == ["origin", "pretrained", "validation", "parity"]
    assert failed(criteria) == set()


@pytest.mark.parametrize(
    ("changes", "name", "found"),
    [
        ({"origin": "embedded"}, "origin", "embedded"),
        ({"pretrained": "missing"}, "pretrained", "missing"),
        ({"validation": {"strips/plain": False, "strips/blanks": True}}, "validation", "strips/plain"),
        ({"validation": {}}, "validation", ""),
        ({"parity": {"plain": False, "blanks": True}}, "parity", "plain"),
        ({"parity": {}}, "parity", ""),
    ],
)
def test_each_requirement_fails_alone(evidence, changes, name, found):
    criteria = gates.requirements(evidence.model_copy(update=changes))
    assert failed(criteria) == {name}
    assert found in next(criterion.found for criterion in criteria if criterion.name == name)


def test_size_and_latency_have_a_budget(evidence):
    large = evidence.model_copy(update={"bytes": 5_000_001})
    assert failed(gates.budgets(POLICY, evidence, 10.0)) == set()
    assert failed(gates.budgets(POLICY, large, 10.1)) == {"size", "latency"}
    assert gates.budgets(POLICY, large, 10.1)[0].figures == {"bytes": 5_000_001}


def test_the_floor_is_below_the_interval_and_not_below_the_share():
    pictures = digits(300)
    enough = np.arange(300) >= 12
    close = np.arange(300) >= 27
    assert enough.mean() == 0.96
    assert close.mean() == 0.91
    assert failed(gates.floors(POLICY, "mnist", outcomes(enough, pictures))) == set()
    criteria = gates.floors(POLICY, "mnist", outcomes(close, pictures))
    assert failed(criteria) == {"sequence_accuracy"}
    assert criteria[0].figures["share"] == 0.91
    assert criteria[0].figures["low"] < 0.9 < criteria[0].figures["high"]


def test_the_worst_suite_decides_on_the_calibration_error():
    pictures, correct = digits(300), np.arange(300) >= 12
    both = {"good": evaluated(correct, pictures, 0.96), "bad": evaluated(correct, pictures, 0.86)}
    criteria = gates.floors(POLICY, "mnist", both)
    assert failed(criteria) == {"ece"}
    assert criteria[1].figures == pytest.approx({"good": 0, "bad": 0.1}, abs=1e-6)


def shifted(evidence, **changes):
    """The version with other figures on corrupted pictures."""
    shift = Shift(
        pictures=9000,
        clean_accuracy=0.98,
        clean_accepted=0.95,
        accuracy=0.8,
        accepted=0.6,
        accepted_wrong=0.02,
        worst=0.06,
        worst_on="plain fog 5",
    )
    return evidence.model_copy(update={"shift": shift.model_copy(update=changes)})


def test_the_worst_corruption_decides_on_what_is_accepted_and_wrong(evidence):
    assert gates.accepted_wrong(POLICY, shifted(evidence, worst=0.1)).passed
    criterion = gates.accepted_wrong(POLICY, shifted(evidence, worst=0.1001))
    assert not criterion.passed
    assert criterion.figures == {"worst": 0.1001, "mean": 0.02}
    assert "plain fog 5" in criterion.found


def test_a_version_without_figures_on_corrupted_pictures_does_not_pass(evidence):
    before = evidence.model_copy(update={"shift": None})
    assert not gates.accepted_wrong(POLICY, before).passed
    for pair in ((before, shifted(evidence)), (shifted(evidence), before)):
        criteria, notes = gates.shift_contest(POLICY, "prod", *pair)
        assert criteria == []
        assert len(notes) == 1


@pytest.mark.parametrize(
    ("changes", "staging", "prod"),
    [
        pytest.param({}, set(), set(), id="equal"),
        pytest.param({"accuracy": 0.99, "accepted_wrong": 0.0}, set(), set(), id="better"),
        pytest.param({"accuracy": 0.79, "accepted_wrong": 0.03}, set(), set(), id="as much worse as allowed"),
        pytest.param({"accuracy": 0.78}, set(), {"shift accuracy"}, id="less accurate"),
        pytest.param({"accuracy": 0.76}, {"shift accuracy"}, {"shift accuracy"}, id="much less accurate"),
        pytest.param({"accepted_wrong": 0.031}, set(), {"shift accepted_wrong"}, id="accepts more errors"),
    ],
)
def test_a_challenger_must_not_be_worse_on_corrupted_pictures(evidence, changes, staging, prod):
    champion = shifted(evidence)
    for stage, expected in (("staging", staging), ("prod", prod)):
        criteria, notes = gates.shift_contest(POLICY, stage, shifted(evidence, **changes), champion)
        assert failed(criteria) == expected
        assert notes == []


def test_a_caller_of_the_champion_can_call_the_challenger(evidence):
    assert gates.interface(evidence, evidence).passed
    other = evidence.interface.model_copy(update={"class_names": (*STRIP_NAMES[:9], "nine", "blank")})
    criterion = gates.interface(evidence.model_copy(update={"interface": other}), evidence)
    assert not criterion.passed
    assert "'nine'" in criterion.found
    assert "'nine'" not in criterion.expected


def test_the_number_of_pictures_in_a_batch_is_no_part_of_the_interface(evidence):
    (images,) = evidence.interface.inputs
    other = evidence.interface.model_copy(
        update={"inputs": (images.model_copy(update={"shape": ("batch", *images.shape[1:])}),)}
    )
    assert gates.interface(evidence.model_copy(update={"interface": other}), evidence).passed


def test_one_class_that_is_read_worse_is_found_behind_a_mean_that_is_as_good():
    pictures = digits(2000)
    champion = np.random.default_rng(9).random(2000) < 0.9
    ours, third = champion.copy(), pictures.labels[:, 0] == 3
    lost = np.flatnonzero(third & champion)[:30]
    ours[lost], ours[np.flatnonzero(~third & ~champion)[:30]] = False, True
    criteria, notes = gates.contest(POLICY, "prod", outcomes(ours, pictures), {"mnist": champion}, [])
    assert failed(criteria) == {"slice mnist, class 3"}
    assert criteria[0].name == "difference"
    assert criteria[0].figures["discordant"] == 0.03
    assert "power: 2000 pictures" in notes[0]


def test_each_stage_has_its_own_allowed_loss():
    pictures = digits(2000)
    champion = np.ones(2000, bool)
    ours = np.arange(2000) >= 20
    for stage, expected in (("staging", set()), ("prod", {"difference"})):
        assert failed(gates.contest(POLICY, stage, outcomes(ours, pictures), {"mnist": champion}, [])[0]) == expected


@pytest.mark.parametrize(("allowed", "expected"), [(None, set()), (0.5, set()), (0.004, {"difference"})])
def test_a_task_with_few_errors_allows_less(allowed, expected):
    pictures = digits(2000)
    champion = np.ones(2000, bool)
    ours = np.arange(2000) >= 14
    task = TaskGate.model_validate(BOUNDS | {"allowed_loss": allowed})
    criteria, _ = gates.contest(POLICY, "staging", outcomes(ours, pictures), {"mnist": champion}, [], task)
    assert failed(criteria) == expected


def test_each_of_several_suites_has_a_criterion():
    pictures = digits(400)
    champion = np.ones(400, bool)
    ours = {"a": evaluated(champion, pictures), "b": evaluated(np.arange(400) >= 40, pictures)}
    criteria, _ = gates.contest(POLICY, "staging", ours, {"a": champion, "b": champion}, [])
    assert failed(criteria) == {"difference", "suite b"}
    assert "suite a" in {criterion.name for criterion in criteria}


def test_small_slices_are_counted_and_not_judged():
    pictures = digits(300)
    correct = np.ones(300, bool)
    criteria, notes = gates.contest(POLICY, "prod", outcomes(~correct, pictures), {"mnist": correct}, [])
    assert not [criterion for criterion in criteria if criterion.name.startswith("slice")]
    assert notes[1].startswith("10 slices have fewer than 50 pictures")


def test_a_suite_that_the_champion_reads_must_be_read():
    correct = np.ones(300, bool)
    criteria, _ = gates.contest(POLICY, "prod", outcomes(correct, digits(300)), {"mnist": correct}, ["clutter"])
    assert failed(criteria) == {"suite clutter"}


def test_slices_of_strips_are_numbers_of_digits():
    labels = np.full((4, 5), 10, np.uint8)
    labels[0, :2], labels[1, :2], labels[2, 0] = 1, 2, 3
    strips = ImageSet(np.zeros((4, 2, 2, 1), np.uint8), labels, STRIP_NAMES, "mnist")
    found = gates.slices(strips)
    assert {name: chosen.tolist() for name, chosen in found.items()} == {
        "0 digits": [False, False, False, True],
        "1 digits": [False, False, True, False],
        "2 digits": [True, True, False, False],
    }
    assert gates.slices(strips.take(slice(0, 2))) == {}, "pictures of one number of digits are one slice, the suite"

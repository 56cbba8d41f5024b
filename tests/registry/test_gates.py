"""The figures that decide: intervals, power and slices against simulation, and what follows from a row of tags."""

import json

import numpy as np
import pytest

from pipeline.config import sections
from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT_NAMES, STRIP_NAMES, ImageSet
from pipeline.registry import gates
from pipeline.registry.comparison import paired, share
from pipeline.registry.history import Journal
from pipeline.registry.outcomes import Outcomes
from pipeline.registry.repository import Tag

POLICY = sections.Gates.model_validate(
    {
        "confidence": 0.95,
        "resamples": 4000,
        "seed": 1,
        "slice_pictures": 50,
        "staging": {"allowed_loss": 0.02, "suite_loss": 0.04, "slice_loss": 0.1},
        "prod": {"allowed_loss": 0.01, "suite_loss": 0.025, "slice_loss": 0.05},
        "tasks": {"mnist": {"floor": 0.9, "ece": 0.05, "milliseconds": 10.0, "megabytes": 5.0}},
    }
)
HOW = {"confidence": 0.95, "resamples": 4000, "seed": 1}


def pairs(generator, n, gained, lost):
    """Outcomes of a challenger and a champion, of which each alone reads the given shares."""
    kind = generator.choice(3, n, p=[gained, lost, 1 - gained - lost])
    both = generator.random(n) < 0.9
    return np.where(kind == 2, both, kind == 0), np.where(kind == 2, both, kind == 1)


def test_the_interval_is_that_of_drawing_pictures_with_both_outcomes():
    ours, theirs = pairs(np.random.default_rng(3), 800, 0.06, 0.03)
    found = paired({"plain": ours}, {"plain": theirs}, **HOW)
    difference = ours.astype(float) - theirs
    drawn = np.random.default_rng(4).integers(0, 800, (4000, 800))
    low, high = np.quantile(difference[drawn].mean(axis=1), [0.025, 0.975])
    assert found.difference == pytest.approx(difference.mean())
    assert found.low == pytest.approx(low, abs=0.002)
    assert found.high == pytest.approx(high, abs=0.002)


def test_the_interval_covers_the_true_difference_as_often_as_it_says():
    generator, covered = np.random.default_rng(5), 0
    for seed in range(400):
        ours, theirs = pairs(generator, 600, 0.05, 0.02)
        found = paired({"plain": ours}, {"plain": theirs}, confidence=0.95, resamples=1000, seed=seed)
        covered += found.low <= 0.03 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_the_detectable_difference_shows_four_times_in_five():
    generator, seen, n = np.random.default_rng(6), 0, 1000
    discordant = 0.08
    detectable = 2.8016 * np.sqrt(discordant / n)
    for seed in range(400):
        gained = (discordant + detectable) / 2
        ours, theirs = pairs(generator, n, gained, discordant - gained)
        found = paired({"plain": ours}, {"plain": theirs}, confidence=0.95, resamples=1000, seed=seed)
        assert found.detectable == pytest.approx(detectable, rel=0.4)
        seen += not found.low <= 0 <= found.high
    assert 0.74 <= seen / 400 <= 0.87


def test_suites_count_alike_whatever_their_size():
    right, wrong = np.ones(1000, bool), np.zeros(100, bool)
    found = paired({"a": right, "b": ~wrong}, {"a": right, "b": wrong}, **HOW)
    assert found.challenger == 1
    assert found.champion == 0.5
    assert found.difference == found.low == found.high == 0.5
    assert found.pictures == 1100


def test_equal_models_differ_by_nothing():
    right = np.random.default_rng(7).random(500) < 0.9
    found = paired({"plain": right}, {"plain": right}, **HOW)
    assert (found.difference, found.low, found.high, found.detectable) == (0, 0, 0, 0)


@pytest.mark.parametrize("theirs", [{}, {"b": np.ones(3, bool)}, {"a": np.ones(2, bool)}])
def test_what_cannot_be_compared_is_an_error(theirs):
    with pytest.raises(DataError):
        paired({"a": np.ones(3, bool)}, theirs, **HOW)


def test_a_share_of_all_right_is_not_certain():
    mean, low, high = share({"plain": np.ones(100, bool)}, confidence=0.95)
    assert (mean, high) == (1, 1)
    assert 0.94 < low < 0.98


def digits(n, seed=8):
    labels = np.random.default_rng(seed).integers(0, 10, (n, 1)).astype(np.uint8)
    return ImageSet(np.zeros((n, 2, 2, 1), np.uint8), labels, DIGIT_NAMES, "mnist")


def outcomes(right, pictures, suite="mnist"):
    confidence = np.full(len(right), right.mean(), np.float32)
    return Outcomes({suite: right}, {suite: confidence}, {suite: pictures}, {suite: "md5"})


def test_one_class_that_is_read_worse_is_found_behind_a_mean_that_is_as_good():
    pictures = digits(2000)
    champion = np.random.default_rng(9).random(2000) < 0.9
    ours, third = champion.copy(), pictures.labels[:, 0] == 3
    lost = np.flatnonzero(third & champion)[:30]
    ours[lost], ours[np.flatnonzero(~third & ~champion)[:30]] = False, True
    checks, notes = gates.contest(POLICY, "prod", outcomes(ours, pictures), {"mnist": champion}, [])
    assert [check.name for check in checks if not check.passed] == ["slice mnist, class 3"]
    assert checks[0].name == "difference"
    assert checks[0].passed
    assert "power: 2000 pictures, of which 3.0 %" in notes[0]


def test_small_slices_are_counted_and_not_judged():
    pictures = digits(300)
    right = np.ones(300, bool)
    _, notes = gates.contest(POLICY, "prod", outcomes(~right, pictures), {"mnist": right}, [])
    assert notes[1] == "10 slices have fewer than 50 pictures and were not judged"


def test_a_suite_that_the_champion_reads_must_be_read():
    right = np.ones(300, bool)
    checks, _ = gates.contest(POLICY, "prod", outcomes(right, digits(300)), {"mnist": right}, ["clutter"])
    (failed,) = [check for check in checks if not check.passed]
    assert (failed.name, failed.found) == ("suite clutter", "not read")


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
    assert gates.slices(strips.take(slice(0, 2))) == {}, "of one number there is one slice, the suite itself"


REVISIONS = {version: digit * 40 for version, digit in (("v0.1.0", "a"), ("v0.2.0", "b"), ("v0.3.0", "c"))}


def journal(*names):
    """Of tags such as `x#prod#1 v0.1.0`, with a word for another kind of message, a second apart."""
    tags = [
        Tag(f"x@{version}", revision, "Ada <a@b>", index, "{}")
        for index, (version, revision) in enumerate(REVISIONS.items())
    ]
    for seconds, entry in enumerate(names, 10):
        name, version, *kind = entry.split()
        message = json.dumps({"kind": kind[0], "version": version} if kind else {"kind": "promotion"})
        tags.append(Tag(name, REVISIONS[version], "Ada <a@b>", seconds, message))
    return Journal.of(tags)


@pytest.mark.parametrize(
    ("tags", "stack"),
    [
        ([], []),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0"], ["v0.1.0", "v0.2.0"]),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.1.0 rollback"], ["v0.1.0"]),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.1.0"], ["v0.1.0", "v0.2.0", "v0.1.0"]),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.3.0", "x#prod#4 v0.2.0 rollback",
          "x#prod#5 v0.1.0 rollback"], ["v0.1.0"]),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.1.0 rollback", "x#prod#4 v0.3.0"], ["v0.1.0", "v0.3.0"]),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod!#3 v0.2.0"], ["v0.1.0"]),
        (["x#prod#1 v0.1.0", "x#staging#1 v0.2.0", "refused/x/prod/1 v0.3.0 refusal"], ["v0.1.0"]),
        (["x#prod#1 v0.1.0", "y#prod#1 v0.2.0"], ["v0.1.0"]),
    ],
)  # fmt: skip
def test_the_stack_of_champions(tags, stack):
    found = journal(*tags)
    assert found.stack("x", "prod") == stack
    assert found.in_stage("x", "prod") == (stack[-1] if stack else None)
    assert found.in_stage("x", "prod", at=10) == ("v0.1.0" if tags else None)


@pytest.mark.parametrize(
    ("tags", "out"),
    [
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0"], {}),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.1.0 rollback"], {"v0.2.0": "x#prod#3"}),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod#3 v0.1.0 rollback", "x#prod#4 v0.2.0"], {}),
        (["x#prod#1 v0.1.0", "x#prod#2 v0.2.0", "x#prod!#3 v0.2.0"], {"v0.2.0": "x#prod!#3"}),
        (["x#prod#1 v0.2.0", "x#prod#2 v0.1.0", "x#prod#3 v0.2.0", "x#prod#4 v0.1.0 rollback"],
         {"v0.2.0": "x#prod#4"}),
        (["x#prod#1 v0.2.0", "x#prod#2 v0.1.0", "x#prod#3 v0.2.0", "x#prod#4 v0.1.0 rollback",
          "x#prod#5 v0.2.0 rollback"], {"v0.1.0": "x#prod#5"}),
    ],
)  # fmt: skip
def test_what_was_taken_out_of_a_stage_and_did_not_come_back(tags, out):
    found = journal(*tags)
    taken = {version: found.taken_out("x", "prod", version) for version in REVISIONS}
    assert {version: event.tag for version, event in taken.items() if event} == out


def test_tags_are_numbered_stage_by_stage_and_refusals_apart():
    found = journal("x#prod#1 v0.1.0", "x#staging#1 v0.2.0", "x#prod!#2 v0.1.0", "refused/x/prod/1 v0.3.0 refusal")
    assert found.next_tag("x", "prod") == "x#prod#3"
    assert found.next_tag("x", "staging") == "x#staging#2"
    assert found.next_tag("x", "prod", refused=True) == "refused/x/prod/2"
    assert found.next_tag("y", "dev") == "y#dev#1"


def test_a_version_that_gto_withdrew_is_none():
    found = journal("x@v0.3.0! v0.3.0")
    assert [event.version for event in found.versions("x")] == ["v0.1.0", "v0.2.0"]

"""The paired bootstrap against simulation: intervals, power, and means of several runs."""

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.evaluation.bootstrap import mean_difference, paired, resampled_means, share

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


def test_the_interval_covers_the_true_difference_as_often_as_it_claims():
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
    all_correct, none = np.ones(1000, bool), np.zeros(100, bool)
    found = paired({"a": all_correct, "b": ~none}, {"a": all_correct, "b": none}, **HOW)
    assert found.challenger == 1
    assert found.champion == 0.5
    assert found.difference == found.low == found.high == 0.5
    assert found.pictures == 1100


def test_equal_models_differ_by_nothing():
    correct = np.random.default_rng(7).random(500) < 0.9
    found = paired({"plain": correct}, {"plain": correct}, **HOW)
    assert (found.difference, found.low, found.high, found.detectable) == (0, 0, 0, 0)


@pytest.mark.parametrize("theirs", [{}, {"b": np.ones(3, bool)}, {"a": np.ones(2, bool)}])
def test_what_cannot_be_compared_is_an_error(theirs):
    with pytest.raises(DataError):
        paired({"a": np.ones(3, bool)}, theirs, **HOW)


def test_an_accuracy_of_100_percent_is_not_certain():
    mean, low, high = share({"plain": np.ones(100, bool)}, confidence=0.95)
    assert (mean, high) == (1, 1)
    assert 0.94 < low < 0.98


def test_the_mean_of_differences_has_the_interval_of_drawn_pictures():
    generator = np.random.default_rng(9)
    differences = (generator.random((3, 600)) < 0.9).mean(axis=0) - (generator.random((3, 600)) < 0.85).mean(axis=0)
    drawn = np.random.default_rng(10).integers(0, 600, (4000, 600))
    expected = np.quantile(differences[drawn].mean(axis=1), [0.025, 0.975])
    mean, low, high = mean_difference(differences, resamples=4000, seed=0)
    assert mean == pytest.approx(differences.mean())
    assert (low, high) == pytest.approx(expected, abs=0.002)
    assert (mean, low, high) == mean_difference(differences, resamples=4000, seed=0), "the seed fixes the interval"


def test_equal_differences_have_an_interval_of_no_width():
    assert mean_difference(np.full(5, 0.25), resamples=100, seed=0) == (0.25, 0.25, 0.25)


def test_resampled_means_are_of_as_many_draws_as_there_are_values():
    means = resampled_means(np.array([0, 1]), np.array([3, 1]), 1000, np.random.default_rng(0))
    assert set(np.unique(means)) <= {0, 0.25, 0.5, 0.75, 1}
    assert means.mean() == pytest.approx(0.25, abs=0.03)

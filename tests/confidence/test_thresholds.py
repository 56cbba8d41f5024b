"""Thresholds against cases worked out by hand."""

import numpy as np
import pytest

from pipeline.confidence.thresholds import Outcomes, choose, risk_threshold


def outcomes(n, wrong=()):
    """Confidences that rise evenly to 1, and errors at the given places from the top."""
    correct = np.ones(n, bool)
    correct[[n - 1 - place for place in wrong]] = False
    return Outcomes(np.linspace(1 / n, 1, n), correct)


def test_three_errors_in_400_may_be_accepted_and_the_threshold_is_just_above_the_fourth():
    # (3 + 1) / (400 + 1) is at most a hundredth, (4 + 1) / 401 is not.
    found = outcomes(400, wrong=(10, 40, 90, 120, 300))
    threshold = risk_threshold(found)
    assert threshold == pytest.approx(280 / 400, abs=2e-6)
    assert found.accepted_wrong(threshold) == 3 / 400
    assert found.accepted(threshold) == 120 / 400


def test_with_few_errors_everything_may_be_accepted():
    assert risk_threshold(outcomes(400, wrong=(1, 2, 200))) == 0


def test_98_pictures_are_too_few_to_show_one_percent():
    assert risk_threshold(outcomes(98)) is None
    assert risk_threshold(outcomes(99)) == 0


def test_the_risk_of_a_new_picture_is_at_most_the_bound_on_average():
    random = np.random.default_rng(0)
    risks = []
    for _ in range(2000):
        confidence = random.uniform(size=200)
        # An error is as probable as the model is unsure, and more so.
        threshold = risk_threshold(Outcomes(confidence, random.uniform(size=200) < confidence))
        # Of all readings, those above the threshold that are wrong: the integral of 1 - c from the threshold to 1.
        risks.append((1 - threshold) ** 2 / 2)
    # The mean of 2,000 draws is within 0.0004 of the expectation.
    assert 0.009 < np.mean(risks) <= 0.0104


def test_errors_at_full_confidence_leave_no_threshold():
    surest = Outcomes(np.ones(400), np.arange(400) > 5)
    assert risk_threshold(surest) is None


def test_the_strictest_condition_decides():
    familiar = outcomes(2000)
    assert choose(familiar, {"mild": outcomes(400)}) == (pytest.approx(1 / 2000, abs=1e-6), "accuracy")
    threshold, name = choose(familiar, {"mild": outcomes(400), "hard": outcomes(400, wrong=(5, 10, 20, 40))})
    assert (threshold, name) == (pytest.approx(0.9, abs=2e-6), "hard")


def test_where_one_condition_cannot_be_met_nothing_is_accepted():
    assert choose(outcomes(100), {"mild": outcomes(400)}) == (None, "accuracy")
    assert choose(outcomes(2000), {"few": outcomes(50)}) == (None, "few")

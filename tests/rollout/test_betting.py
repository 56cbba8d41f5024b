"""The sequential tests: wrong as rarely as they say, however often they are looked at, and soon done."""

import itertools

import numpy as np
import pytest

from pipeline.records.rollout import Bounds, Observation
from pipeline.rollout.betting import Bettor, TwoSided
from pipeline.rollout.trial import Trial

_PICTURES = itertools.count()


def seen(**changes):
    """An observation of a new picture, which both models read alike."""
    given = {"served": "12", "candidate": "12", "accepted": (True, True), "milliseconds": (1.0, 1.0)}
    return Observation(picture=str(next(_PICTURES)), **(given | changes))


@pytest.mark.parametrize("bound", [0.05, 0.5])
def test_at_the_bound_the_capital_rarely_ever_reaches_1_in_the_error_rate(bound):
    """Ville's inequality, looked at after each of 300 observations, 100 times."""
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(100):
        bettor = Bettor(bound)
        for value in generator.random(300) < bound:
            bettor.observe(float(value))
            if bettor.capital >= 20:
                alarms += 1
                break
    # 5 are expected at most; more than this have a probability of 1 % even then.
    assert alarms <= 10


def test_a_mean_may_change_and_stay_below_the_bound():
    """The observations need not be of one distribution: here the worst one that the hypothesis allows, alternating."""
    generator = np.random.default_rng(1)
    bettor = Bettor(0.5)
    for step in range(5000):
        bettor.observe(float(generator.random() < (0.1 if step % 2 else 0.5)))
        assert bettor.capital < 100


def test_evidence_is_the_product_of_bets():
    bettor = Bettor(0.5)
    assert bettor.capital == pytest.approx(1)
    for value in (0.5, 0.5):
        bettor.observe(value)
    assert bettor.capital == pytest.approx(1), "what is expected is no evidence"
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 1"):
            bettor.observe(value)
    with pytest.raises(ValueError, match="above 0 and below 1"):
        Bettor(1.0)


def test_a_range_is_scaled():
    test = TwoSided(0.02, -1.0, 1.0)
    for value in (-1.0, 0.0, 1.0, 1.0):
        test.observe(value)
    assert (test.n, test.mean) == (4, pytest.approx(0.25))


@pytest.mark.parametrize(
    ("changes", "criterion", "most"),
    [
        ({"candidate": "13"}, "disagreement", 3),
        ({"candidate": None, "milliseconds": None}, "disagreement", 3),
        ({"accepted": (True, False)}, "accepted_loss", 14),
        ({"milliseconds": (1.0, 1.6)}, "slow", 14),
    ],
)
def test_what_is_always_wrong_is_found_within_so_many_pictures(changes, criterion, most):
    trial = Trial(Bounds())
    for _ in range(most):
        assert trial.reason_to_take_back() is None
        trial.observe(seen(**changes))
    assert trial.reason_to_take_back().startswith(criterion)
    assert not trial.passed()


def test_what_is_alike_passes_and_more_often_the_wrong_picture_does_not_decide():
    trial = Trial(Bounds())
    for number in range(380):
        assert not trial.passed(), number
        trial.observe(seen())
    assert trial.passed()
    again = seen(candidate="13")
    for _ in range(100):
        trial.observe(again)
    assert trial.reason_to_take_back() is None
    assert trial.disagreements == 1


def test_feedback_is_a_criterion_where_there_is_any():
    trial = Trial(Bounds())
    for _ in range(380):
        trial.observe(seen())
    trial.observe(Observation(wrong=True))
    assert not trial.passed()
    for _ in range(5):
        trial.observe(Observation(wrong=True))
    assert trial.reason_to_take_back().startswith("wrong 1.0000 of ")

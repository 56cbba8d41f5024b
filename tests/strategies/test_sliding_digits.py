"""The scores of windows of a digit network, averaged."""

import numpy as np
from scipy.special import log_softmax, softmax

from pipeline.strategies.sliding_digits import averaged

T = 9


def odds(logits):
    """Log odds of a digit, float64, of averaged probabilities."""
    rows = np.asarray(averaged(logits.astype(np.float32)[None], 1))[0].astype(np.float64)
    return np.log(np.exp(rows[:, :-1]).sum(1)) - rows[:, -1]


def test_the_probability_of_a_digit_is_that_of_its_most_probable_one():
    logits = np.random.default_rng(0).normal(0, 2, (T, 11))
    padded = np.pad(softmax(logits, 1), ((1, 1), (0, 0)))
    mean = (padded[:-2] + padded[1:-1] + padded[2:]) / np.array([2, *[3] * (T - 2), 2])[:, None]
    most = mean[:, :-1].max(1)
    np.testing.assert_allclose(odds(logits), np.log(most / (1 - most)), atol=1e-4)


def test_of_windows_that_are_nearly_certain_the_surer_one_is_still_told():
    """The probability of another class is 1e-6, within a tenth: one minus its complement has two digits of that."""
    logits = np.zeros((T, 11))
    logits[:, 3] = 13.8 + 2.3 + np.linspace(0, 0.1, T)
    expected = -np.log(np.exp(log_softmax(logits, 1))[:, [0, 1, 2, *range(4, 11)]].sum(1) + 1e-7)
    # The first and the last window have one neighbour.
    np.testing.assert_allclose(odds(logits)[1:-1], expected[1:-1], atol=2e-3)

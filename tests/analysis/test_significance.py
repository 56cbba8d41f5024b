"""Pairs of strategies on the same pictures: p-values against sums and by hand, and the marks."""

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis import significance
from pipeline.core.errors import DataError
from pipeline.reports.formats import csv_text

SETTINGS = {"confidence": 0.95, "resamples": 2000, "seed": 3}


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (3, 17), (121, 59)])
def test_mcnemar_is_the_sign_test_of_the_discordant_pictures(only_a, only_b):
    n, least = only_a + only_b, min(only_a, only_b)
    expected = min(1.0, 2 * stats.binom.cdf(least, n, 0.5))
    assert significance.mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_holm_is_that_of_a_worked_example():
    # By hand: 4 × 0.005, 3 × 0.01, 2 × 0.03, then at least as much.
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm([0.9, 0.6]) == [1.0, 1.0]
    assert significance.holm([]) == []


@pytest.fixture(scope="module")
def comparisons():
    """`best` and `near` differ by luck; `poor` is worse by 6 points."""
    rng = np.random.default_rng(5)
    best = rng.random(4000) < 0.97
    near = best.copy()
    near[np.flatnonzero(best)[:20]] = False
    near[np.flatnonzero(~best)[:15]] = True
    poor = best & (rng.random(4000) < 0.94)
    return significance.compare("plain", {"poor": poor, "near": near, "best": best}, **SETTINGS)


def test_every_pair_is_compared_with_the_more_accurate_one_first(comparisons):
    assert [(each.strategy_a, each.strategy_b) for each in comparisons] == [
        ("best", "near"),
        ("best", "poor"),
        ("near", "poor"),
    ]
    for each in comparisons:
        assert each.difference == pytest.approx(each.accuracy_a - each.accuracy_b, abs=2e-6)
        assert each.difference == pytest.approx((each.only_a - each.only_b) / each.pictures, abs=2e-6)
        assert each.low <= each.difference <= each.high
        assert each.p <= each.p_holm


def test_only_what_the_test_cannot_tell_apart_from_the_best_is_marked(comparisons):
    marked = significance.indistinguishable(comparisons, {"plain": "best"}, confidence=0.95)
    assert marked == {"plain": ("near",)}
    assert significance.indistinguishable(comparisons, {"plain": "poor"}, confidence=0.95) == {}


def test_equal_readings_are_marked_and_the_correction_is_over_all_pairs():
    correct = np.arange(100) % 10 > 0
    equal = significance.compare("plain", {"a": correct, "b": correct.copy()}, **SETTINGS)
    assert (equal[0].p, equal[0].low, equal[0].high) == (1.0, 0.0, 0.0)
    assert significance.indistinguishable(equal, {"plain": "a"}, confidence=0.95) == {"plain": ("b",)}
    # 8 to 1 discordant pictures: p is 0.039, and 0.117 among three pairs.
    worse = correct.copy()
    worse[1:9], worse[0] = False, True
    three = significance.compare("plain", {"a": correct, "b": worse, "c": correct.copy()}, **SETTINGS)
    pair = next(each for each in three if (each.strategy_a, each.strategy_b) == ("a", "b"))
    assert pair.p == pytest.approx(0.0391, abs=1e-4)
    assert "b" in significance.indistinguishable(three, {"plain": "a"}, confidence=0.95)["plain"]


def test_the_table_comes_back_from_the_disk(comparisons, tmp_path):
    path = tmp_path / "strips.csv"
    path.write_text(csv_text(significance.COLUMNS, [significance.cells(each) for each in comparisons]))
    assert significance.load(path) == comparisons


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", ",".join(significance.COLUMNS) + "\nplain,a,b,many,0,0,0\n"])
def test_another_table_is_an_error_that_names_the_file(tmp_path, text):
    path = tmp_path / "strips.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"strips\.csv: not a table of comparisons"):
        significance.load(path)
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        significance.load(tmp_path / "none.csv")

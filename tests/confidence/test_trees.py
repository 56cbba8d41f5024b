"""Boosted trees as matrix products against scikit-learn's own decision function."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier

from pipeline.confidence import trees
from pipeline.confidence.trees import Trees


@pytest.fixture(scope="module")
def rows():
    """Rows in steps of an eighth, and a class that depends on two columns."""
    random = np.random.default_rng(0)
    values = np.round(random.normal(size=(1500, 6)) * 8).astype(np.float32) / 8
    return values, values[:, 0] * values[:, 1] + 0.3 * random.normal(size=1500) > 0


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(trees, "TREES", dict.fromkeys(trees.STARTS, 50))


@pytest.mark.parametrize("start", trees.STARTS)
def test_the_products_are_the_sum_of_the_leaves_that_scikit_learn_reaches(rows, start):
    values, correct = rows
    if start == "own":
        first = trees.Curve(2)
        model = GradientBoostingClassifier(n_estimators=20, max_leaf_nodes=trees.LEAVES, max_depth=None, init=first)
    else:
        model = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=trees.LEAVES, early_stopping=False)
    model.fit(values, correct)
    ours = Trees._of(model, 2)
    assert np.allclose(ours.score(values), model.decision_function(values), atol=1e-5)
    # A value between two steps and one beyond all of them.
    other = values * 3 + 0.01
    assert np.allclose(ours.score(other), model.decision_function(other), atol=1e-5)


@pytest.mark.parametrize("start", trees.STARTS)
def test_trees_tell_the_classes_apart_and_the_same_seed_gives_the_same_trees(rows, few, start):
    values, correct = rows
    fitted = Trees.fit(values[:1000], correct[:1000], start=start, own=5, seed=4)
    found = fitted.score(values[1000:]) > 0
    assert (found == correct[1000:]).mean() > 0.75
    again = Trees.fit(values[:1000], correct[:1000], start=start, own=5, seed=4)
    assert all(
        np.array_equal(a, b) for a, b in zip(fitted.as_arrays().values(), again.as_arrays().values(), strict=True)
    )


def test_a_curve_as_steep_as_a_step_is_cut_off(few):
    values = np.repeat(np.linspace(-30, 30, 400, dtype=np.float32).round(), 2)[:, None]
    values = np.hstack([values, np.tile([[0.0], [1.0]], (400, 1)).astype(np.float32)])
    correct = values[:, 0] > 0
    score = Trees.fit(values, correct, start="own", own=0).score(values)
    assert np.abs(score).max() < 40


def test_a_column_that_says_all_keeps_its_ranking(few):
    random = np.random.default_rng(1)
    values = np.round(random.normal(size=(800, 3)) * 8).astype(np.float32) / 8
    correct = random.random(800) < 1 / (1 + np.exp(-4 * values[:, 1]))
    score = Trees.fit(values, correct, start="own", own=1).score(values)
    assert np.corrcoef(np.argsort(np.argsort(score)), np.argsort(np.argsort(values[:, 1])))[0, 1] > 0.97


def test_from_a_constant_the_score_never_falls_where_the_own_confidence_rises(few):
    random = np.random.default_rng(1)
    values = random.normal(size=(800, 3)).astype(np.float32)
    fitted = Trees.fit(values, values[:, 0] + random.normal(size=800) > 0, start="constant", own=0)
    probe = np.repeat(values[:50], 40, axis=0)
    probe[:, 0] = np.tile(np.linspace(-3, 3, 40), 50)
    assert np.all(np.diff(fitted.score(probe).reshape(50, 40), axis=1) >= -1e-6)


@pytest.mark.parametrize("outcome", [True, False])
def test_where_all_rows_are_of_one_class_the_score_is_constant(outcome):
    values = np.random.default_rng(2).normal(size=(99, 2)).astype(np.float32)
    fitted = Trees.fit(values, np.full(99, outcome), start="own", own=0)
    assert np.allclose(fitted.score(values), np.log(99.5 / 0.5) * (1 if outcome else -1))


def test_leaves_without_a_finite_end_are_refused(rows, few, monkeypatch):
    values, correct = rows
    monkeypatch.setattr(trees, "MOST_LEAF", 1e-3)
    with pytest.raises(trees.Diverged, match=r"a leaf beyond 0\.001 in tree 1"):
        Trees.fit(values, correct, start="own", own=0)

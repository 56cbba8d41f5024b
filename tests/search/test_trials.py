"""Optuna's suggestions and its pruning, on scores that are known before: the same in every replay."""

import math
import sys

import pytest
from recorded_search import Experiments, by_rate, replayed, search

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.search import trials


@pytest.mark.parametrize("changed", [{}, {"parallel": 4}, {"sampler": "random"}, {"budgets": ()}], ids=str)
def test_the_same_file_gives_the_same_trials(changed):
    first, experiments = replayed(**changed)
    assert first == replayed(**changed)[0]
    assert [trial.number for trial in first.trials] == list(range(16))
    assert first != replayed(**changed, seed=8)[0]
    # A finished search is read, and nothing runs.
    assert trials.replay(search(**changed), experiments.look, None) == first
    assert not first.missing


@pytest.mark.parametrize("parallel", [1, 4])
def test_an_interrupted_search_goes_on_where_it_stopped(parallel):
    whole, once = replayed(parallel=parallel)
    stopped = Experiments(by_rate, fails_at=len(once.ran) // 2)
    with pytest.raises(KeyboardInterrupt):
        trials.replay(search(parallel=parallel), stopped.look, stopped.execute)
    part = trials.replay(search(parallel=parallel), stopped.look)
    assert 0 < len(part.trials) < 16
    assert set(part.missing) == set(once.ran[len(once.ran) // 2])
    stopped.fails_at = -1
    assert trials.replay(search(parallel=parallel), stopped.look, stopped.execute) == whole
    assert stopped.ran == once.ran


def test_a_run_that_is_missing_is_run_alone():
    whole, experiments = replayed(parallel=4)
    gone = experiments.ran[0][2]
    del experiments.finished[gone]
    assert trials.replay(search(parallel=4), experiments.look).missing == (gone,)
    experiments.ran.clear()
    assert trials.replay(search(parallel=4), experiments.look, experiments.execute) == whole
    assert experiments.ran == [[gone]]


def test_successive_halving_prunes_by_the_scores_at_the_same_budget():
    """With a reduction of 3, one of up to five trials goes on, and two of six."""
    at_first = [0.5, 0.4, 0.6, 0.55, 0.9, 0.7, 0.3]
    later = {0: 0.7, 2: 0.65, 4: 0.8, 5: 0.75}

    def score(number, changed):
        return at_first[number] if changed["budget"] == 0.1 else later[number] + (changed["budget"] == 1) / 100

    history, experiments = replayed(score, trials=7)
    assert [(len(trial.scores), trial.state) for trial in history.trials] == [
        *[(3, "complete"), (1, "pruned"), (2, "pruned"), (1, "pruned"), (3, "complete"), (2, "pruned"), (1, "pruned")]
    ]
    assert history.best == 4
    assert len(experiments.finished) == 3 + 1 + 2 + 1 + 3 + 2 + 1


def test_trials_of_a_batch_climb_together():
    _, experiments = replayed(parallel=4, trials=4)
    assert experiments.ran[0] == [f"tries-textbook-trial_{number}-budget_0.1" for number in range(4)]
    assert all(name.endswith("budget_0.3") for name in experiments.ran[1])


def test_the_sampler_learns_from_the_scores():
    """The later half of the trials of a search is nearer to the best rate than draws at random."""

    def distance(sampler):
        found, _ = replayed(sampler=sampler, trials=40, budgets=())
        return sum(abs(math.log(trial.values["rate"])) for trial in found.trials[20:]) / 20

    assert distance("tpe") < distance("random") / 2


def test_enqueued_trials_are_first():
    first = replayed(enqueue=({"rate": 1.0, "dropout": 0.2, "batch": "128", "layers": 2}, {"layers": 5}))[0].trials
    assert first[0].values == {"rate": 1.0, "dropout": 0.2, "batch": "128", "layers": 2}
    assert first[1].values["layers"] == 5


def test_the_param_that_decides_is_the_most_important():
    importances = replayed(trials=30)[0].importances
    assert importances["rate"] > 0.5
    assert sum(importances.values()) == pytest.approx(1)
    assert replayed(trials=trials.FEWEST - 1)[0].importances is None
    assert replayed(lambda number, changed: 0.5)[0].importances is None


def test_a_run_without_a_score_is_an_error():
    with pytest.raises(DataError, match=r"trial_0-budget_0\.1 ended, but it has no score"):
        trials.replay(search(), lambda run: None, lambda runs: None)


def test_without_optuna_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigurationError, match="optuna: not installed; make setup"):
        trials.library()

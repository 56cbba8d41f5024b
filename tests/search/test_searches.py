"""A search file: what it stands for, and the key and the reason where it cannot be run."""

from pathlib import Path

import pytest

from pipeline.core.errors import ConfigurationError
from pipeline.search.searches import Search
from pipeline.search.space import Range

ROOT = Path(__file__).parents[2]
FILE = """
targets: [evaluate@textbook]
fixed: {seed: 3}
search:
  space:
    strategies.textbook.learning_rate: {low: 0.1, high: 3.0, log: true}
    strategies.textbook.dropout: {low: 0.0, high: 0.6, step: 0.1}
    strategies.textbook.batch: {choices: [64, 128]}
    schedule: {choices: {short: {strategies.textbook.epochs: 6}, long: {strategies.textbook.epochs: 24}}}
  trials: 20
  budgets: [0.1, 0.3, 1]
  enqueue: [{strategies.textbook.learning_rate: 1, schedule: long}]
"""
VALUES = {
    "strategies.textbook.learning_rate": 0.25,
    "strategies.textbook.dropout": 0.1,
    "strategies.textbook.batch": "64",
    "schedule": "short",
}


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)

    def write(text):
        path = tmp_path / "tries.yaml"
        path.write_text(text)
        return Search.load(path)

    return write


def test_a_trial_at_a_budget_is_an_experiment(load):
    search = load(FILE)
    run = search.run(7, VALUES, 0.3)
    assert (run.name, run.target) == ("tries-textbook-trial_7-budget_0.3", "evaluate@textbook")
    assert run.changes == (
        "seed=3",
        "strategies.textbook.learning_rate=0.25",
        "strategies.textbook.dropout=0.1",
        "strategies.textbook.batch=64",
        "strategies.textbook.epochs=6",
        "budget=0.3",
    )
    assert search.rungs == (0.1, 0.3, 1.0)
    assert list(search.titles.values()) == ["learning_rate", "dropout", "batch", "schedule"]
    assert search.enqueue == ({"strategies.textbook.learning_rate": 1.0, "schedule": "long"},)


def test_without_budgets_a_trial_is_one_run(load):
    search = load(FILE.replace("  budgets: [0.1, 0.3, 1]\n", "").replace("{seed: 3}", "{budget: 0.2}"))
    run = search.run(0, VALUES, *search.rungs)
    assert run.name == "tries-textbook-trial_0"
    assert [change for change in run.changes if "budget" in change] == ["budget=0.2"]


def test_the_ends_of_every_axis_are_checked_before_it_begins(load):
    checked = {change for changes in load(FILE).extremes() for change in changes}
    assert {f"strategies.textbook.learning_rate={rate}" for rate in ("0.1", "3.0")} <= checked
    assert {f"strategies.textbook.epochs={number}" for number in (6, 24)} <= checked
    assert {f"budget={budget}" for budget in ("0.1", "0.3", "1.0")} <= checked


@pytest.mark.parametrize(
    ("dimension", "suggested", "value"),
    [
        (Range(0.0, 0.6, 0.1), 0.1 * 3, 0.3),
        (Range(1e-5, 1.0, log=True), 0.000123456789, 0.000123457),
        (Range(0.1, 0.1234567), 0.12345669, 0.1234567),
        (Range(1, 9, 2), 3, 3),
    ],
)
def test_a_suggested_number_has_few_digits_and_stays_in_its_range(dimension, suggested, value):
    assert dimension.value(suggested) == value
    assert type(dimension.value(suggested)) is type(value)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("targets: [", "targets: [evaluate@slice, ", ("targets", "found 2")),
        ("targets:", "split: test\ntargets:", ("split", "found test", "no evidence")),
        ("targets:", "split: gate\ntargets:", ("split", "found gate")),
        ("search:", "grid: {seed: [1]}\nsearch:", ("grid", "search", "both")),
        ("trials:", "trails:", ("search.trails", "did you mean 'trials'")),
        ("trials: 20", "trials: 0", ("search.trials", "0")),
        ("trials: 20", "trials: 20\n  sampler: cmaes", ("search.sampler", "cmaes")),
        ("low: 0.1, high: 3.0", "low: 3.0, high: 0.1", ("learning_rate", "low below high")),
        ("low: 0.1, high", "low: 0, high", ("learning_rate", "low above 0")),
        ("step: 0.1", "step: 0.25", ("dropout", "divides")),
        ("step: 0.1", "step: 1.0e-300", ("dropout", "million")),
        ("step: 0.1", "step: 0.1, log: true", ("dropout", "log")),
        ("low: 0.0", "lo: 0.0", ("dropout", "{low: A, high: B}")),
        ("low: 0.0", "low: '0'", ("dropout", "numbers")),
        ("low: 0.0", "low: .nan", ("dropout", "numbers")),
        ("[64, 128]", "[64, '64']", ("batch", "written alike")),
        ("[64, 128]", "[]", ("batch", "a list of plain values")),
        ("{short: {strategies.textbook.epochs", "{short: {strategies.textbook.batch", ("schedule", "batch", "already")),
        ("{short: {strategies.textbook.epochs", "{short: {budget", ("schedule", "'search.budgets' sets already")),
        ("{seed: 3}", "{budget: 3}", ("fixed.budget", "search.budgets")),
        ("{seed: 3}", "{strategies.textbook.batch: 3}", ("strategies.textbook.batch", "'fixed' sets already")),
        ("[0.1, 0.3, 1]", "[0.1, 1, 0.3]", ("search.budgets", "rising")),
        ("[0.1, 0.3, 1]", "[0.1, -1]", ("search.budgets", "-1")),
        ("learning_rate: 1,", "learning_rate: 5,", ("enqueue.0", "numbers from 0.1 to 3.0", "5")),
        ("learning_rate: 1,", "dropout: 0.15,", ("enqueue.0", "in steps of 0.1", "0.15")),
        ("learning_rate: 1,", "learning_rate: null,", ("enqueue", "a plain value", "None")),
        ("learning_rate: 1,", "pooling: max,", ("enqueue.0", "an axis of the space")),
        ("schedule: long}]", "schedule: middle}]", ("enqueue.0", "short, long", "middle")),
        ("trials: 20\n  budgets: [0.1, 0.3, 1]\n  enqueue: [", "trials: 1\n  enqueue: [{}, ", ("at most 1", "2")),
    ],
)
def test_a_wrong_search_names_the_key_and_what_was_found(load, old, new, named):
    assert FILE.count(old) == 1
    with pytest.raises(ConfigurationError) as raised:
        load(FILE.replace(old, new))
    assert all(name in str(raised.value) for name in named), raised.value

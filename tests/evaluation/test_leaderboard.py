"""The rows of the leaderboard, and which strategy becomes the candidate."""

import evaluations
import pytest
from evaluations import SUITES

from pipeline.core.errors import DataError
from pipeline.evaluation import leaderboard
from pipeline.records.comparison import Candidate


@pytest.fixture(scope="module")
def four():
    """A good and a poor model, one that reads one suite only, and one that cannot be deployed."""
    return {
        "good": evaluations.evaluation(0.02),
        "poor": evaluations.evaluation(0.2),
        "partial": evaluations.evaluation(0.0, suites=("plain",)),
        "outside": evaluations.evaluation(0.0, deployable=False, pretrained="missing"),
    }


def best_of(**found):
    """The name of the candidate."""
    return leaderboard.candidate("strips", found, SUITES).best.strategy


def test_rows_are_ordered_by_suite_split_and_falling_accuracy(four):
    rows = leaderboard.rows(four, SUITES)
    assert [(row.suite, row.split, row.strategy) for row in rows] == [
        *(("plain", "valid", name) for name in ("outside", "partial", "good", "poor")),
        *(("plain", "test", name) for name in ("outside", "partial", "good", "poor")),
        *(("blanks", "valid", name) for name in ("outside", "good", "poor")),
        *(("blanks", "test", name) for name in ("outside", "good", "poor")),
    ]
    assert (rows[0].pretrained, rows[0].deployable, rows[0].parameters) == ("missing", False, 1000)
    assert rows[2].sequence_accuracy == four["good"].suites["plain"]["valid"].sequence_accuracy


def test_suites_that_are_not_reported_are_left_out(four):
    assert {row.suite for row in leaderboard.rows(four, ("blanks",))} == {"blanks"}


def test_the_candidate_is_the_best_that_can_be_deployed_over_all_suites(four):
    candidate = leaderboard.candidate("strips", four, SUITES)
    assert (candidate.best.strategy, candidate.runner_up) == ("good", "partial")
    assert [other.strategy for other in candidate.others] == ["outside", "partial", "poor"]
    assert [standing.strategy for standing in candidate.standings] == ["good", "outside", "partial", "poor"]
    partial = candidate.others[1]
    assert (partial.cannot_read, partial.suites) == (("blanks",), {"plain": 1, "blanks": 0})
    assert partial.valid_sequence_accuracy == 0.5
    assert candidate.coverage == four["good"].coverage


def test_a_candidate_can_be_read_back(four, tmp_path):
    candidate = leaderboard.candidate("strips", four, SUITES)
    candidate.write(tmp_path / "strips.json")
    assert Candidate.read(tmp_path / "strips.json") == candidate


def test_ties_go_to_fewer_parameters_then_to_the_name():
    small, large = evaluations.evaluation(parameters=10), evaluations.evaluation(parameters=20)
    assert best_of(a=large, b=small) == "b"
    assert best_of(b=small, a=small) == "a"


def test_the_test_split_does_not_decide():
    lucky, steady = evaluations.evaluation(0.2), evaluations.evaluation(0.1)
    perfect = {
        suite: {**splits, "test": splits["test"].model_copy(update={"sequence_accuracy": 1.0})}
        for suite, splits in lucky.suites.items()
    }
    assert best_of(lucky=lucky.model_copy(update={"suites": perfect}), steady=steady) == "steady"


def test_a_task_may_have_no_candidate():
    candidate = leaderboard.candidate("strips", {"outside": evaluations.evaluation(deployable=False)}, SUITES)
    assert (candidate.best, candidate.coverage, candidate.runner_up) == (None, None, None)
    assert [standing.strategy for standing in candidate.standings] == ["outside"]


def test_a_strategy_without_evaluation_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(DataError, match=r"slice\.json: .*`dvc repro evaluate@slice`"):
        leaderboard.evaluations(tmp_path, ["slice"])


def test_a_damaged_evaluation_is_named(tmp_path):
    (tmp_path / "slice.json").write_text("{}")
    with pytest.raises(DataError, match=r"slice\.json: "):
        leaderboard.evaluations(tmp_path, ["slice"])

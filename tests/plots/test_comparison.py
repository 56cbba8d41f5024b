"""The chart of a task's accuracies."""

import evaluations
from evaluations import SUITES

from pipeline.evaluation import leaderboard
from pipeline.plots.comparison import accuracies


def test_each_suite_has_a_panel_with_the_strategies_that_can_read_it():
    found = {"good": evaluations.evaluation(0.02), "partial": evaluations.evaluation(0.0, suites=("plain",))}
    rows = leaderboard.rows(found, SUITES)
    plain, blanks = accuracies(rows, SUITES, "strips").axes
    assert [label.get_text() for label in plain.get_yticklabels()] == ["partial", "good"], "the best is at the top"
    points = [line.get_xdata()[0] for line in plain.lines if line.get_marker() == "o"]
    expected = [row.sequence_accuracy for name in ("partial", "good") for row in rows[:4][::-1] if row.strategy == name]
    assert sorted(points) == sorted(100 * share for share in expected)
    assert len(blanks.texts) == 1, "one strategy cannot read it"


def test_scores_of_the_stand_in_are_marked():
    rows = leaderboard.rows({"good": evaluations.evaluation(origin="embedded")}, SUITES)
    assert "stand-in" in accuracies(rows, SUITES, "strips").get_suptitle()

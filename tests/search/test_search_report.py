"""The table, the page and the chart of a search say what each trial got and how far it went."""

import csv
import io

from recorded_search import Experiments, by_rate, replayed, search

from pipeline.search import search_report, trials
from pipeline.search.space import Range


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_has_every_trial_with_its_scores_and_one_best():
    history, _ = replayed()
    found = rows(search_report.render_csv(search(), history))
    assert [int(row["trial"]) for row in found] == list(range(16))
    (best,) = [row for row in found if row["best"] == "true"]
    complete = [row for row in found if row["state"] == "complete"]
    assert float(best["budget_1"]) == max(float(row["budget_1"]) for row in complete)
    for row, trial in zip(found, history.trials, strict=True):
        assert [float(row[f"budget_{budget}"]) for budget in ("0.1", "0.3", "1") if row[f"budget_{budget}"]] == [
            round(score.accuracy, 4) for score in trial.scores
        ]
        assert (float(row["rate"]), row["batch"], row["origin"]) == (
            trial.values["rate"],
            trial.values["batch"],
            "mnist",
        )


def test_the_page_marks_the_best_and_names_its_experiment():
    history, _ = replayed()
    page = search_report.render_markdown(search(fixed={"seed": 3}), history)
    states = [trial.state for trial in history.trials]
    assert f"16 of 16 trials: {states.count('complete')} complete and {states.count('pruned')} pruned" in page
    assert f"| **{history.best}** | " in page
    assert f"`tries-textbook-trial_{history.best}-budget_1.0`" in page
    assert "`seed=3`" in page
    assert "| rate | " in page.partition("## Importance")[2]


def test_an_unfinished_search_says_what_is_missing_and_has_no_best():
    experiments = Experiments(by_rate, fails_at=1)
    try:
        trials.replay(search(parallel=2), experiments.look, experiments.execute)
    except KeyboardInterrupt:
        history = trials.replay(search(parallel=2), experiments.look)
    page = search_report.render_markdown(search(parallel=2), history)
    assert "2 of 16 trials: 0 complete" in page
    assert "tries-textbook-trial_0-budget_0.3, tries-textbook-trial_1-budget_0.3." in page
    assert "The best" not in page
    assert {row["best"] for row in rows(search_report.render_csv(search(), history))} == {"false"}
    assert len(search_report.draw(search(), history).axes) == 1 + 4


def test_the_chart_has_the_history_and_a_panel_for_each_param():
    space = {f"strategies.{name}.rate": Range(0.1, 3.0, log=True) for name in "abcde"} | {"rate": Range(0.1, 3.0)}
    history, _ = replayed(space=space, trials=4)
    drawn = search_report.draw(search(space=space, trials=4), history)
    # Of six axes with one last part, the whole key is the title.
    assert [axes.get_title(loc="left") for axes in drawn.axes[1:]] == list(space)
    assert [axes.get_xscale() for axes in drawn.axes[1:]] == ["log"] * 5 + ["linear"]
    budgets = [line for line in drawn.axes[0].lines if str(line.get_label()).startswith("budget")]
    assert [len(line.get_xdata()) for line in budgets] == [
        sum(len(trial.scores) > rung for trial in history.trials) for rung in range(3)
    ]
    assert search_report.render_csv(search(space=space), history).startswith("trial,strategy,split,origin,strategies.a")


def test_without_budgets_there_is_one_score():
    history, _ = replayed(budgets=())
    page = search_report.render_markdown(search(budgets=()), history)
    assert "| accuracy | state |" in page
    assert "16 complete and 0 pruned, in 16 runs" in page
    assert len(search_report.draw(search(budgets=()), history).axes[0].lines) == 16 + 2

"""Searches whose scores are known before anything runs."""

import math

from pipeline.experiments.results import Score
from pipeline.search import trials
from pipeline.search.searches import Search
from pipeline.search.space import Choices, Range

SPACE = {
    "rate": Range(0.1, 3.0, log=True),
    "dropout": Range(0.0, 0.6, 0.1),
    "batch": Choices({"64": {"batch": 64}, "128": {"batch": 128}}),
    "layers": Range(1, 5),
}
BUDGETS = (0.1, 0.3, 1.0)


class Experiments:
    """Experiments whose scores a function of their changes gives.

    Attributes:
        ran: the names of those that were executed, in order; one list for each time.
        fails_at: the number of the execution that fails; -1 for none.
    """

    def __init__(self, score, fails_at=-1):
        self.score, self.fails_at = score, fails_at
        self.ran, self.finished = [], {}

    def look(self, run):
        return self.finished.get(run.name)

    def execute(self, runs):
        if len(self.ran) == self.fails_at:
            raise KeyboardInterrupt
        self.ran.append([run.name for run in runs])
        for run in runs:
            changed = {key: float(value) for key, _, value in (change.partition("=") for change in run.changes)}
            number = int(run.name.split("-trial_")[1].partition("-")[0])
            self.finished[run.name] = Score(self.score(number, changed), {"mnist": 0.0}, "mnist")


def search(**changed):
    """A search of 16 trials, each a run at three budgets, with other values for some of its attributes."""
    settings = {
        "name": "tries", "target": "evaluate@textbook", "fixed": {}, "space": SPACE, "trials": 16, "sampler": "tpe",
        "seed": 7, "budgets": BUDGETS, "reduction": 3, "parallel": 1, "enqueue": (),
    }  # fmt: skip
    return Search(**{**settings, **changed})


def by_rate(number, changed):
    """Best at a rate of 1; longer trainings are better."""
    return 0.9 - 0.1 * abs(math.log(changed["rate"])) + 0.01 * math.log(changed.get("budget", 1))


def replayed(score=by_rate, **changed):
    """The history of a search with such scores, and its experiments."""
    experiments = Experiments(score)
    return trials.replay(search(**changed), experiments.look, experiments.execute), experiments

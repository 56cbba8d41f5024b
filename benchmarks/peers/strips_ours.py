"""Strips composed by the project; a round composes a set."""

from pathlib import Path

import numpy as np

from benchmarks.rounds import Rounds
from pipeline.core.images import ImageSet
from pipeline.data import strips


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    given = rounds.settings
    digits = ImageSet.load(Path(given["digits"])).take(slice(5 * given["strips"]))
    hard = given["hard"]

    def work() -> float:
        return len(strips.compose(digits, rounds=1, fewest=5, most=5, jitter=hard, clutter=hard, seed=1))

    rounds.serve(work, numpy=np.__version__)


if __name__ == "__main__":
    main()

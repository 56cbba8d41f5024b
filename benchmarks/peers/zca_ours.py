"""ZCA whitening by the project: a round fits, or applies."""

import numpy as np

from benchmarks.rounds import Rounds
from benchmarks.whitening import fit


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    given = rounds.settings
    pictures = np.load(given["pictures"])
    if given["part"] == "fit":

        def work() -> float:
            fit(pictures, "channel")
            return 1

    else:
        statistics, applied = fit(pictures[: given["fitted"]], "channel"), pictures[: given["applied"]]

        def work() -> float:
            statistics.apply(applied, "zca")
            return len(applied)

    rounds.serve(work, warm=given["part"] != "fit", numpy=np.__version__)


if __name__ == "__main__":
    main()

"""Augmentation by the project, through the loop's own stream of batches; a round takes some of them."""

from pathlib import Path

import tensorflow as tf

from benchmarks.augmentation import endless
from benchmarks.rounds import Rounds
from pipeline.core.images import ImageSet
from pipeline.preprocessing.augmentation import Augmentation


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    given = rounds.settings
    train = ImageSet.load(Path(given["pictures"]))
    batches = endless(train, given["batch"], Augmentation(**given["options"]))

    def work() -> float:
        for _ in range(given["batches"]):
            next(batches)
        return given["batches"] * given["batch"]

    rounds.serve(work, tensorflow=tf.__version__)


if __name__ == "__main__":
    main()

"""A test split read by an exported model in the project's runtime, as the stage `evaluate` reads it."""

from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.rounds import Rounds
from pipeline.core.images import ImageSet
from pipeline.evaluation.inference import BATCH, THREADS
from pipeline.runtime.model import OnnxModel


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    given = rounds.settings
    split = ImageSet.load(Path(given["split"])).take(slice(given["pictures"]))
    model = OnnxModel.load(Path(given["model"]), threads=THREADS)

    def work() -> float:
        return len(model.read(split.images, batch=BATCH).classes)

    right = np.all(model.read(split.images, batch=BATCH).classes == split.labels, axis=1).mean()
    rounds.serve(work, onnxruntime=onnxruntime.__version__, exact_match=float(right))


if __name__ == "__main__":
    main()

"""The threshold for real amounts from readings out of fold: 80 amounts of valid are too few for one of 99 %.

`python -m benchmarks.folds --strategy fcn_ctc` divides the amounts of train and valid into folds, trains the strategy
for each fold on the others as `make repro` does, and reads the fold. The threshold at which these readings assure an
accuracy of 99 % (`pipeline.evaluation.calibration`) is then applied to the amounts of test, as the model that
`make repro` trained on train has read them.
Each fold takes as long as a training; `--share 0.5` recomposes half as many lines, and so halves the steps.
"""

from pathlib import Path

import numpy as np

from pipeline import strategies
from pipeline.config import params
from pipeline.config.sections import LINE_SIZES
from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, ImageSet
from pipeline.core.lines import PictureSet
from pipeline.core.readings import Readings
from pipeline.data import cheques, lines, recomposition, splits
from pipeline.data.suites import stream_seed
from pipeline.evaluation.accuracy import sequence_correct
from pipeline.evaluation.calibration import coverage, coverage_threshold
from pipeline.preprocessing.normalization import Normalizer
from pipeline.project import command
from pipeline.training import loop
from pipeline.training.models import read

SUITE = "cheques_reviewed"
TARGET = 0.99


def main(strategy: str = "fcn_ctc", folds: int = 3, share: float = 1.0) -> None:
    """Print the threshold, and what it accepts out of fold and of test.

    Args:
        strategy: one for lines.
        folds: how many.
        share: of the recomposed lines of params.yaml.
    """
    settings = params.load(Path("params.yaml"))
    entry, module = settings.strategies[strategy], strategies.load(strategy)
    if entry.task != "lines":
        raise DataError(f"{strategy}: a strategy for {entry.task}, expected one for lines")
    pictures = cheques.reviewed(PictureSet.load(Path("data/raw/cheques/pictures.npz")))
    divided = splits.by_name([picture.name for picture in pictures], LINE_SIZES)
    rows = np.array(divided["train"] + divided["valid"])
    normalizer = Normalizer.load(Path("data/statistics/lines", SUITE, f"{entry.normalization}.npz"))
    confidence, correct = [], []
    for fold in range(folds):
        held_out = np.arange(len(rows)) % folds == fold
        own, _ = lines.ingested(pictures.take(rows[~held_out]), rows[~held_out], keep_empty=False)
        unseen, _ = lines.ingested(pictures.take(rows[held_out]), rows[held_out], keep_empty=True)
        anew = recomposition.compose(
            pictures.take(rows[~held_out]).pictures,
            rows[~held_out],
            lines=round(share * settings.suites[SUITE].recomposed),
            origin=pictures.origin,
            seed=stream_seed(settings.compose.seed, SUITE, f"fold {fold}"),
        )
        with loop.running(settings.precision):
            model = module.train(
                lines.joined([own, anew]),
                unseen,
                normalizer=normalizer,
                seed=settings.seed,
                budget=settings.budget,
                features=Path(entry.features),
                **entry.arguments,
            )
        readings = read(model, unseen.images)
        confidence.append(readings.confidence)
        correct.append(sequence_correct(readings.classes, unseen.labels, BLANK))
        print(f"fold {fold + 1} of {folds}: {100 * correct[-1].mean():.2f} % of {len(unseen)} read right", flush=True)
    out_of_fold = np.concatenate(confidence), np.concatenate(correct)
    threshold = coverage_threshold(*out_of_fold, target=TARGET)
    if threshold is None:
        print(f"nothing is accepted: the readings out of fold assure {100 * TARGET:g} % at no threshold")
        return
    test = ImageSet.load(Path("data/lines", SUITE, "test.npz"))
    shown = Readings.load(Path("predictions/lines", strategy, f"{SUITE}-test.npz"))
    print(f"threshold {threshold}")
    for name, found in (
        ("out of fold", out_of_fold),
        ("test", (shown.confidence, sequence_correct(shown.classes, test.labels, BLANK))),
    ):
        accepted, right = coverage(*found, threshold)
        correct = "" if right is None else f", of which {100 * right:.2f} % are right"
        print(f"{name}: {100 * accepted:.1f} % of {len(found[0])} accepted{correct}")


if __name__ == "__main__":
    command.run(main)

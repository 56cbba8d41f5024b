"""Package the candidate of a task with its manifest and its model card, and every other strategy that can be served."""

import shutil
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.files import replacing, write_text
from pipeline.packaging.manifest import package
from pipeline.project import command, integrity
from pipeline.records.comparison import Candidate
from pipeline.records.evaluation import Evaluation
from pipeline.records.robustness import Robustness
from pipeline.reports import model_card


def main(
    candidate: Path,
    evaluation: Path,
    robustness: Path,
    exports: Path,
    predictions: Path,
    data: Path,
    model: Path,
    manifest: Path,
    card: Path,
    strategies: Path,
) -> str:
    """Copy models out of `exports`: that of the candidate, and in `strategies` a folder for each that can be deployed.

    The card has the candidate's scores in the folders `evaluation` and `robustness`. The manifests get reference
    statistics, from `predictions` and the pictures in `data`. What is read is hashed first. Returns the candidate, and
    the strategies that are left out.
    """
    integrity.expect_intact(map(str, (candidate, evaluation, robustness, exports, predictions, data)))
    chosen = Candidate.read(candidate)
    if chosen.best is None:
        raise DataError(f"{candidate}: no strategy of {chosen.task} can be deployed, expected one; see the leaderboard")
    best = chosen.best.strategy
    with replacing(strategies) as folder:
        packaged = {
            each.strategy: package(
                exports / each.strategy,
                evaluation / f"{each.strategy}.json",
                folder / each.strategy,
                predictions=predictions / each.strategy,
                data=data,
            )
            for each in chosen.standings
            if each.deployable
        }
    with replacing(model) as temporary:
        shutil.copyfile(strategies / best / packaged[best].model.file, temporary)
    packaged[best].write(manifest)
    scores = Evaluation.read(evaluation / f"{best}.json")
    write_text(card, model_card.render(packaged[best], scores, Robustness.read(robustness / f"{best}.json")))
    left_out = [each.strategy for each in chosen.standings if not each.deployable]
    return f"{best}; cannot be deployed and is left out: {', '.join(left_out)}" if left_out else best


if __name__ == "__main__":
    command.run(main)

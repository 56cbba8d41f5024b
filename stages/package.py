"""Package the candidate of a task: its served form, its manifest and its model card."""

import shutil
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.files import digest, replacing, write_text
from pipeline.packaging.manifest import manifest as describe
from pipeline.project import command, integrity
from pipeline.records.comparison import Candidate
from pipeline.records.evaluation import Evaluation
from pipeline.records.export import ExportRecord
from pipeline.reports import model_card


def main(candidate: Path, evaluation: Path, exports: Path, model: Path, manifest: Path, card: Path) -> None:
    """Copy the model of the candidate out of `exports`, and describe it. What is read is hashed first."""
    integrity.expect_intact(map(str, (candidate, evaluation, exports)))
    chosen = Candidate.read(candidate)
    if chosen.best is None:
        raise DataError(f"{candidate}: no strategy of {chosen.task} can be deployed, expected one; see the leaderboard")
    strategy = chosen.best.strategy
    export = ExportRecord.read(exports / strategy / "export.json")
    scores = Evaluation.read(evaluation / f"{strategy}.json")
    if scores.sha256 != export.model.sha256:
        raise DataError(
            f"{evaluation}: {strategy} was evaluated with another model; run `dvc repro evaluate@{strategy}`"
        )
    with replacing(model) as temporary:
        shutil.copyfile(exports / strategy / export.model.file, temporary)
        if (found := digest(temporary)) != export.model.sha256:
            raise DataError(
                f"{exports / strategy / export.model.file}: SHA-256 {found} found, expected {export.model.sha256}; the "
                f"model was changed or damaged: run `dvc repro --force --single-item export@{strategy}`"
            )
    content = describe(export, chosen, scores)
    content.write(manifest)
    write_text(card, model_card.render(content, scores))


if __name__ == "__main__":
    command.run(main)

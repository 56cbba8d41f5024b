"""Export a task's candidate to ONNX, prove that it reads as Keras does, and write its manifest and model card."""

from pathlib import Path

from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.core.files import read_json, write_json, write_text
from pipeline.core.images import ImageSet
from pipeline.evaluation import leaderboard
from pipeline.export import onnx, parity
from pipeline.project import command
from pipeline.reports import report
from pipeline.training import models


def main(
    task: str,
    candidates: Path,
    evaluation: Path,
    model_folder: Path,
    data: Path,
    model: Path,
    manifest: Path,
    card: Path,
) -> None:
    """Package the candidate of one task."""
    settings = params.load(Path("params.yaml"))
    candidate = read_json(candidates)[task]
    strategy = candidate["strategy"]
    if strategy is None:
        raise DataError(f"{candidates}: no strategy of {task} can be deployed, expected one; see the leaderboard")
    network = models.load(model_folder / strategy / "model.keras")
    training = read_json(model_folder / strategy / "training.json")
    onnx.to_onnx(network, model)
    proofs = {}
    for suite in [name for name in settings.suites_of(task) if name in training["suites"]]:
        test = ImageSet.load(data / suite / "test.npz")
        proofs[suite] = parity.of_export(network, model, test)
        if not proofs[suite].holds:
            model.unlink()
            raise DataError(f"{model}: Keras and ONNX disagree on {suite}: {proofs[suite]}; nothing was packaged")
    rows = leaderboard.scores(leaderboard.evaluations(evaluation, [strategy]), settings.suites_of(task))
    content = manifest.manifest(model, training, candidate, test, rows, proofs, boxes="boxes" in network.output)
    write_json(manifest, content)
    write_text(card, report.model_card(content, rows))


if __name__ == "__main__":
    command.run(main)

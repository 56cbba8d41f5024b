"""Export a task's candidate to ONNX, prove that it reads as Keras does, and write its manifest and model card."""

from importlib.metadata import version
from pathlib import Path

from pipeline import command, export, leaderboard, models, params, reporting
from pipeline.errors import DataError
from pipeline.files import read_json, write_json, write_text
from pipeline.images import ImageSet


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
        raise DataError(
            f"{candidates}: no strategy of {task} can be deployed; expected at least one, see the leaderboard"
        )
    network = models.load(model_folder / strategy / "model.keras")
    training = read_json(model_folder / strategy / "training.json")
    export.to_onnx(network, model)
    parity = {}
    for suite in training["suites"]:
        test = ImageSet.load(data / suite / "test.npz")
        parity[suite] = export.compare(network, model, test)
        if not parity[suite].holds:
            model.unlink()
            raise DataError(f"{model}: Keras and ONNX disagree on {suite}: {parity[suite]}; nothing was packaged")
    rows = leaderboard.scores(leaderboard.evaluations(evaluation, [strategy]), settings.suites_of(task))
    height, width, channels = network.input_shape[1:]
    content = {
        "task": task,
        "strategy": strategy,
        "model": {"file": model.name, "sha256": export.sha256(model), "bytes": model.stat().st_size},
        "inputs": {"height": height, "width": width, "channels": channels},
        "slots": network.output["classes"].shape[1],
        "class_names": list(test.class_names),
        "origin": training["origin"],
        "pretrained": training["pretrained"],
        "parameters": training["parameters"],
        "train_on": training["trained_on"],
        "seed": training["seed"],
        "budget": training["budget"],
        "precision": training["precision"],
        "settings": training["settings"],
        "coverage": candidate["coverage"],
        "metrics": {row.suite: row.sequence_accuracy for row in rows if row.split == "test"},
        "parity": {suite: result.as_dict() for suite, result in parity.items()},
        "opset": export.OPSET,
        "made_with": {name: version(name) for name in ("tensorflow", "keras", "tf2onnx", "onnxruntime")},
    }
    write_json(manifest, content)
    write_text(card, reporting.model_card(content, rows))


if __name__ == "__main__":
    command.run(main)

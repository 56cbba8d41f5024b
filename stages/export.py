"""Export a trained model with its fitted confidence to ONNX, the served form, and prove that it reads as Keras does."""

from pathlib import Path

from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.export import exporter
from pipeline.project import command
from pipeline.records.training import TrainingRecord
from pipeline.training import models


def main(model: Path, calibration: Path, data: Path, features: Path, out: Path) -> None:
    """Write the folder `out`: `model.onnx`, and `export.json` with its identity, its shapes and its parity with Keras.

    The proof reads the test split of every reported suite below `data` that the model can read.
    """
    training = TrainingRecord.read(model / "training.json")
    suites = [name for name in params.load(Path("params.yaml")).suites_of(training.task) if name in training.suites]
    with replacing(out) as folder:
        folder.mkdir()
        exporter.export(models.load(model / "model.keras"), training, calibration, data, suites, features, folder)


if __name__ == "__main__":
    command.run(main)

"""Fit the confidence of a trained model on valid and on shifted forms of it, and choose its threshold."""

from pathlib import Path

from pipeline.confidence import fitting
from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.project import command
from pipeline.records.training import TrainingRecord
from pipeline.training import models


def main(model: Path, data: Path, out: Path) -> str:
    """Write the folder `out`: `estimator.npz`, and `calibration.json` with its threshold and how well it holds.

    It reads the valid split of every reported suite below `data` that the model can read. Returns coverage and ECE.
    """
    training, settings = TrainingRecord.read(model / "training.json"), params.load(Path("params.yaml"))
    suites = [name for name in settings.suites_of(training.task) if name in training.suites]
    estimator, record = fitting.calibrate(
        models.load(model / "model.keras"),
        {suite: ImageSet.load(data / suite / "valid.npz") for suite in suites},
        pictures=settings.calibrate.pictures,
        per_shift=settings.calibrate.per_shift,
        seed=settings.calibrate.seed,
    )
    with replacing(out) as folder:
        folder.mkdir()
        estimator.save(folder / "estimator.npz")
        record.write(folder / "calibration.json")
    share = f"{100 * record.coverage:.1f} % of valid at {100 * record.target:g} % accuracy"
    return f"{share}, decided by {record.decided_by}; calibration error {record.ece_before:.4f} → {record.ece:.4f}"


if __name__ == "__main__":
    command.run(main)

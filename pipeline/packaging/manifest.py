"""A model as it is packaged: its served form, and the manifest with threshold, scores and reference statistics."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.core.files import digest
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings
from pipeline.monitoring.reference import reference_of
from pipeline.records.evaluation import Evaluation
from pipeline.records.export import ExportRecord, ServedModel
from pipeline.records.manifest import MANIFEST, Manifest


def package(export: Path, evaluation: Path, folder: Path, *, predictions: Path, data: Path) -> Manifest:
    """Write the model of one strategy and its manifest.

    Args:
        export: holds its served form and `export.json`.
        evaluation: the record of its evaluation.
        folder: does not exist; gets the model, under the name it has in `export`, and `manifest.json`.
        predictions: has the model's readings of each suite of its evaluation, `SUITE-valid.npz`.
        data: has the pictures, `SUITE/valid.npz`.

    Returns:
        The manifest.

    Raises:
        DataError: another model was evaluated, the model was changed since its export, or a record is missing or
            damaged.
    """
    exported = ExportRecord.read(export / "export.json")
    scores = Evaluation.read(evaluation)
    if scores.sha256 != exported.model.sha256:
        raise DataError(
            f"{evaluation.parent}: {exported.strategy} was evaluated with another model; run `dvc repro "
            f"evaluate@{exported.strategy}`"
        )
    folder.mkdir(parents=True)
    copied = folder / exported.model.file
    shutil.copyfile(export / exported.model.file, copied)
    if (found := digest(copied)) != exported.model.sha256:
        raise DataError(
            f"{export / exported.model.file}: SHA-256 {found} found, expected {exported.model.sha256}; the model was "
            f"changed or damaged: run `dvc repro --force --single-item export@{exported.strategy}`"
        )
    content = _with_reference(manifest(exported, scores), scores, predictions, data)
    content.write(folder / MANIFEST)
    return content


def manifest(export: ExportRecord, evaluation: Evaluation) -> Manifest:
    """Describe a model.

    Args:
        export: of its served form.
        evaluation: of the same model; gives the coverage, and the sequence accuracy on test by suite.
    """
    served: Mapping[str, Any] = {name: getattr(export, name) for name in ServedModel.model_fields}
    metrics = {suite: splits["test"].sequence_accuracy for suite, splits in evaluation.suites.items()}
    return Manifest(**served, coverage=evaluation.coverage, metrics=metrics)


def _with_reference(content: Manifest, evaluation: Evaluation, predictions: Path, data: Path) -> Manifest:
    """The same manifest with the statistics of valid, which `evaluate` read with the served form."""
    suites = {}
    for suite in evaluation.suites:
        images = ImageSet.load(data / suite / "valid.npz").images
        readings = Readings.load(predictions / f"{suite}-valid.npz")
        if len(images) != len(readings):
            raise DataError(
                f"{predictions / suite}-valid.npz: {len(readings)} readings found, expected {len(images)} as in "
                f"{data / suite / 'valid.npz'}; run `dvc repro evaluate@{content.strategy}`"
            )
        suites[suite] = images, readings
    return content.model_copy(update={"reference": reference_of(content, suites)})

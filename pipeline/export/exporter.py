"""The served form of a model: the ONNX file and its record."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import keras

from pipeline.confidence.attached import with_confidence
from pipeline.confidence.estimator import Estimator
from pipeline.core.errors import DataError
from pipeline.core.files import digest
from pipeline.core.images import ImageSet
from pipeline.evaluation.accuracy import blank_of
from pipeline.export import onnx, parity
from pipeline.preprocessing import proposals
from pipeline.records.calibration import CalibrationRecord
from pipeline.records.export import ExportRecord, ModelFile, Parity, PictureShape
from pipeline.records.training import TrainedModel, TrainingRecord

MODEL = "model.onnx"
RECORD = "export.json"
ESTIMATOR = "estimator.npz"
CALIBRATION = "calibration.json"
_PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnxruntime")


def export(
    model: keras.Model,
    training: TrainingRecord,
    calibration: Path,
    data: Path,
    suites: Sequence[str],
    features: Path,
    folder: Path,
) -> ExportRecord:
    """Write `model.onnx` and `export.json` into `folder`.

    Args:
        model: in Keras, with its own confidence.
        training: its record.
        calibration: the folder of the stage `calibrate`: the confidence that takes the place of its own.
        data: the data sets of its task, a folder for each suite.
        suites: whose test splits are read to prove the parity; at least one.
        features: holds the proposals of the suites, for a model that takes regions.
        folder: exists, and is empty.

    Raises:
        DataError: Keras and ONNX Runtime disagree on a suite, pictures or proposals are missing, or there is no suite.
    """
    if not suites:
        raise DataError(f"{data}: no suite that {training.strategy} can read; expected one of {training.suites}")
    path = folder / MODEL
    blank = blank_of(ImageSet.load(data / suites[0] / "test.npz").class_names)
    model = with_confidence(model, Estimator.load(calibration / ESTIMATOR), blank)
    onnx.to_onnx(model, path)
    takes_regions = len(model.inputs) > 1
    proofs: dict[str, Parity] = {}
    for suite in suites:
        test = ImageSet.load(data / suite / "test.npz")
        regions = proposals.load(features / suite / "test.npz", len(test)) if takes_regions else None
        proofs[suite] = parity.of_export(model, path, test, regions)
        if not proofs[suite].holds:
            raise DataError(f"{MODEL}: Keras and ONNX Runtime disagree on {suite}: {proofs[suite]}; nothing was kept")
    height, width, channels = test.shape
    record = ExportRecord(
        **{name: getattr(training, name) for name in TrainedModel.model_fields},
        model=ModelFile(file=MODEL, sha256=digest(path), bytes=path.stat().st_size),
        inputs=PictureShape(height=height, width=width, channels=channels),
        slots=test.slots,
        class_names=test.class_names,
        boxes="boxes" in model.output,
        parity=proofs,
        opset=onnx.OPSET,
        made_with=_versions(),
        calibration=CalibrationRecord.read(calibration / CALIBRATION),
        regions=int(model.inputs[1].shape[1]) if takes_regions else None,
    )
    record.write(folder / RECORD)
    return record


def _versions() -> dict[str, str]:
    # The distribution is called `tensorflow` or `tensorflow-cpu`, by platform; the module has one name.
    return {name: import_module(name).__version__ for name in _PACKAGES}

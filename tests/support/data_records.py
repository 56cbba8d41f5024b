"""Records of sources and of validations, as `fetch` and `validate` write them."""

from pathlib import Path

from pipeline.records.data import Duplicates, SourceRecord, SourceSet, ValidatedSplit, ValidationReport

DIGEST = "0" * 64


def write_source(path: Path, origin: str = "mnist") -> None:
    """Write the `source.json` of a source of ten digits."""
    SourceRecord(
        origin=origin,
        class_names=tuple("0123456789"),
        sets={"pool": SourceSet(pictures=10, shape=(28, 28, 1), sha256=DIGEST)},
    ).write(path)


def write_validation(path: Path, task: str, suite: str, *, success: bool = True, origin: str = "mnist") -> None:
    """Write the validation report of a suite."""
    ValidationReport(
        suite=suite,
        task=task,
        origin=origin,
        success=success,
        splits={"train": ValidatedSplit(pictures=10, sha256=DIGEST, classes={"0": 10})},
        expectations=(),
        duplicates=Duplicates(across_splits=0, within_splits=0),
        notes=(),
    ).write(path)

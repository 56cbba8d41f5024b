"""Where models are. Every file of a release is held to its `release.json` before one is used."""

import os
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.files import digest
from pipeline.records.release import RELEASE, Release

_REMEDY = "`git checkout release` restores the committed release, and `registry release` writes another"

ARTIFACTS_VARIABLE = "READER_ARTIFACTS"
"""Names another folder of packaged models than `artifacts`."""


def models_folder(project: Path) -> Path:
    """The folder of the models to read with, which has a folder for each task.

    It is the one that `READER_ARTIFACTS` names, alone if it is set; else the first with a model: `artifacts`, of `make
    repro`, or `release`, which comes with a clone.

    Args:
        project: holds `artifacts` and `release`.

    Raises:
        DataError: there is no model.
    """
    named = os.environ.get(ARTIFACTS_VARIABLE)
    folders = [Path(named)] if named else [project / "artifacts", project / "release"]
    for folder in folders:
        if any(folder.glob("*/model.onnx")):
            return folder
    raise DataError(
        f"{' and '.join(map(str, folders))}: no packaged model; run `make repro`, or set {ARTIFACTS_VARIABLE}"
    )


def expect_unchanged(folder: Path) -> None:
    """Compare a folder with its `release.json`; a folder without one is not a release, and nothing is compared.

    Hidden files, whose names begin with a dot, are left alone, as everywhere.

    Raises:
        DataError: a file is missing, was changed or was added, or `release.json` is damaged.
    """
    if not (folder / RELEASE).exists():
        return
    try:
        expected = Release.read(folder / RELEASE).files
    except DataError as error:
        raise DataError(f"{str(error).partition('; ')[0]}; {_REMEDY}") from None
    # A link to a folder counts as a file: a release has none.
    paths = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    found = {name for path in paths if not (name := path.relative_to(folder).as_posix()).startswith(".")}
    found = {name for name in found - {RELEASE} if "/." not in name}
    if missing := sorted(set(expected) - found):
        raise DataError(f"{folder / missing[0]}: no such file, expected one as {RELEASE} says; {_REMEDY}")
    if added := sorted(found - set(expected)):
        raise DataError(f"{folder / added[0]}: not a file of the release, which {RELEASE} lists; {_REMEDY}")
    for name, sha256 in expected.items():
        if (changed := digest(folder / name)) != sha256:
            raise DataError(
                f"{folder / name}: SHA-256 {changed} found, expected {sha256} as {RELEASE} says; the release was "
                f"changed or damaged: {_REMEDY}"
            )

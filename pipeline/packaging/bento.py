"""The bento: one file with the service, its models and its lock. Equal contents give equal bytes."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from pipeline.config import params
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import replacing
from pipeline.records.manifest import MANIFEST, Manifest
from pipeline.runtime.reader import load_readers

NAME = "reader"
VERSION_LENGTH = 12
"""Digits of the hash in a bento's version."""
REGISTERED_LENGTH = 8
"""Digits of the hash where the versions of the models follow it."""
LONGEST = 63
"""The most characters of a version that BentoML accepts."""
_EPOCH = b"creation_time: '1970-01-01T00:00:00+00:00'"


def build(bentofile: Path, artifacts: Path, out: Path) -> str:
    """Build the bento that a bentofile describes and export it.

    The version identifies the contents: it begins with a SHA-256 over every packed file, followed by the version of
    every registered model if BentoML's 63 characters suffice. The labels name the hash and the version of each model
    in any case. BentoML writes the time of building into `bento.yaml` and into the archive; both are set to the epoch.

    Args:
        bentofile: in the folder that its paths are relative to.
        artifacts: has a folder for each packaged task; the bentofile must include every one of them.
        out: the `.bento` file to write.

    Returns:
        The bento's tag, `reader:<version>`.

    Raises:
        ConfigurationError: the bentofile cannot be read, or does not include a packaged model.
        DataError: nothing is packaged, a model does not match its manifest, or BentoML fails.
    """
    manifests = {task: reader.manifest for task, reader in load_readers(artifacts).items()}
    root = bentofile.parent
    packed = _packed(bentofile)
    included = {file.resolve() for file in packed}
    for task, manifest in manifests.items():
        for file in (artifacts / task / MANIFEST, artifacts / task / manifest.model.file):
            if file.resolve() not in included:
                raise ConfigurationError(f"{bentofile}: include: {file} is packaged but not included; add it")
    tag = f"{NAME}:{_version([bentofile, *packed], root, manifests)}"
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as place:
        # BentoML ignores folders whose name begins with a dot, and DVC runs experiments in one.
        _copied([bentofile, *packed], root, Path(place))
        exported = Path(home) / "exported.bento"
        labels = [part for label in _labels(manifests) for part in ("--label", label)]
        version = ["--name", NAME, "--version", tag.partition(":")[2]]
        _bentoml(home, Path(place), "build", "--bentofile", bentofile.name, *version, *labels, "--output", "tag", ".")
        _bentoml(home, Path(place), "export", tag, str(exported))
        with replacing(out) as temporary:
            canonical(exported, temporary)
    return tag


def build_selected(bentofile: Path, packaged: Path, out: Path, tasks: Collection[str] | None = None) -> str:
    """Build the bento with the models of some tasks, or of a folder other than `artifacts`.

    Args:
        bentofile: as for `build`; in place of what is in `artifacts/`, it finds the models of these tasks there.
        packaged: has a folder for each packaged task: `artifacts`, or a folder that `registry deploy` wrote.
        out: the `.bento` file to write.
        tasks: whose models the bento gets; None for all that are packaged.

    Returns:
        The bento's tag.

    Raises:
        ConfigurationError, DataError: as for `build`; and one of the tasks is not packaged.
    """
    chosen = [file.parent.name for file in packaged.glob(f"*/{MANIFEST}")] if tasks is None else tasks
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for task in chosen:
            if not (packaged / task / MANIFEST).is_file():
                raise DataError(f"{packaged / task / MANIFEST}: no such file; run `make repro` to package this task")
            shutil.copytree(packaged / task, root / "artifacts" / task, ignore=shutil.ignore_patterns("strategies"))
        _copied([bentofile, *_packed(bentofile, without="artifacts")], bentofile.parent, root)
        try:
            return build(root / bentofile.name, root / "artifacts", out.resolve())
        except (ConfigurationError, DataError) as error:
            # The copies are gone when the message is read.
            named = str(error).replace(str(root / "artifacts"), str(packaged)).replace(f"{root}/", "")
            raise type(error)(named) from None


def canonical(exported: Path, out: Path) -> None:
    """Rewrite an exported bento without the time, the place and the user of the build."""
    with tarfile.open(exported, "r:xz") as given, tarfile.open(out, "w:xz", format=tarfile.PAX_FORMAT) as made:
        for member in sorted(given.getmembers(), key=lambda member: member.name):
            entry = tarfile.TarInfo(member.name)
            entry.type = member.type
            entry.mode = 0o755 if member.mode & 0o100 else 0o644
            content = b""
            if file := given.extractfile(member):
                content = file.read()
                if member.name == "./bento.yaml":
                    content = re.sub(rb"(?m)^creation_time: .*$", _EPOCH, content)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))


def _copied(files: Iterable[Path], root: Path, place: Path) -> None:
    for file in files:
        path = place / file.relative_to(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, path)


def _packed(bentofile: Path, *, without: str | None = None) -> list[Path]:
    """The files that a bentofile names: its includes, lock and description, except those in a folder `without`."""
    content = params.read(bentofile)
    try:
        patterns = [
            *content["include"],
            content["python"]["requirements_txt"],
            content["description"].removeprefix("file:"),
        ]
    except (KeyError, TypeError, AttributeError):
        raise ConfigurationError(
            f"{bentofile}: expected include, python.requirements_txt and description; "
            f"`git checkout {bentofile.name}` restores the standard one"
        ) from None
    files: set[Path] = set()
    for pattern in patterns:
        if without is not None and Path(pattern).parts[0] == without:
            continue
        found = list(bentofile.parent.glob(pattern))
        if not found:
            raise ConfigurationError(f"{bentofile}: {pattern}: no such file, expected at least one")
        files.update(found)
    return sorted(files)


def _version(files: Iterable[Path], root: Path, manifests: dict[str, Manifest]) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(root).as_posix()} {content}\n".encode())
    registered = [
        f"-{task}-{manifest.version.removeprefix('v')}" for task, manifest in manifests.items() if manifest.version
    ]
    version = digest.hexdigest()[: VERSION_LENGTH if not registered else REGISTERED_LENGTH] + "".join(registered)
    return version if len(version) <= LONGEST else digest.hexdigest()[:VERSION_LENGTH]


def _labels(manifests: dict[str, Manifest]) -> list[str]:
    return [
        f"{task}.{key}={value}"
        for task, manifest in manifests.items()
        for key, value in (
            ("strategy", manifest.strategy),
            ("origin", manifest.origin),
            ("sha256", manifest.model.sha256),
            ("version", manifest.version),
        )
        if value is not None
    ]


def _bentoml(home: str, root: Path, *arguments: str) -> None:
    # BentoML opens no file outside its working directory.
    environment = {**os.environ, "BENTOML_HOME": home, "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", *arguments]
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise DataError(f"bentoml {arguments[0]}: {lines[-1] if lines else 'failed without a message'}")

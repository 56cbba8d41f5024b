"""A throw-away project with a registry: real git, real DVC, small ONNX models, and what `evaluate` makes of them."""

import contextlib
import functools
import io
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import evaluations
import numpy as np
import onnx
import onnx_models
import pytest
from dvc.repo import Repo
from onnx import numpy_helper

from pipeline.config import params
from pipeline.core.files import digest, write_json
from pipeline.core.images import BLANK, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.evaluation.evaluated import Evaluated
from pipeline.evaluation.scores import by_suite, pooled_coverage
from pipeline.events import repository
from pipeline.records.data import Duplicates, ValidationReport
from pipeline.records.evaluation import Evaluation
from pipeline.records.manifest import Manifest
from pipeline.registry import artifacts
from pipeline.registry.artifacts import Artifact
from pipeline.registry.cli import main
from pipeline.registry.operations import Registry
from pipeline.runtime.reader import Reader

ROOT = Path(__file__).parents[2]
MODEL = Artifact("strip-reader", "artifacts/strips/model.onnx")
ARTIFACT = MODEL.name
STRATEGY = "slice"
SUITES = ("plain", "blanks")
TRAINED_ON = "mnist/mnist"
SIZES = {"valid": 300, "gate": 1000, "test": 300}
GOOD, BETTER, WORSE = 8.0, 7.0, 9.2
"""Biases of the blank class. The lower the bias, the fainter the bars that a model still reads."""


def create(folder: Path, *, origin: str = "mnist") -> Path:
    """A project with pictures and without a model."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.org")
    with Repo.init(str(folder)):
        pass
    write_json(folder / "params.yaml", parameters())
    (folder / "pipeline").symlink_to(ROOT / "pipeline")
    (folder / ".gitignore").write_text("/pipeline\n/data/\n/predictions/\n/reports/\n/deploy/\nmodel.onnx\n")
    (folder / "requirements").mkdir()
    (folder / "requirements/pipeline.lock").write_text("numpy==2.4.0 --hash=sha256:0\n")
    datasets = [*(f"strips/{suite}" for suite in SUITES), TRAINED_ON]
    reports = [artifacts.validation(dataset) for dataset in datasets]
    stages = {
        "compose": {"cmd": "true", "outs": [*(f"data/strips/{suite}" for suite in SUITES), *reports]},
        "evaluate": {"cmd": "true", "outs": [f"predictions/strips/{STRATEGY}"]},
        "package": {"cmd": "true", "outs": [MODEL.model]},
    }
    entries = {ARTIFACT: {"path": MODEL.model, "type": "model"}}
    write_json(folder / "dvc.yaml", {"stages": stages, "artifacts": entries})
    for dataset in datasets:
        task, suite = dataset.split("/")
        ValidationReport(
            suite=suite, task=task, origin=origin, success=True, splits={}, expectations=(),
            duplicates=Duplicates(across_splits=0, within_splits=0), notes=(),
        ).write(folder / artifacts.validation(dataset))  # fmt: skip
    compose(folder, origin=origin)
    return folder


@functools.cache
def parameters() -> dict[str, Any]:
    """The project's params.yaml, cut down to one strategy: DVC parses it for every version that it opens."""
    document = params.read(ROOT / "params.yaml")
    entry = document["strategies"][STRATEGY]
    # What a test says of corrupted pictures is judged against the champion; this bound has tests of its own.
    bounds = document["gates"]["tasks"]["strips"] | {"accepted_wrong": 1.0}
    return document | {
        "suites": {name: document["suites"][name] for name in ("mnist", *SUITES)},
        "reported": {"strips": list(SUITES)},
        "previews": document["previews"] | {"suites": {"mnist": "mnist/mnist"}},
        "features": {},
        "proposals": [],
        "strategies": {STRATEGY: entry | {"features": f"data/{entry['train_on']}"}},
        "package": {"strips": {}},
        "gates": document["gates"] | {"tasks": {"strips": bounds}},
    }


def compose(folder: Path, *, origin: str = "mnist", seed: int = 1) -> None:
    """Pictures of bars, a few of them so faint that a model may miss them."""
    generator = np.random.default_rng(seed)
    for suite in SUITES:
        for split, n in SIZES.items():
            labels = generator.integers(0, 10, (n, 5)).astype(np.uint8)
            if suite == "blanks":
                labels[generator.random(labels.shape) < 0.3] = BLANK
            faint = generator.random(labels.shape) < 0.02
            strength = np.where(
                faint, generator.uniform(0.4, 0.6, labels.shape), generator.uniform(0.7, 1, labels.shape)
            )
            images = np.stack([onnx_models.draw(row) for row in labels]).reshape(n, 28, 5, 28, 1)
            images = (images * strength[:, None, :, None, None]).astype(np.uint8).reshape(n, *STRIP_SHAPE)
            ImageSet(images, labels, STRIP_NAMES, origin).save(folder / MODEL.pictures(suite, split))


def package(folder: Path, bias: float, *, pad: int = 0, **changes: object) -> None:
    """Make a model the candidate, as `evaluate` and `package` do, and commit it.

    Args:
        folder: the project.
        bias: of the blank class.
        pad: bytes to make the file larger by.
        changes: keys of the manifest to replace.
    """
    model = folder / MODEL.model
    model.parent.mkdir(parents=True, exist_ok=True)
    model.unlink(missing_ok=True)
    model.write_bytes(_biased(bias, pad))
    pictures = {
        suite: {split: ImageSet.load(folder / MODEL.pictures(suite, split)) for split in SIZES} for suite in SUITES
    }
    document = onnx_models.manifest(model.read_bytes()) | {
        "strategy": STRATEGY,
        "suites": SUITES,
        "trained_on": TRAINED_ON,
        "origin": pictures["plain"]["gate"].origin,
        "parity": {suite: parity() for suite in SUITES},
        "made_with": {"keras": "3.15.1", "tensorflow": "2.21.0"},
        "settings": {"dropout": 0.3},
    }
    manifest = Manifest.model_validate(document)
    manifest.write(folder / MODEL.manifest)
    reader = Reader.load(model.parent)
    results = {
        suite: {split: Evaluated.of(reader.read(each.images), each) for split, each in splits.items()}
        for suite, splits in pictures.items()
    }
    for suite, splits in results.items():
        for split, evaluated in splits.items():
            path = folder / MODEL.predictions(STRATEGY, suite, split)
            path.unlink(missing_ok=True)
            evaluated.readings.save(path)
    coverage = pooled_coverage(results)
    Evaluation(
        suites=by_suite(results, coverage.threshold),
        coverage=coverage,
        sha256=manifest.model.sha256,
        **manifest.model_dump(
            include={"strategy", "task", "origin", "precision", "parameters", "deployable", "pretrained"}
        ),
    ).write(folder / MODEL.evaluation(STRATEGY))
    write_robustness(folder, manifest.model.sha256)
    write_json(folder / MODEL.manifest, manifest.as_json() | changes)
    commit(folder, f"a model with bias {bias:g}")


def write_robustness(folder: Path, sha256: str, **changes: object) -> None:
    """What `robustness` says of a model; `changes` are of the figures in short."""
    made = evaluations.robustness(STRATEGY, sha256=sha256)
    made = made.model_copy(update={"shift": made.shift.model_copy(update=changes)})
    made.write(folder / MODEL.robustness(STRATEGY))


def parity(holds: bool = True) -> dict[str, Any]:
    """What the manifest has of the parity on one suite."""
    return {
        "pictures": 300, "same_readings": 300, "differing": 0, "unsteady": 0,
        "largest_difference": 0.0, "largest_box_difference": None, "holds": holds,
    }  # fmt: skip


def commit(folder: Path, message: str) -> str:
    """Give what stages write to DVC, and the rest to git."""
    with Repo(str(folder)) as repo:
        repo.commit(force=True)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str, **environment: str) -> str:
    """The output of git."""
    command = ["env", *(f"{name}={value}" for name, value in environment.items()), "git", *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def tag(folder: Path, name: str, message: str, target: str = "HEAD", *, date: str = "2026-01-01T00:00:00Z") -> None:
    """An annotated tag that was made by hand."""
    git(folder, "tag", "-f", "-a", "-m", message, name, f"{target}^{{commit}}", GIT_COMMITTER_DATE=date)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    return digest(path)


@contextlib.contextmanager
def slow_clock() -> Iterator[None]:
    """Make the registry's clock an hour slow: then tags of GTO's own commands, in this second, are later than its own.

    GTO takes the clock's time, and the registry a second more than that of the last tag.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repository, "time", SimpleNamespace(time=lambda: time.time() - 3600))
        yield


def run(project: Path, *arguments: str) -> tuple[int, str, str]:
    """Run one command of the registry in a project: exit code, standard output and standard error."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.chdir(project), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as ended:
            code = ended.code
    return code, out.getvalue(), err.getvalue()


def done(project: Path, *arguments: str) -> str:
    """Standard output of a command that succeeds."""
    code, out, err = run(project, *arguments)
    assert code == 0, out + err
    return out


def answer(project: Path, *arguments: str, code: int = 0) -> Any:
    """What a command prints with `--json`."""
    got, out, err = run(project, *arguments, "--json")
    assert got == code, out + err
    return json.loads(out)


def refused(project: Path, *arguments: str, code: int = 4) -> str:
    """The one line of standard error with which a command ends."""
    got, out, err = run(project, *arguments)
    assert got == code, out + err
    assert err.count("\n") == 1, err
    return err


def lift(project: Path, version: str, last: str = "prod") -> None:
    """Promote a version through the stages that it is not in."""
    for stage in ("dev", "staging", "prod"):
        if in_stage(project, stage) != version:
            done(project, "promote", f"{ARTIFACT}@{version}", stage)
        if stage == last:
            return


def in_stage(project: Path, stage: str = "prod") -> str | None:
    """The version in a stage."""
    return Registry.open(project).history.in_stage(ARTIFACT, stage)


def cached(project: Path, path: str, version: str = "v0.3.0") -> Path:
    """Where DVC's cache keeps a file of a version."""
    md5 = Registry.open(project).history.version(ARTIFACT, version).evidence.files[path]
    return project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def damage(path: Path) -> None:
    """Change one byte, as a bad disk does."""
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _biased(bias: float, pad: int) -> bytes:
    model = onnx.load_from_string(onnx_models.band_model(STRIP_SHAPE, 5, len(STRIP_NAMES)))
    for value in model.graph.initializer:
        if value.name == "bias":
            biases = numpy_helper.to_array(value).copy()
            biases[BLANK] = bias
            value.CopyFrom(numpy_helper.from_array(biases, "bias"))
    if pad:
        model.doc_string = "x" * pad
    return model.SerializeToString()

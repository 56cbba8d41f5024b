"""A throw-away project with a registry: real git, DVC and ONNX models of bars, and what `evaluate` makes of them."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
from dvc.repo import Repo
from onnx import numpy_helper
from onnx_models import band_model, draw

from pipeline.core.files import write_json
from pipeline.core.images import BLANK, STRIP_NAMES, STRIP_SHAPE, ImageSet
from pipeline.evaluation import scoring
from pipeline.runtime.reader import Reader

ROOT = Path(__file__).parents[2]
ARTIFACT = "strip-reader"
STRATEGY = "slice"
SUITES = ("plain", "blanks")
SIZES = {"valid": 300, "gate": 1000, "test": 300}
GOOD, BETTER, WORSE = 8.0, 7.0, 9.2
"""Biases of the blank class: the lower, the fainter the bars that a model still reads."""


def create(folder: Path, *, origin: str = "mnist") -> Path:
    """A project with pictures and a first model, committed."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.org")
    with Repo.init(str(folder)):
        pass
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "pipeline").symlink_to(ROOT / "pipeline")
    (folder / ".gitignore").write_text("/pipeline\n/data/\n/predictions/\n/reports/\n/deploy/\nmodel.onnx\n")
    (folder / "requirements").mkdir()
    (folder / "requirements/pipeline.lock").write_text("numpy==2.4.0 --hash=sha256:0\n")
    reports = [f"reports/validation/strips/{suite}.json" for suite in SUITES] + ["reports/validation/mnist/mnist.json"]
    sets = [f"data/strips/{suite}" for suite in SUITES]
    stages = {
        "compose": {"cmd": "true", "outs": [*sets, *reports]},
        "evaluate": {"cmd": "true", "outs": [f"predictions/{STRATEGY}"]},
        "package": {"cmd": "true", "outs": ["artifacts/strips/model.onnx"]},
    }
    artifacts = {ARTIFACT: {"path": "artifacts/strips/model.onnx", "type": "model"}}
    write_json(folder / "dvc.yaml", {"stages": stages, "artifacts": artifacts})
    for report in reports:
        write_json(folder / report, {"success": True})
    compose(folder, origin=origin)
    return folder


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
            images = np.stack([draw(row) for row in labels]).reshape(n, 28, 5, 28, 1)
            images = (images * strength[:, None, :, None, None]).astype(np.uint8).reshape(n, *STRIP_SHAPE)
            ImageSet(images, labels, STRIP_NAMES, origin).save(folder / f"data/strips/{suite}/{split}.npz")


def package(folder: Path, bias: float, *, pad: int = 0, **changes: object) -> None:
    """Make a model the candidate, as `evaluate` and `package` leave one, and commit it.

    Args:
        bias: of the blank class.
        pad: bytes to make the file larger by.
        changes: keys of the manifest to replace.
    """
    target = folder / "artifacts/strips"
    target.mkdir(parents=True, exist_ok=True)
    (target / "model.onnx").unlink(missing_ok=True)
    (target / "model.onnx").write_bytes(_biased(bias, pad))
    sets = {
        suite: {split: ImageSet.load(folder / f"data/strips/{suite}/{split}.npz") for split in SIZES}
        for suite in SUITES
    }
    origin = sets["plain"]["gate"].origin
    manifest = {
        "task": "strips",
        "strategy": STRATEGY,
        "model": {
            "file": "model.onnx",
            "sha256": sha256(target / "model.onnx"),
            "bytes": (target / "model.onnx").stat().st_size,
        },
        "inputs": dict(zip(("height", "width", "channels"), STRIP_SHAPE, strict=True)),
        "slots": 5,
        "class_names": list(STRIP_NAMES),
        "origin": origin,
        "pretrained": "not_applicable",
        "parameters": 308,
        "trained_on": "mnist/mnist",
        "positional": True,
        "coverage": {"threshold": 0.9},
        "metrics": {},
        "parity": {suite: {"holds": True} for suite in SUITES},
        "made_with": {"keras": "3.15.1", "tensorflow": "2.21.0"},
    }
    write_json(target / "manifest.json", manifest)
    reader = Reader.load(target)
    read = {suite: {split: reader.read(pictures.images) for split, pictures in sets[suite].items()} for suite in sets}
    for suite, splits in read.items():
        for split, readings in splits.items():
            path = folder / f"predictions/{STRATEGY}/{suite}-{split}.npz"
            path.unlink(missing_ok=True)
            readings.save(path)
    scores = scoring.evaluation(read, sets, True)
    write_json(folder / f"metrics/evaluation/{STRATEGY}.json", {"strategy": STRATEGY, "origin": origin, **scores})
    write_json(target / "manifest.json", manifest | changes)
    commit(folder, f"a model with bias {bias:g}")


def commit(folder: Path, message: str) -> str:
    """Give what stages write to DVC, and the rest to git."""
    with Repo(str(folder)) as repo:
        repo.commit(force=True)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    """What git says."""
    result = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def sha256(path: Path) -> str:
    """Of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _biased(bias: float, pad: int) -> bytes:
    model = onnx.load_from_string(band_model(STRIP_SHAPE, 5, len(STRIP_NAMES)))
    for value in model.graph.initializer:
        if value.name == "bias":
            biases = numpy_helper.to_array(value).copy()
            biases[BLANK] = bias
            value.CopyFrom(numpy_helper.from_array(biases, "bias"))
    if pad:
        model.doc_string = "x" * pad
    return model.SerializeToString()

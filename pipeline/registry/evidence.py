"""What a version records of itself: everything by which it can be judged, checked and made again."""

import hashlib
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from pipeline.config import params
from pipeline.core.errors import PipelineError, RegistryError
from pipeline.core.files import read_json, write_json
from pipeline.registry import artifacts
from pipeline.registry.artifacts import Artifact
from pipeline.registry.repository import Repository
from pipeline.registry.storage import Storage, digest
from pipeline.runtime.reader import MANIFEST, Reader

SCHEMA = 1
SPLITS = ("valid", "gate", "test")
NEEDED = (
    "sha256",
    "strategy",
    "revision",
    "origin",
    "pretrained",
    "metrics",
    "files",
    "validation",
    "parity",
    "signature",
)
"""The keys without which a version's evidence is not whole."""
_MEASURES = (
    "n",
    "sequence_accuracy",
    "ci_low",
    "ci_high",
    "digit_accuracy",
    "ece",
    "coverage_995",
    "accuracy_at_coverage",
)
_LOCK = "requirements/pipeline.lock"


def collect(repository: Repository, artifact: Artifact, revision: str) -> dict[str, Any]:
    """Everything that a version of an artifact records, as `revision` holds it.

    Returns:
        Plain values: `sha256`, `md5` and `bytes` of the model, its `strategy` and `task`; `revision`; the digests of
        `dvc.lock` and `params.yaml`, and the `params` that made the model; `origin` and `pretrained`; `metrics` by
        suite and split, with intervals; `files`, the MD5 of every file the metrics rest on; `validation` by data set;
        `parity` by suite; `signature`, the names, types and shapes of inputs and outputs; `environment`.

    Raises:
        RegistryError: a file is missing, gone or changed, or the model is not what its manifest says.
    """
    manifest = _json(repository, revision, artifact.manifest)
    strategy = manifest["strategy"]
    evaluation = _json(repository, revision, artifacts.evaluation(strategy))
    suites = list(evaluation["suites"])
    lock, written = repository.text(revision, "dvc.lock"), repository.text(revision, "params.yaml")
    with Storage.at(repository.root, revision) as storage, tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = storage.fetch(artifact.model, folder / Path(artifact.model).name)
        write_json(folder / MANIFEST, manifest)
        sha256 = digest(model, "sha256")
        if sha256 != manifest["model"]["sha256"]:
            raise RegistryError(
                f"{artifact.model}: SHA-256 {sha256} found, expected {manifest['model']['sha256']} "
                "as its manifest says; run `make repro` and commit what it wrote"
            )
        files = {artifact.model: storage.md5(artifact.model)}
        for suite in suites:
            for split in SPLITS:
                for path in (artifact.pictures(suite, split), artifacts.predictions(strategy, suite, split)):
                    files[path] = storage.md5(path)
        validation = {}
        for dataset in sorted({manifest["trained_on"], *(f"{artifact.task}/{suite}" for suite in suites)}):
            path = artifacts.validation(dataset)
            report = read_json(storage.fetch(path, folder / "validation.json"))
            validation[dataset], files[path] = bool(report["success"]), storage.md5(path)
        signature = _signature(model)
        (folder / "params.yaml").write_text(written, encoding="utf-8")
        settings = params.read(folder / "params.yaml")
    return {
        "schema": SCHEMA,
        "kind": "version",
        "artifact": artifact.name,
        "task": artifact.task,
        "strategy": strategy,
        "sha256": sha256,
        "md5": files[artifact.model],
        "bytes": manifest["model"]["bytes"],
        "revision": revision,
        "dvc_lock_sha256": _sha256(lock),
        "params_sha256": _sha256(written),
        "params": {
            **{key: settings[key] for key in ("seed", "budget", "precision", "compose", "sources") if key in settings},
            "suites": {name: suite for name, suite in settings["suites"].items() if suite["task"] == artifact.task},
            "strategy": settings["strategies"][strategy],
        },
        "origin": manifest["origin"],
        "pretrained": manifest["pretrained"],
        "parameters": manifest["parameters"],
        "trained_on": manifest["trained_on"],
        "metrics": {
            suite: {split: {key: scores[split][key] for key in _MEASURES} for split in ("gate", "test")}
            for suite, scores in evaluation["suites"].items()
        },
        "coverage": evaluation["coverage"],
        "files": files,
        "validation": validation,
        "parity": {suite: bool(result["holds"]) for suite, result in manifest["parity"].items()},
        "signature": {
            **signature,
            "slots": manifest["slots"],
            "class_names": manifest["class_names"],
        },
        "environment": {
            **manifest["made_with"],
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "lock_sha256": _sha256(repository.text(revision, _LOCK)),
        },
    }


def milliseconds(reader: Reader, times: int = 30) -> float:
    """Median wall clock of reading one picture on one thread, in ONNX Runtime."""
    picture = np.zeros((1, *reader.manifest.shape), np.uint8)
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        reader.read(picture)
        taken.append(time.perf_counter() - started)
    return round(1000 * statistics.median(taken), 3)


def _signature(model: Path) -> dict[str, Any]:
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        Reader.load(model.parent)
    except PipelineError as error:
        raise RegistryError(str(error)) from None
    except Exception as error:  # ONNX Runtime's own exceptions share no base class but this.
        raise RegistryError(f"{model.name}: ONNX Runtime cannot load it ({str(error).splitlines()[0]})") from None
    return {
        side: [{"name": value.name, "type": value.type, "shape": list(value.shape)} for value in values]
        for side, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
    }


def _json(repository: Repository, revision: str, path: str) -> Any:
    try:
        return json.loads(repository.text(revision, path))
    except ValueError:
        raise RegistryError(f"{path}: no JSON at {revision[:12]}; run `make repro` and commit what it wrote") from None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

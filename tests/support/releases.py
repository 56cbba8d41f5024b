"""Released folders of small models, as `registry release` writes them."""

from pathlib import Path

import onnx_models

from pipeline.core.files import digest, read_json, write_json
from pipeline.records.manifest import Manifest
from pipeline.records.release import RELEASE, Release, ReleaseAccuracy, ReleasedModel, ReleasedTask


def make(folder: Path, *tasks: str) -> Path:
    """A released folder with the models of bars of these tasks, that of strips with another strategy beside it."""
    released = {}
    for task in tasks:
        target = onnx_models.package(folder, task, version="v1.2.3")
        _describe(target / "manifest.json", f"{task}-reader")
        model = _released(target)
        others = {}
        if task == "strips":
            beside = onnx_models.package(folder / task / "strategies", task)
            beside = beside.rename(beside.with_name("other"))
            _describe(beside / "manifest.json", f"{task}-reader", strategy="other")
            others["other"] = _released(beside)
        released[task] = ReleasedTask(
            artifact=f"{task}-reader",
            version="v1.2.3",
            revision="0" * 40,
            model=model,
            strategies=others,
            left_out={},
        )
    files = {path.relative_to(folder).as_posix(): digest(path) for path in sorted(folder.rglob("*.*"))}
    Release(stage="prod", tasks=released, files=files).write(folder / RELEASE)
    return folder


def _describe(path: Path, artifact: str, **changes: object) -> None:
    document = read_json(path)
    given = document["model"]
    origin = {"artifact": artifact, "sha256": given["sha256"], "bytes": given["bytes"], "weights": "float32"}
    write_json(path, document | {"released": origin} | changes)


def _released(folder: Path) -> ReleasedModel:
    manifest = Manifest.read(folder / "manifest.json")
    return ReleasedModel(
        strategy=manifest.strategy,
        weights="float32",
        original=manifest.model,
        released=manifest.model,
        valid={"plain": ReleaseAccuracy(n=300, original=0.97, released=0.97)},
    )

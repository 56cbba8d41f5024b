"""Keras, the exported graph and the service over HTTP, compared on every picture of the test splits.

`python -m benchmarks.parity` asks a running service for each packaged model, with the rule of the stage `export`: the
same readings within the tolerances of pipeline/export/parity.py, except for a few that rounding decides. It needs what
`make repro` leaves behind. Exit 3 where they differ.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
from tqdm import tqdm

from pipeline.config import params
from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.core.readings import Readings, left_to_right
from pipeline.export import parity
from pipeline.project import command
from pipeline.records.manifest import Manifest
from pipeline.runtime.reader import Reader, load_manifests
from pipeline.training import models

_BATCH = 256


def main(
    url: str = "http://127.0.0.1:3000",
    artifacts: Path = Path("artifacts"),
    models_folder: Path = Path("models"),
    data: Path = Path("data"),
    pictures: int = 0,
) -> None:
    """Print a line for each suite of each packaged model.

    Args:
        url: of a service that serves `artifacts`.
        artifacts: the packaged models.
        models_folder: the trained ones.
        data: the composed suites.
        pictures: of each suite, from its start; 0 for all of them.
    """
    settings = params.load(Path("params.yaml"))
    broken = []
    for task, manifest in load_manifests(artifacts).items():
        reader = Reader.load(artifacts / task)
        keras = _keras(models_folder / task / manifest.strategy / "model.keras", manifest)
        for suite in settings.suites_of(task):
            path = data / task / suite / "test.npz"
            if suite not in manifest.suites or not path.is_file():
                continue
            images = ImageSet.load(path).images[: pictures or None]
            others = {
                "ONNX": _ordered(reader.read(images, batch=_BATCH), manifest),
                "HTTP": over_http(url, images, manifest),
            }
            for name, theirs in others.items():
                found = parity.compare(keras, images, theirs)
                print(f"{task}/{suite}, {name}: {found}")
                if not found.holds:
                    broken.append(f"{task}/{suite}, {name}: {found}")
    if broken:
        raise DataError(f"Keras and what is served differ: {'; '.join(broken)}")


def over_http(url: str, images: np.ndarray, manifest: Manifest) -> Readings:
    """The readings of the service for uint8 (n, height, width, channels), with the probabilities of all classes."""
    path = "/classify_many" if manifest.task == "cifar10" else "/read_many"
    rows, classes, confidences = [], [], []
    with httpx.Client(base_url=url, timeout=120) as client:
        for part in tqdm(list(_parts(images)), desc=path, disable=None):
            file = io.BytesIO()
            np.save(file, np.ascontiguousarray(part))
            headers = {"Content-Type": "application/x-npy"}
            response = client.post(f"{path}?probabilities=true", content=file.getvalue(), headers=headers)
            if response.status_code != 200:
                raise DataError(f"{url}{path}: {response.status_code} {response.text[:200]}")
            document = response.json()
            if document["models"][manifest.task]["sha256"] != manifest.model.sha256:
                raise DataError(f"{url}: it does not serve {manifest.model.sha256} for {manifest.task}")
            for answer in document["answers"]:
                slots = answer["slots"]
                rows.append([list(slot["probabilities"].values()) for slot in slots])
                classes.append([manifest.class_names.index(slot["class"]) for slot in slots])
                confidences.append(answer["confidence"])
    return Readings(np.array(rows, np.float32), np.array(classes, np.uint8), np.array(confidences, np.float32))


def _keras(path: Path, manifest: Manifest) -> parity.Read:
    graph = models.traced(models.load(path))
    return lambda images: _ordered(models.read(graph, images), manifest)


def _parts(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), _BATCH):
        yield images[start : start + _BATCH]


def _ordered(readings: Readings, manifest: Manifest) -> Readings:
    return readings if manifest.positional else left_to_right(readings, manifest.blank)


if __name__ == "__main__":
    command.run(main)

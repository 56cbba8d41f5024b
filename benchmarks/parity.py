"""Keras in float32, the exported graph, and the service over HTTP, on every picture of the test split.

`python -m benchmarks.parity` asks a running service for each packaged model: probabilities within 1e-4, and the same
reading but for near-ties, which are counted and listed. It needs what `make repro` leaves behind. Exit 3 where they
differ.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from tqdm import tqdm

from pipeline import command, models, params
from pipeline.errors import DataError
from pipeline.export import TOLERANCE
from pipeline.images import ImageSet
from pipeline.readings import Readings, left_to_right
from pipeline.runtime import Reader, load_manifests

_BATCH = 256
_DECIMALS = 5e-7
"""Of half a last digit: the service says six decimals."""


@dataclass(frozen=True)
class Difference:
    """Where two ways to read differ, over n pictures.

    Attributes:
        largest: difference of a probability.
        near_ties: pictures read differently whose two best classes lie within twice the tolerance in such a slot.
        others: pictures read differently without that.
    """

    largest: float
    near_ties: tuple[int, ...]
    others: tuple[int, ...]


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
        network = models.load(models_folder / manifest.strategy / "model.keras")
        reader = Reader.load(artifacts / task)
        for suite in settings.suites_of(task):
            path = data / task / suite / "test.npz"
            if not path.is_file():
                continue
            images = ImageSet.load(path).images[: pictures or None]
            keras = _ordered(models.read(network, images), reader)
            onnx = _ordered(_joined(reader, images), reader)
            http = over_http(url, images, reader)
            for name, said in (("ONNX", onnx), ("HTTP", http)):
                found = difference(keras, said)
                ties = ", ".join(map(str, found.near_ties[:20])) or "none"
                print(f"{task}/{suite}: {name}, {len(images)} pictures: largest {found.largest:.1e}, near-ties: {ties}")
                if found.largest > TOLERANCE + _DECIMALS or found.others:
                    broken.append(f"{task}/{suite}, {name}: pictures {found.others[:10]}, {found.largest:.1e}")
    if broken:
        raise DataError(f"Keras and what is served differ: {'; '.join(broken)}; expected at most {TOLERANCE}")


def over_http(url: str, images: np.ndarray, reader: Reader) -> Readings:
    """What the service reads, asked with .npy bodies and for the probabilities of all classes."""
    manifest = reader.manifest
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
            if document["models"][manifest.task]["sha256"] != manifest.sha256:
                raise DataError(f"{url}: it serves another model of {manifest.task} than {manifest.sha256}")
            for answer in document["answers"]:
                slots = answer["slots"]
                rows.append([list(slot["probabilities"].values()) for slot in slots])
                classes.append([manifest.class_names.index(slot["class"]) for slot in slots])
                confidences.append(answer["confidence"])
    return Readings(np.array(rows, np.float32), np.array(classes, np.uint8), np.array(confidences, np.float32))


def difference(one: Readings, other: Readings) -> Difference:
    """Compare readings of the same pictures."""
    same = one.classes == other.classes
    best = np.sort(one.probabilities, axis=-1)
    tied = best[..., -1] - best[..., -2] <= 2 * TOLERANCE
    read = same.all(axis=1)
    ties = ~read & (same | tied).all(axis=1)
    gaps = np.abs(one.probabilities - other.probabilities).max(axis=(1, 2))
    # Of two slots as good as tied, which comes first is a matter of rounding, and their rows change places with them.
    largest = float(gaps[~ties].max(initial=0.0))
    return Difference(largest, tuple(np.flatnonzero(ties).tolist()), tuple(np.flatnonzero(~read & ~ties).tolist()))


def _joined(reader: Reader, images: np.ndarray) -> Readings:
    parts = [reader.read(part) for part in _parts(images)]
    boxes = None if parts[0].boxes is None else np.concatenate([part.boxes for part in parts])
    joined = [
        np.concatenate([getattr(part, name) for part in parts]) for name in ("probabilities", "classes", "confidence")
    ]
    return Readings(*joined, boxes)


def _parts(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), _BATCH):
        yield images[start : start + _BATCH]


def _ordered(readings: Readings, reader: Reader) -> Readings:
    return readings if reader.manifest.positional else left_to_right(readings, reader.manifest.blank)


if __name__ == "__main__":
    command.run(main)

"""Small files in the formats of MNIST and CIFAR-10, sound or not."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np

from pipeline.data import cifar10

BATCHES = [batch for batches in cifar10.BATCHES.values() for batch in batches]


def idx(values: np.ndarray, magic: int | None = None) -> bytes:
    """Pictures (n, H, W) or labels (n,) as an IDX file."""
    if magic is None:
        magic = 2049 if values.ndim == 1 else 2051
    return np.array([magic, *values.shape], ">u4").tobytes() + values.tobytes()


def pictures(count: int, side: int = 28) -> np.ndarray:
    """Noise, uint8 (count, side, side); the same for the same count."""
    return np.random.default_rng(count).integers(0, 256, (count, side, side), np.uint8)


def mnist_files() -> dict[str, bytes]:
    """The four files of a data set of 20 and 10 digits, decompressed."""
    content = {}
    for prefix, count in (("train", 20), ("t10k", 10)):
        content[f"{prefix}-images-idx3-ubyte"] = idx(pictures(count))
        content[f"{prefix}-labels-idx1-ubyte"] = idx(np.arange(count, dtype=np.uint8) % 10)
    return content


def write_mnist(folder: Path, content: dict[str, bytes]) -> dict[str, str]:
    """Write files compressed to `folder/mnist`; returns their digests."""
    (folder / "mnist").mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / "mnist" / f"{name}.gz").write_bytes(gzip.compress(data, mtime=0))
    return {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}


def records(count: int, seed: int = 0) -> np.ndarray:
    """CIFAR-10 records, some equal up to zeros at their end, which an order of texts could get wrong."""
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 256, (count, cifar10.RECORD), np.uint8)
    made[:, 0] %= 10
    made[::3, rng.integers(1, 5) :] = 0
    made[1::3] = made[::3][: len(made[1::3])]
    made[1::3, -1] = 1
    return made


def tar(members: list[tuple[str | tarfile.TarInfo, bytes]]) -> bytes:
    """An uncompressed tar of `(name or TarInfo, content)`."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def batches(content: bytes = b"\1" * cifar10.RECORD) -> list[tuple[str | tarfile.TarInfo, bytes]]:
    """Members of CIFAR-10's archive, all with the same content."""
    return [(f"cifar-10-batches-bin/{name}", content) for name in BATCHES]

"""CIFAR-10, binary version: where its archive is, what its records must be, and how they are decoded.

Published by Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009). The version for Python is not
used: it is a pickle, which can run code when it is read.
"""

import hashlib
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.remote import archives
from pipeline.remote.downloads import RemoteFile, obtain

URLS = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
)
"""Public copies, in the order in which they are tried."""
BATCHES = {"pool": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
"""The files of each set in the archive."""
RECORDS_SHA256 = {
    "pool": "72083841cd0fa633f09b24c0833cf6d6a1809caff400317117334e0aa6b0ed46",
    "test": "f1bbb931260cda782c84c1948c82d910e2c193cb1d56756293f445027090946b",
}
"""SHA-256 of the records of each set, sorted bytewise and joined."""
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
"""Height and width of a picture, in pixels."""
RECORD = 1 + 3 * SIDE * SIDE
"""Bytes of a record: the label, then the red, green and blue planes."""
_RECORDS_PER_BATCH = 10_000
_LIMIT = 256 << 20


def fetch(mirror: str, cache: Path) -> dict[str, ImageSet]:
    """Get and verify CIFAR-10.

    Args:
        mirror: a folder or an http(s) URL that holds `cifar10/cifar-10-binary.tar.gz`; "" for the public copies.
        cache: folder of the downloads.

    Returns:
        `pool` (50,000 pictures, uint8 32×32×3) and `test` (10,000), both sorted by record, so that the order does not
        depend on the copy.

    Raises:
        ConfigurationError, DataError, Unreachable: as `downloads.obtain`.
    """
    return obtain(RemoteFile("cifar10/cifar-10-binary.tar.gz", URLS, _LIMIT), mirror, cache, _read)


def read_archive(data: bytes, name: str) -> dict[str, bytes]:
    """The batches in CIFAR-10's archive, by file name.

    Args:
        data: the tar archive, already decompressed.
        name: what messages call the archive.

    Raises:
        DataError: as `archives.read_tar`, or a batch is empty or has an incomplete record.
    """
    members = {batch for batches in BATCHES.values() for batch in batches}
    found = archives.read_tar(data, name, members=members, suffix=".bin", limit=_RECORDS_PER_BATCH * RECORD)
    for batch, content in found.items():
        _expect_records(content, f"{name}: {batch}")
    return found


def decode_records(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Decode CIFAR-10 records into one canonical order: sorted bytewise.

    Args:
        data: the records, joined.
        name: what messages call their file.

    Returns:
        Pictures, uint8 (n, 32, 32, 3), values 0 to 255, and labels, uint8 (n, 1), values 0 to 9.

    Raises:
        DataError: there are no records, or an incomplete one, or a label is above 9.
    """
    _expect_records(data, name)
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0]
    if labels.max() > 9:
        row = int(np.argmax(labels > 9))
        raise DataError(f"{name}: label {labels[row]} found in row {row}, expected 0 to 9")
    as_text = np.ascontiguousarray(records).view(f"S{RECORD}")[:, 0]
    # NumPy drops zeros at the end of a text but does not compare them as smaller, so the order is that of the bytes.
    records = records[np.argsort(as_text, kind="stable")]
    images = records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, :1].copy()


def _read(path: Path) -> dict[str, ImageSet]:
    batches = read_archive(archives.read_gzip(path, _LIMIT), str(path))
    sets = {}
    for name, parts in BATCHES.items():
        images, labels = decode_records(b"".join(batches[part] for part in parts), str(path))
        planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        found = hashlib.sha256(np.concatenate([labels, planes], axis=1).data).hexdigest()
        archives.expect_sha256(found, RECORDS_SHA256[name], path)
        sources = np.arange(len(images), dtype=np.int32)[:, None]
        sets[name] = ImageSet(images, labels, CLASS_NAMES, "cifar10", sources=sources)
    return sets


def _expect_records(data: bytes, name: str) -> None:
    if not data or len(data) % RECORD:
        raise DataError(f"{name}: {len(data):,} bytes found, expected a multiple of {RECORD:,}")

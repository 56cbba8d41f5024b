"""MNIST: where its four files are, what their content must be, and how it is decoded.

Published by LeCun, Cortes and Burges, "The MNIST database of handwritten digits" (1998), which defines the IDX format.
"""

import hashlib
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT, DIGIT_NAMES, ImageSet
from pipeline.remote import archives
from pipeline.remote.downloads import RemoteFile, obtain

URLS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""Folders of public copies, in the order in which they are tried."""
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""SHA-256 of each file, decompressed."""
SETS = {"pool": "train", "test": "t10k"}
"""The prefix of each set's files."""
_LIMIT = 64 << 20
_IMAGES_MAGIC, _LABELS_MAGIC = 2051, 2049


def fetch(mirror: str, cache: Path) -> dict[str, ImageSet]:
    """Get and verify MNIST.

    Args:
        mirror: a folder or an http(s) URL that holds `mnist/FILE.gz`; "" for the public copies.
        cache: folder of the downloads.

    Returns:
        `pool` (60,000 pictures, uint8 28×28×1) and `test` (10,000), both in the order of their files.

    Raises:
        ConfigurationError, DataError, Unreachable: as `downloads.obtain`; DataError also for numbers of pictures and
            labels that differ.
    """
    content = {file: _content(file, mirror, cache) for file in FILES}
    sets = {}
    for name, prefix in SETS.items():
        images_file, labels_file = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
        images = decode_images(content[images_file], f"{images_file}.gz")
        labels = decode_labels(content[labels_file], f"{labels_file}.gz")
        if len(images) != len(labels):
            raise DataError(
                f"{images_file}.gz: {len(images):,} pictures but {len(labels):,} labels found in {labels_file}.gz, "
                "expected as many of both"
            )
        sources = np.arange(len(images), dtype=np.int32)[:, None]
        sets[name] = ImageSet(images, labels, DIGIT_NAMES, "mnist", sources=sources)
    return sets


def decode_images(data: bytes, name: str) -> np.ndarray:
    """Decode an IDX file of pictures.

    Args:
        data: the file's bytes, decompressed.
        name: what messages call the file.

    Returns:
        uint8 (n, 28, 28, 1), values 0 to 255, light ink on a dark ground.

    Raises:
        DataError: the magic number, a size or the length is not what the format requires.
    """
    sizes = _idx_sizes(data, name, magic=_IMAGES_MAGIC, dimensions=3)
    if sizes[1:] != (DIGIT, DIGIT):
        raise DataError(f"{name}: pictures of {sizes[1]}×{sizes[2]} found, expected {DIGIT}×{DIGIT}")
    return np.frombuffer(data, np.uint8, offset=16).reshape(-1, DIGIT, DIGIT, 1)


def decode_labels(data: bytes, name: str) -> np.ndarray:
    """Decode an IDX file of labels.

    Args:
        data: the file's bytes, decompressed.
        name: what messages call the file.

    Returns:
        uint8 (n, 1), values 0 to 9.

    Raises:
        DataError: the magic number or the length is not what the format requires, or a label is above 9.
    """
    _idx_sizes(data, name, magic=_LABELS_MAGIC, dimensions=1)
    labels = np.frombuffer(data, np.uint8, offset=8)
    if len(labels) and labels.max() > 9:
        row = int(np.argmax(labels > 9))
        raise DataError(f"{name}: label {labels[row]} found in row {row}, expected 0 to 9")
    return labels.reshape(-1, 1)


def _content(file: str, mirror: str, cache: Path) -> bytes:
    def read(path: Path) -> bytes:
        data = archives.read_gzip(path, _LIMIT)
        archives.expect_sha256(hashlib.sha256(data).hexdigest(), FILES[file], path)
        return data

    return obtain(RemoteFile(f"mnist/{file}.gz", tuple(f"{url}{file}.gz" for url in URLS), _LIMIT), mirror, cache, read)


def _idx_sizes(data: bytes, name: str, magic: int, dimensions: int) -> tuple[int, ...]:
    """The sizes in an IDX header: big-endian uint32, first the magic number, then a size for each dimension."""
    length = 4 * (dimensions + 1)
    if len(data) < length:
        raise DataError(f"{name}: {len(data)} bytes found, expected a header of {length}")
    found, *sizes = (int(value) for value in np.frombuffer(data[:length], ">u4"))
    if found != magic:
        raise DataError(f"{name}: magic number {found} found, expected {magic}")
    # Python integers: the product of sizes from a damaged header may exceed 64 bits.
    expected = length + int(np.prod(sizes, dtype=object))
    if len(data) != expected:
        raise DataError(f"{name}: {len(data):,} bytes found, expected {expected:,} by its header")
    return tuple(sizes)

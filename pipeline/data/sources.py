"""MNIST and CIFAR-10: fetched, held against the digest of their decoded content, never unpickled or extracted.

The digest is of what was decoded, so that any copy of the same pictures passes, whatever archive it came in.
"""

import hashlib
import io
import sys
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from pipeline.data import stand_in as stand_in
from pipeline.data import folders
from pipeline.data.downloads import Remote, Unreachable, fetched, mirrored
from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT, DIGIT_NAMES, ImageSet
from pipeline.config.params import PUBLIC

MNIST_ADDRESSES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MNIST_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""SHA-256 of each file, unzipped."""
CIFAR10_ADDRESSES = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
)
CIFAR10_RECORDS = {
    "pool": "72083841cd0fa633f09b24c0833cf6d6a1809caff400317117334e0aa6b0ed46",
    "test": "f1bbb931260cda782c84c1948c82d910e2c193cb1d56756293f445027090946b",
}
"""SHA-256 of the records of each half, sorted bytewise and joined."""
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_BATCHES = {"pool": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
RECORD = 3073
"""Bytes of a CIFAR-10 record: the label, then the red, green and blue planes of 32×32 pixels."""
_BATCH = 10_000
_LARGEST_MNIST = 64 << 20
_LARGEST_CIFAR10 = 256 << 20


def fetch(source: str, origin: str, *, fallback: str, mirror: str, cache: Path) -> dict[str, ImageSet]:
    """Get the pictures of a source, wherever they can be had.

    Args:
        source: `mnist` or `cifar10`.
        origin: `public`, or the path of a folder of the user's own.
        fallback: `embedded` takes the stand-in where the public files cannot be had, `none` makes that an error.
        mirror: a folder or an http(s) address that holds the public files under `mnist/` and `cifar10/`; "" for none.
            When there is one, nothing else is tried: a damaged mirror is an error.
        cache: where downloads are kept.

    Returns:
        Sets by name: `pool`, to be divided among the splits that are missing, and those splits that come as such.

    Raises:
        ConfigurationError: mirror or folder are not there.
        DataError: a file is damaged or is not what it should be, or none can be had and `fallback` is `none`.
    """
    if origin != PUBLIC:
        return folders.read(Path(origin).expanduser(), digits=source == "mnist")
    try:
        return _public(source, mirror, cache)
    except Unreachable as error:
        if fallback == "none":
            raise DataError(
                f"{source}: no network ({error}) and no mirror; set DATASETS_MIRROR to a folder that holds it, "
                "or fetch.fallback to embedded for the offline stand-in"
            ) from None
        print(_warning(source, str(error)), file=sys.stderr)
        return embedded(source)


def embedded(source: str) -> dict[str, ImageSet]:
    """The offline stand-in for a source."""
    return stand_in.digits() if source == "mnist" else stand_in.patches()


def decode_images(data: bytes, name: str) -> np.ndarray:
    """IDX bytes of pictures -> uint8 (n, 28, 28, 1).

    Raises:
        DataError: the magic number, a size, or the length is not what the format says.
    """
    header = _idx_header(data, name, magic=2051, sizes=3)
    if header[1:] != (DIGIT, DIGIT):
        raise DataError(f"{name}: pictures of {header[1]}×{header[2]} found, expected {DIGIT}×{DIGIT}")
    return np.frombuffer(data, np.uint8, offset=16).reshape(-1, DIGIT, DIGIT, 1)


def decode_labels(data: bytes, name: str) -> np.ndarray:
    """IDX bytes of labels -> uint8 (n, 1).

    Raises:
        DataError: the magic number or the length is not what the format says, or a label is above 9.
    """
    _idx_header(data, name, magic=2049, sizes=1)
    labels = np.frombuffer(data, np.uint8, offset=8)
    _expect_labels(labels, name)
    return labels.reshape(-1, 1)


def unzipped(data: bytes, name: str, limit: int) -> bytes:
    """Decompress one gzip member, holding at most `limit` bytes.

    Raises:
        DataError: it is no gzip file, is truncated, goes on after its end, or unpacks to more than `limit` bytes.
    """
    stream = zlib.decompressobj(wbits=31)
    try:
        content = stream.decompress(data, limit + 1)
    except zlib.error:
        raise DataError(f"{name}: {_kind(data)} found, expected gzip; get the file again") from None
    if len(content) > limit:
        raise DataError(f"{name}: unpacks to more than {limit:,} bytes, expected fewer; it was not unpacked further")
    if not stream.eof:
        raise DataError(f"{name}: the gzip file is truncated after {len(data):,} bytes; get the file again")
    if stream.unused_data:
        raise DataError(
            f"{name}: {len(stream.unused_data):,} bytes found after the end of the gzip file, expected none"
        )
    return content


def read_archive(data: bytes, name: str) -> dict[str, bytes]:
    """The batches in CIFAR-10's archive (a tar, already unzipped), by file name.

    Raises:
        DataError: the archive is damaged, a member leaves its folder or is a link, or a batch is missing, doubled, too
            large, or of a size that is no whole number of records.
    """
    wanted = {batch for batches in CIFAR10_BATCHES.values() for batch in batches}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise DataError(f"{name}: member {member.name!r} leads out of the archive's folder; refused")
                # Of a sparse file a few bytes in the archive can be any number when read.
                if not (member.isfile() or member.isdir()) or member.issparse():
                    raise DataError(
                        f"{name}: member {member.name!r} is a link, a device or sparse, expected plain files; refused"
                    )
                if path.suffix != ".bin" or not member.isfile():
                    continue
                if path.name not in wanted:
                    raise DataError(f"{name}: batch {path.name!r} found, expected {', '.join(sorted(wanted))}")
                if path.name in found:
                    raise DataError(f"{name}: batch {path.name} found twice, expected once")
                if member.size > _BATCH * RECORD:
                    raise DataError(
                        f"{name}: {path.name} has {member.size:,} bytes, expected at most {_BATCH * RECORD:,}"
                    )
                found[path.name] = archive.extractfile(member).read()
    except (tarfile.TarError, ValueError, OverflowError):
        raise DataError(f"{name}: damaged, expected a tar archive; get the file again") from None
    if missing := sorted(wanted - set(found)):
        raise DataError(f"{name}: batch {missing[0]} missing, expected {', '.join(sorted(wanted))}")
    for batch, content in found.items():
        _expect_records(content, f"{name}: {batch}")
    return found


def decode_records(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR-10 records -> uint8 (n, 32, 32, 3) and labels (n, 1), in one canonical order: sorted bytewise.

    Raises:
        DataError: there is no whole number of records, or a label is above 9.
    """
    _expect_records(data, name)
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    _expect_labels(records[:, 0], name)
    as_text = np.ascontiguousarray(records).view(f"S{RECORD}")[:, 0]
    # NumPy drops zeros at the end of a text, but does not compare them as smaller: the order is that of the bytes.
    records = records[np.argsort(as_text, kind="stable")]
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, :1].copy()


def digest(pictures: ImageSet) -> str:
    """SHA-256 of a set's pictures and labels, as decoded."""
    sha256 = hashlib.sha256(np.ascontiguousarray(pictures.images))
    sha256.update(np.ascontiguousarray(pictures.labels))
    return sha256.hexdigest()


def _public(source: str, mirror: str, cache: Path) -> dict[str, ImageSet]:
    return _mnist(mirror, cache) if source == "mnist" else _cifar10(mirror, cache)


def _mnist(mirror: str, cache: Path) -> dict[str, ImageSet]:
    content = {}
    for file, expected in MNIST_FILES.items():
        addresses = tuple(f"{address}{file}.gz" for address in MNIST_ADDRESSES)
        remote = Remote(f"mnist/{file}.gz", addresses, _LARGEST_MNIST)

        def verified(path: Path, expected: str = expected) -> bytes:
            data = unzipped(_bounded(path, _LARGEST_MNIST), str(path), _LARGEST_MNIST)
            _expect_digest(hashlib.sha256(data).hexdigest(), expected, path)
            return data

        content[file] = _got(remote, mirror, cache, verified)
    sets = {}
    for name, prefix in (("pool", "train"), ("test", "t10k")):
        images = decode_images(content[f"{prefix}-images-idx3-ubyte"], f"{prefix}-images-idx3-ubyte.gz")
        labels = decode_labels(content[f"{prefix}-labels-idx1-ubyte"], f"{prefix}-labels-idx1-ubyte.gz")
        if len(images) != len(labels):
            raise DataError(
                f"{prefix}-images-idx3-ubyte.gz: {len(images):,} pictures but {len(labels):,} labels found in "
                f"{prefix}-labels-idx1-ubyte.gz, expected as many of both"
            )
        sets[name] = _set(images, labels, DIGIT_NAMES, "mnist")
    return sets


def _cifar10(mirror: str, cache: Path) -> dict[str, ImageSet]:
    remote = Remote("cifar10/cifar-10-binary.tar.gz", CIFAR10_ADDRESSES, _LARGEST_CIFAR10)

    def verified(path: Path) -> dict[str, ImageSet]:
        batches = read_archive(unzipped(_bounded(path, _LARGEST_CIFAR10), str(path), _LARGEST_CIFAR10), str(path))
        sets = {}
        for name, parts in CIFAR10_BATCHES.items():
            images, labels = decode_records(b"".join(batches[part] for part in parts), str(path))
            planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            found = hashlib.sha256(np.concatenate([labels, planes], axis=1)).hexdigest()
            _expect_digest(found, CIFAR10_RECORDS[name], path)
            sets[name] = _set(images, labels, CIFAR10_NAMES, "cifar10")
        return sets

    return _got(remote, mirror, cache, verified)


def _got(remote: Remote, mirror: str, cache: Path, verified):
    """The file's verified content; a download that turns out wrong is not kept, and one from before is fetched anew."""
    if mirror and not mirror.startswith(("http://", "https://")):
        return verified(mirrored(remote, mirror, cache))
    kept = (cache / remote.name).is_file()
    path = mirrored(remote, mirror, cache) if mirror else fetched(remote, cache)
    try:
        return verified(path)
    except DataError as error:
        path.unlink(missing_ok=True)
        if not kept:
            raise DataError(f"{error}; it was removed from the cache, run again to download it anew") from None
    return _got(remote, mirror, cache, verified)


def _bounded(path: Path, limit: int) -> bytes:
    if (size := path.stat().st_size) > limit:
        raise DataError(f"{path}: {size:,} bytes found, expected at most {limit:,}")
    return path.read_bytes()


def _kind(data: bytes) -> str:
    if data[:256].lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page"
    return "a damaged gzip file" if data.startswith(b"\x1f\x8b") else "no gzip file"


def _set(images: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], origin: str) -> ImageSet:
    return ImageSet(images, labels, class_names, origin, sources=np.arange(len(images), dtype=np.int32)[:, None])


def _idx_header(data: bytes, name: str, magic: int, sizes: int) -> tuple[int, ...]:
    length = 4 * (sizes + 1)
    if len(data) < length:
        raise DataError(f"{name}: {len(data)} bytes found, expected a header of {length}")
    found, *header = (int(value) for value in np.frombuffer(data[:length], ">u4"))
    if found != magic:
        raise DataError(f"{name}: magic number {found} found, expected {magic}")
    expected = length + int(np.prod(header, dtype=object))
    if len(data) != expected:
        raise DataError(f"{name}: {len(data):,} bytes found, expected {expected:,} as its header says")
    return tuple(header)


def _expect_records(data: bytes, name: str) -> None:
    if not data or len(data) % RECORD:
        raise DataError(f"{name}: {len(data):,} bytes found, expected a multiple of {RECORD:,}")


def _expect_labels(labels: np.ndarray, name: str) -> None:
    if len(labels) and labels.max() > 9:
        row = int(np.argmax(labels > 9))
        raise DataError(f"{name}: label {labels[row]} found in row {row}, expected 0 to 9")


def _expect_digest(found: str, expected: str, path: Path) -> None:
    if found != expected:
        raise DataError(
            f"{path}: the SHA-256 of its content is {found}, expected {expected}; it is damaged or another data set"
        )


def _warning(source: str, reason: str) -> str:
    lines = [
        f"{source}: the real data could not be had ({reason}).",
        "Going on with the EMBEDDED STAND-IN: a few small pictures, good for trying things out.",
        "Its figures say nothing about the real data; every result is marked `origin: embedded`.",
        "With a network, or with DATASETS_MIRROR set, the next `make repro` takes the real data.",
    ]
    bar = "!" * max(len(line) for line in lines)
    return "\n".join(["", bar, *lines, bar, ""])


def summary(sets: Mapping[str, ImageSet]) -> dict:
    """What a fetch brought, for `source.json`: the same for every mirror of the same pictures."""
    first = next(iter(sets.values()))
    return {
        "origin": first.origin,
        "class_names": list(first.class_names),
        "sets": {
            name: {"pictures": len(pictures), "shape": list(pictures.shape), "sha256": digest(pictures)}
            for name, pictures in sets.items()
        },
    }

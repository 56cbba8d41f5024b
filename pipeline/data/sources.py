"""A source's pictures: the public data set, a folder of the user's own, or the offline stand-in."""

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from pipeline.config.sections import PUBLIC
from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.data import cifar10, folders, mnist, stand_in
from pipeline.records.data import SourceRecord, SourceSet
from pipeline.remote.downloads import Unreachable

READERS: Mapping[str, Callable[[str, Path], dict[str, ImageSet]]] = {"mnist": mnist.fetch, "cifar10": cifar10.fetch}
"""Gets the public pictures of each source from a mirror, or into a cache."""


def fetch(source: str, origin: str, *, fallback: str, mirror: str, cache: Path) -> dict[str, ImageSet]:
    """Get the pictures of a source from wherever they are available.

    Args:
        source: `mnist` or `cifar10`.
        origin: `public`, or the path of a folder of the user's own.
        fallback: `embedded` takes the stand-in where the public files cannot be reached, `none` makes that an error.
        mirror: a folder or an http(s) URL that holds the public files under `mnist/` and `cifar10/`; "" for none. With
            a mirror, nothing else is tried: a damaged mirror is an error.
        cache: folder of the downloads.

    Returns:
        Sets by name: `pool`, to be divided among the splits that are missing, and those splits that are published as
        such. Pictures are uint8 (n, H, W, C), values 0 to 255.

    Raises:
        ConfigurationError: the mirror or the folder does not exist.
        DataError: a file is damaged or is another file, or no file can be reached and `fallback` is `none`.
    """
    if origin != PUBLIC:
        return folders.read(Path(os.path.expanduser(origin)), digits=source == "mnist")  # noqa: PTH111
    try:
        return READERS[source](mirror, cache)
    except Unreachable as error:
        if fallback == "none":
            raise DataError(
                f"{source}: no network ({error}) and no mirror; set DATASETS_MIRROR to a folder that holds the files, "
                "or fetch.fallback to embedded for the offline stand-in"
            ) from None
        print(_warning(source, str(error)), file=sys.stderr)
        return stand_in.read(source)


def describe(sets: Mapping[str, ImageSet]) -> SourceRecord:
    """What `fetch` returned, as a record: the same for every copy of the same pictures."""
    first = next(iter(sets.values()))
    return SourceRecord(
        origin=first.origin,
        class_names=first.class_names,
        sets={
            name: SourceSet(pictures=len(pictures), shape=pictures.shape, sha256=sha256(pictures))
            for name, pictures in sets.items()
        },
    )


def sha256(pictures: ImageSet) -> str:
    """SHA-256 of a set's pictures and labels, as decoded, in hexadecimal digits."""
    digest = hashlib.sha256(np.ascontiguousarray(pictures.images).data)
    digest.update(np.ascontiguousarray(pictures.labels).data)
    return digest.hexdigest()


def _warning(source: str, reason: str) -> str:
    lines = [
        f"{source}: the real data cannot be reached ({reason}).",
        "Continuing with the EMBEDDED STAND-IN: a few small pictures, to try things out.",
        "Its scores say nothing about the real data; every result is marked `origin: embedded`.",
        "With a network, or with DATASETS_MIRROR set, the next `make repro` takes the real data.",
    ]
    bar = "!" * max(len(line) for line in lines)
    return "\n".join(["", bar, *lines, bar, ""])

"""A source's pictures: the public data set, a folder of the user's own, or the offline stand-in."""

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from pipeline.config.sections import PUBLIC, PUBLIC_SIZES
from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT_NAMES, ImageSet
from pipeline.core.lines import PictureSet
from pipeline.data import cheques, cifar10, folders, mnist, stand_in
from pipeline.records.data import LinesSet, SourceRecord, SourceSet
from pipeline.remote.downloads import Unreachable

Sets = Mapping[str, ImageSet | PictureSet]
"""What a source holds, by name: sets of single pictures, or `LINES` alone."""
LINES = "pictures"
"""The name of the set of a source of labelled lines."""


READERS: Mapping[str, Callable[[str, Path], Sets]] = {
    "mnist": mnist.fetch,
    "cifar10": cifar10.fetch,
    "cheques": lambda mirror, cache: {LINES: cheques.fetch(mirror, cache)},
}
"""Gets the public pictures of each source from a mirror, or into a cache."""


def fetch(source: str, origin: str, *, fallback: str, mirror: str, cache: Path) -> Sets:
    """Get the pictures of a source from wherever they are available.

    Args:
        source: `mnist` or `cifar10`, single pictures; `cheques`, or a name that the user gave, labelled lines.
        origin: `public`, or the path of a folder of the user's own; it must be one for a name that the user gave.
        fallback: `embedded` takes the stand-in where the public files cannot be reached, `none` makes that an error.
        mirror: a folder or an http(s) URL that holds the public files under `mnist/`, `cifar10/` and `cheques/`; ""
            for none. With a mirror, nothing else is tried: a damaged mirror is an error.
        cache: folder of the downloads.

    Returns:
        Sets by name. Of single pictures `pool`, to be divided among the splits that are missing, and those splits that
        are published as such, uint8 (n, H, W, C), values 0 to 255. Of lines `pictures`, uint8 grey, each of its size.

    Raises:
        ConfigurationError: the mirror or the folder does not exist.
        DataError: a file is damaged or is another file, or no file can be reached and `fallback` is `none`.
    """
    if origin != PUBLIC:
        folder = Path(os.path.expanduser(origin))  # noqa: PTH111  # Path raises where there is no such user.
        if source not in PUBLIC_SIZES:
            return {LINES: folders.read_lines(folder)}
        return folders.read(folder, digits=source == "mnist")
    try:
        return READERS[source](mirror, cache)
    except Unreachable as error:
        if fallback == "none":
            raise DataError(
                f"{source}: no network ({error}) and no mirror; set DATASETS_MIRROR to a folder that holds the files, "
                "or fetch.fallback to embedded for the offline stand-in"
            ) from None
        print(_warning(source, str(error)), file=sys.stderr)
        return {LINES: stand_in.lines()} if source == "cheques" else stand_in.read(source)


def describe(sets: Sets) -> SourceRecord:
    """What `fetch` returned, as a record: the same for every copy of the same pictures."""
    first = next(iter(sets.values()))
    return SourceRecord(
        origin=first.origin,
        class_names=DIGIT_NAMES if isinstance(first, PictureSet) else first.class_names,
        sets={name: _described(pictures) for name, pictures in sets.items()},
    )


def _described(pictures: ImageSet | PictureSet) -> SourceSet | LinesSet:
    if isinstance(pictures, ImageSet):
        return SourceSet(pictures=len(pictures), shape=pictures.shape, sha256=sha256(pictures))
    return LinesSet(
        pictures=len(pictures),
        digits=sum(len(picture.digits) for picture in pictures),
        boxes=all(picture.boxes is not None for picture in pictures),
        sha256=sha256(pictures),
    )


def sha256(pictures: ImageSet | PictureSet) -> str:
    """SHA-256 of a set's pictures and labels, as decoded, in hexadecimal digits.

    Of lines it is that of each picture's name, size, pixels, digits and boxes, one picture after the other.
    """
    digest = hashlib.sha256()
    if isinstance(pictures, ImageSet):
        digest.update(np.ascontiguousarray(pictures.images).data)
        digest.update(np.ascontiguousarray(pictures.labels).data)
        return digest.hexdigest()
    for picture in pictures:
        height, width = picture.pixels.shape
        digest.update(f"{picture.name}\0{height} {width} {len(picture.digits)} {picture.boxes is not None}\0".encode())
        for array in (picture.pixels, picture.digits, picture.boxes):
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
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

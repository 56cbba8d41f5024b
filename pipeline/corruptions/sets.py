"""The folder of corrupted pictures of a task: what `corrupt` writes and `robustness` reads.

suites/SUITE/CORRUPTION-SEVERITY.npz    pictures and labels; `identity-0` has the pictures as they are
regions/SUITE/CORRUPTION-SEVERITY.npz   the regions of those pictures, where models take regions
collections/NAME.npz                    pictures of another collection
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.preprocessing import proposals

if TYPE_CHECKING:
    from pipeline.corruptions.published import Corruption

SUITES, REGIONS, COLLECTIONS = "suites", "regions", "collections"
"""The folders."""
IDENTITY = "identity"
"""The name of the pictures as they are, at severity 0."""


@dataclass(frozen=True)
class CorruptedSet:
    """One corruption of one suite at one severity.

    Attributes:
        suite, corruption: their names.
        severity: 0 to 5.
        file: of its pictures.
        regions: the file of their regions, if it exists.
    """

    suite: str
    corruption: str
    severity: int
    file: Path
    regions: Path


def sample(pictures: ImageSet, most: int, seed: int) -> ImageSet:
    """Draw at most so many pictures without repetition, in their order: a split may be sorted by class."""
    if len(pictures) <= most:
        return pictures
    return pictures.take(np.sort(np.random.default_rng(seed).choice(len(pictures), most, replace=False)))


def write(
    folder: Path, suite: str, pictures: ImageSet, corruptions: Iterable["Corruption"], *, seed: int, regions: bool
) -> int:
    """Corrupt the pictures of a suite in every way.

    Args:
        folder: of the task.
        suite: its name.
        pictures: uint8; boxes and sources are left out, since a corruption may move the ink.
        corruptions: each of which becomes one file.
        seed: of all draws.
        regions: whether to propose regions of the corrupted pictures, too.

    Returns:
        The number of files of pictures.
    """
    count = 0
    for corruption in corruptions:
        name = f"{corruption.name}-{corruption.severity}.npz"
        images = corruption(pictures.images, seed)
        replace(pictures, images=images, boxes=None, sources=None).save(folder / SUITES / suite / name)
        if regions:
            proposals.save(folder / REGIONS / suite / name, proposals.propose(images))
        count += 1
    return count


def corrupted(folder: Path, suite: str) -> Iterator[CorruptedSet]:
    """The sets of a suite, by name and severity.

    Raises:
        DataError: there is none, or a file has another name than `write` gives.
    """
    place = folder / SUITES / suite
    files = sorted(place.glob("*.npz"))
    if not files:
        raise DataError(f"{place}: no corrupted pictures; `dvc repro corrupt` makes them")
    for file in files:
        name, _, severity = file.stem.rpartition("-")
        if not (name and severity.isdecimal()):
            raise DataError(f"{file}: expected CORRUPTION-SEVERITY.npz; remove it and run `dvc repro corrupt`")
        yield CorruptedSet(suite, name, int(severity), file, folder / REGIONS / suite / file.name)


def collections(folder: Path) -> dict[str, Path]:
    """The files of other collections by name; none where the task has none."""
    return {file.stem: file for file in sorted((folder / COLLECTIONS).glob("*.npz"))}

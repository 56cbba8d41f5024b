"""Divides a source's pictures into splits.

Everything is drawn from one seed: the same seed gives the same bytes.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.images import SPLITS, ImageSet

POOL = "pool"
"""The name of the pictures that belong to no split yet."""
RAW_SETS = (POOL, *SPLITS)
"""The names that a source's sets can have."""
SOURCE_STRIDE = 1_000_000
"""A picture's id within a source is its index in its raw set plus this times the set's place in `RAW_SETS`."""
CORRECTED = SOURCE_STRIDE * len(RAW_SETS)
"""The first id of pictures that people corrected (`pipeline.data.corrections`); those of the source are below."""


def divide(sets: Mapping[str, ImageSet], sizes: Mapping[str, int], seed: int) -> dict[str, ImageSet]:
    """Divide a source's pictures into the four splits.

    Args:
        sets: raw sets by name. A set named like a split is that split; `pool` is shuffled and divided among the rest.
        sizes: pictures of train, valid, gate and test of the public source. They are taken as they are where they fit
            the pool exactly, as shares of it otherwise. With shares, each class is divided evenly, since by chance
            alone a small split could lack a class.
        seed: of the shuffle.

    Returns:
        The splits by name; `sources`, int32 (n, 1), holds each picture's id within the source.

    Raises:
        DataError: there is no pool for a missing split, or the pool is too small to give every split a picture.
    """
    splits = {name: _with_ids(sets[name], name) for name in SPLITS if name in sets}
    missing = [name for name in SPLITS if name not in splits]
    if not missing:
        return splits
    if POOL not in sets:
        raise DataError(f"no pictures for {', '.join(missing)}; expected a raw file {POOL}.npz or one for each split")
    pool = _with_ids(sets[POOL], POOL)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool))
    wanted = np.array([sizes[name] for name in missing], float)
    if wanted.sum() != len(pool):
        order = order[np.argsort(_positions(pool.labels[order, 0], rng), kind="stable")]
    ends = np.floor(np.cumsum(wanted) / wanted.sum() * len(pool) + 0.5).astype(int)
    if np.diff(ends, prepend=0).min() < 1:
        raise DataError(
            f"{len(pool)} pictures cannot be divided into {', '.join(missing)}; expected at least {len(missing)}"
        )
    for name, start, end in zip(missing, [0, *ends[:-1]], ends, strict=True):
        splits[name] = pool.take(order[start:end])
    return {name: splits[name] for name in SPLITS}


def by_name(names: Sequence[str], sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """Divide named pictures into the four splits, in the order of the SHA-256 digests of their names.

    The digests neither follow an order of the names nor change with a seed, so a picture keeps its place among others.

    Args:
        names: all different.
        sizes: pictures of each split of the public source, taken as they are where they fit, as shares otherwise.

    Returns:
        The indices of each split's pictures, in the order of their digests.

    Raises:
        DataError: two pictures have one name, or there are too few to give every split a picture.
    """
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise DataError(f"{count} pictures are called {name}; expected a name of its own for each")
    order = sorted(range(len(names)), key=lambda row: hashlib.sha256(names[row].encode()).hexdigest())
    wanted = np.array([sizes[split] for split in SPLITS], float)
    ends = np.floor(np.cumsum(wanted) / wanted.sum() * len(names) + 0.5).astype(int)
    if np.diff(ends, prepend=0).min() < 1:
        fewest = int(np.ceil(wanted.sum() / wanted.min()))
        raise DataError(f"{len(names)} pictures cannot be divided into {', '.join(SPLITS)}; {fewest} always can")
    return {split: order[start:end] for split, start, end in zip(SPLITS, [0, *ends[:-1]], ends, strict=True)}


def _positions(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions in 0 to 1 for labels (n,), such that every interval holds the same share of each class."""
    positions = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        positions[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return positions


def _with_ids(pictures: ImageSet, name: str) -> ImageSet:
    """The pictures without boxes, with ids that are unique within the source."""
    ids = pictures.sources if pictures.sources is not None else np.arange(len(pictures), dtype=np.int32)[:, None]
    offset = SOURCE_STRIDE * RAW_SETS.index(name)
    return ImageSet(
        images=pictures.images,
        labels=pictures.labels,
        class_names=pictures.class_names,
        origin=pictures.origin,
        sources=(ids + offset).astype(np.int32),
    )

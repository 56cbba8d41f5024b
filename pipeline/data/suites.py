"""A suite of params.yaml as pictures: a source's own in splits, or strips or scenes composed of its digits."""

import zlib
from pathlib import Path

from pipeline.config.sections import SceneSuite, SplitSuite, StripSuite
from pipeline.core.images import SPLITS, ImageSet
from pipeline.data import scenes, splits, strips


def compose(name: str, suite: SplitSuite | StripSuite | SceneSuite, source: Path, seed: int) -> dict[str, ImageSet]:
    """Make the four splits of a suite.

    Args:
        name: of the suite.
        suite: its entry in params.yaml.
        source: folder of the pictures that it is made of: for a `SplitSuite` raw sets as `.npz` files, for the others
            the four splits of single digits.
        seed: `compose.seed` of params.yaml; together with `name` it fixes every byte.

    Returns:
        The splits by name. In strip and scene suites each is composed of the digits of its own split only. The training
        split goes through its digits `suite.rounds` times, the others once.

    Raises:
        DataError: a file is missing or damaged, or its pictures cannot be divided or composed.
    """
    if isinstance(suite, SplitSuite):
        sets = {file.stem: ImageSet.load(file) for file in sorted(source.glob("*.npz"))}
        return splits.divide(sets, {split: getattr(suite, split) for split in SPLITS}, seed=seed)
    return {
        split: _compose_split(
            suite,
            ImageSet.load(source / f"{split}.npz"),
            rounds=suite.rounds if split == "train" else 1,
            seed=stream_seed(seed, name, split),
        )
        for split in SPLITS
    }


def stream_seed(seed: int, suite: str, split: str) -> int:
    """The seed of one split of one suite, 0 to 2**32 - 1. Another suite or split never changes its pictures."""
    return zlib.crc32(f"{seed}/{suite}/{split}".encode())


def _compose_split(suite: StripSuite | SceneSuite, digits: ImageSet, *, rounds: int, seed: int) -> ImageSet:
    fewest, most = suite.digits
    if isinstance(suite, SceneSuite):
        return scenes.compose(digits, rounds=rounds, fewest=fewest, most=most, clutter=suite.clutter, seed=seed)
    return strips.compose(
        digits,
        rounds=rounds,
        fewest=fewest,
        most=most,
        jitter=suite.jitter,
        clutter=suite.clutter,
        vary=suite.vary,
        seed=seed,
    )

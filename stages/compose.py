"""Divide a source into splits, or compose a suite of strips or scenes from single digits."""

import zlib
from pathlib import Path

from pipeline.config import params, sections
from pipeline.core.files import replacing
from pipeline.core.images import SPLITS, ImageSet
from pipeline.data import scenes, strips
from pipeline.project import command


def main(suite: str, source: Path, out: Path) -> None:
    """Write the four splits of one suite."""
    settings = params.load(Path("params.yaml"))
    wanted = settings.suites[suite]
    if isinstance(wanted, sections.SplitSuite):
        pools = {file.stem: ImageSet.load(file) for file in sorted(source.glob("*.npz"))}
        sizes = {split: getattr(wanted, split) for split in SPLITS}
        splits = strips.divide(pools, sizes, seed=settings.compose.seed)
    else:
        splits = {
            split: _composed(
                wanted,
                ImageSet.load(source / f"{split}.npz"),
                rounds=wanted.rounds if split == "train" else 1,
                # A suite and a split each draw from a stream of their own: adding one moves no other.
                seed=zlib.crc32(f"{settings.compose.seed}/{suite}/{split}".encode()),
            )
            for split in SPLITS
        }
    with replacing(out) as folder:
        folder.mkdir()
        for split, pictures in splits.items():
            pictures.save(folder / f"{split}.npz")


def _composed(wanted: params.StripSuite | params.SceneSuite, digits: ImageSet, *, rounds: int, seed: int) -> ImageSet:
    fewest, most = wanted.digits
    drawn = {"rounds": rounds, "fewest": fewest, "most": most, "clutter": wanted.clutter, "seed": seed}
    if isinstance(wanted, params.SceneSuite):
        return scenes.compose(digits, **drawn)
    return strips.compose(digits, **drawn, jitter=wanted.jitter, vary=wanted.vary)


if __name__ == "__main__":
    command.run(main)

"""Propose regions of the scenes of a suite, once for all strategies that take them."""

from pathlib import Path

from pipeline.core.files import replacing
from pipeline.core.images import SPLITS, ImageSet
from pipeline.preprocessing import proposals
from pipeline.project import command


def main(data: Path, out: Path) -> None:
    """Write the folder `out` with the regions of every split of `data`."""
    with replacing(out) as folder:
        folder.mkdir()
        for split in SPLITS:
            pictures = ImageSet.load(data / f"{split}.npz")
            proposals.save(folder / f"{split}.npz", proposals.propose(pictures.images))


if __name__ == "__main__":
    command.run(main)

"""Draw what augmentation does to a data set."""

from pathlib import Path

from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.plots import augmentation
from pipeline.project import command


def main(data: Path, out: Path) -> None:
    """Write the folder `out`: a sheet for every option of `previews` in params.yaml, and single pictures."""
    settings = params.load(Path("params.yaml"))
    train = ImageSet.load(data / "train.npz")
    with replacing(out) as folder:
        folder.mkdir()
        augmentation.draw(train, settings.previews, settings.seed, folder)


if __name__ == "__main__":
    command.run(main)

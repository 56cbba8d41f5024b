"""Draw what a trained convolutional network computes, for docs/convolution.md."""

from pathlib import Path

from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.plots import illustrations
from pipeline.plots.textbook import Net
from pipeline.project import command
from pipeline.training import models


def main(model: Path, data: Path, out: Path) -> None:
    """Write a folder of pictures from the model of the strategy `textbook` and the digits that it reads."""
    net = Net.of(models.load(model / "model.keras"))
    train, test = ImageSet.load(data / "train.npz"), ImageSet.load(data / "test.npz")
    with replacing(out) as folder:
        folder.mkdir()
        illustrations.draw(net, train, test, folder)


if __name__ == "__main__":
    command.run(main)

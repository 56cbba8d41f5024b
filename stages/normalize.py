"""Fit every normalization on a training split, and draw what each does."""

from pathlib import Path

from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.plots import spectra
from pipeline.preprocessing import normalization
from pipeline.project import command


def main(suite: str, data: Path, out: Path, pictures: Path) -> None:
    """Write the folder `out` with one file per normalization, and a folder of pictures: before and after, spectrum.

    A normalization that whitens has no file where the pictures are too large to whiten.
    """
    settings = params.load(Path("params.yaml"))
    train = ImageSet.load(data / "train.npz")
    statistics = normalization.fit(
        train,
        name=f"{settings.suites[suite].task}/{suite}",
        zca_epsilon=settings.normalize.zca_epsilon,
        zca_center=settings.normalize.zca_center,
    )
    with replacing(out) as folder:
        folder.mkdir()
        for name, normalizer in normalization.normalizers(statistics, settings.normalize.modes).items():
            normalizer.save(folder / f"{name}.npz")
    with replacing(pictures) as folder:
        folder.mkdir()
        spectra.draw(statistics, train, folder)


if __name__ == "__main__":
    command.run(main)

"""Fit every normalization on a training split, and show what each does."""

from pathlib import Path

from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.plots import figures, spectra
from pipeline.plots.previews import contact_sheet
from pipeline.preprocessing import normalization
from pipeline.project import command


def main(suite: str, data: Path, out: Path, pictures: Path) -> None:
    """Write the statistics of one suite's training split, and a folder of pictures: before and after, and spectrum."""
    settings = params.load(Path("params.yaml"))
    train = ImageSet.load(data / "train.npz")
    name = f"{settings.suites[suite].task}/{suite}"
    statistics = normalization.fit(train, name=name, **dict(settings.normalize))
    shown = train.images[: 4 if train.shape[1] > 2 * train.shape[0] else 16]
    modes = {"samplewise": "samplewise", "featurewise": "featurewise"}
    if statistics.whitens:
        for epsilon in (statistics.zca_epsilon, *spectra.EPSILONS):
            modes[f"zca, epsilon {epsilon:g}"] = {"zca_whitening": True, "zca_epsilon": epsilon}
    rows = {label: statistics.apply(shown, mode) for label, mode in modes.items()}
    with replacing(pictures) as folder:
        folder.mkdir()
        contact_sheet({f"{name}, {train.origin}, raw": shown, **rows}, folder / "before_after.png")
        if statistics.whitens:
            figures.save(spectra.spectrum(statistics), folder / "spectrum.png")
    statistics.save(out)


if __name__ == "__main__":
    command.run(main)

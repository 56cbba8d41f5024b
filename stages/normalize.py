"""Fit every normalization on a training split, and show what each does."""

from pathlib import Path

from pipeline import command, normalization, params
from pipeline.images import ImageSet
from pipeline.previews import contact_sheet


def main(suite: str, data: Path, out: Path, picture: Path) -> None:
    """Write the statistics of one suite's training split, and a sheet of pictures before and after."""
    settings = params.load(Path("params.yaml"))
    train = ImageSet.load(data / "train.npz")
    name = f"{settings.suites[suite].task}/{suite}"
    statistics = normalization.fit(train, name=name, **dict(settings.normalize))
    shown = train.images[: 4 if train.shape[1] > 2 * train.shape[0] else 16]
    modes = [mode for mode in params.MODE_NAMES if mode != "zca" or statistics.whitens]
    rows = {mode: statistics.apply(shown, mode) for mode in modes}
    contact_sheet({f"{name}, {train.origin}, raw": shown, **rows}, picture)
    statistics.save(out)


if __name__ == "__main__":
    command.run(main)

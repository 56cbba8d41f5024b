"""Corrupt pictures of the test split of every reported suite of a task; nothing trains on them."""

from pathlib import Path

from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.corruptions import published, sets
from pipeline.corruptions.collections import collections
from pipeline.project import command


def main(task: str, data: Path, out: Path) -> str:
    """Write every corruption and severity of each reported suite below `data`, and other collections, to `out`.

    Returns how many sets of pictures that is.
    """
    settings = params.load(Path("params.yaml"))
    most, seed = settings.robustness.pictures, settings.robustness.seed
    with replacing(out) as folder:
        folder.mkdir()
        count, origin = 0, ""
        for suite in (name for name in settings.suites_of(task) if (data / name).is_dir()):
            pictures = sets.sample(ImageSet.load(data / suite / "test.npz"), most, seed)
            origin = pictures.origin
            kinds = published.corruptions(pictures.shape[-1])
            count += sets.write(folder, suite, pictures, kinds, seed=seed, regions=suite in settings.proposals)
        others = collections(task, origin, seed)
        for name, pictures in others.items():
            pictures.save(folder / sets.COLLECTIONS / f"{name}.npz")
    return f"{count} corrupted sets, collections: {', '.join(others) or 'none'}"


if __name__ == "__main__":
    command.run(main)

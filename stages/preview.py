"""Show what augmentation does to a data set: a sheet for every option, and single pictures."""

from pathlib import Path

import tensorflow as tf

from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.plots.previews import contact_sheet, save_each
from pipeline.preprocessing.augmentation import Augmentation
from pipeline.project import command

DRAWS = 3


def main(data: Path, out: Path) -> None:
    """Write a folder: `OPTION.png` for every option that is on, and `pictures/`, varied by all of them."""
    settings = params.load(Path("params.yaml"))
    wanted = settings.previews
    train = ImageSet.load(data / "train.npz")
    images = tf.constant(train.images[: wanted.pictures])
    labels = tf.constant(train.labels[: wanted.pictures])
    shown = slice(0, 4 if train.shape[1] > 2 * train.shape[0] else 12)
    augmentation = Augmentation(**wanted.options.model_dump())
    with replacing(out) as folder:
        folder.mkdir()
        for option, ways in augmentation.alone().items():
            rows = {f"original ({train.origin})": train.images[: wanted.pictures][shown]}
            for label, augment in ways.items():
                # What is compared with others is drawn once, alike; what stands alone is drawn again and again.
                for draw in range(DRAWS if len(ways) == 1 else 1):
                    varied, _ = augment(images, labels, tf.constant([settings.seed, draw], tf.int64))
                    rows[f"{label}, draw {draw + 1}" if len(ways) == 1 else label] = varied.numpy()[shown]
            contact_sheet(rows, folder / f"{option}.png")
        varied, _ = augmentation(images, labels, tf.constant([settings.seed, 0], tf.int64))
        save_each(varied.numpy(), folder / "pictures", wanted.save_prefix, wanted.save_format)


if __name__ == "__main__":
    command.run(main)

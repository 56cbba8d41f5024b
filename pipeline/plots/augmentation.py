"""Pictures of what augmentation does: a sheet for every option, and single augmented pictures."""

from pathlib import Path

import tensorflow as tf

from pipeline.config.sections import Previews
from pipeline.core.images import ImageSet
from pipeline.plots.previews import contact_sheet
from pipeline.preprocessing.augmentation import Augmentation
from pipeline.preprocessing.flow import save_each

DRAWS = 3
"""Random draws of an option that is shown alone."""


def draw(train: ImageSet, previews: Previews, seed: int, folder: Path) -> None:
    """Write `OPTION.png` for every option that is on, and the folder `pictures/`, augmented by all of them.

    Args:
        train: the training split; its first pictures are shown.
        previews: the options, and the number and the names of the single pictures.
        seed: of the draws.
        folder: exists.
    """
    few = train.take(slice(0, previews.pictures))
    images, labels = tf.constant(few.images), tf.constant(few.labels)
    shown = slice(0, 4 if train.shape[1] > 2 * train.shape[0] else 12)
    augmentation = Augmentation(**previews.options.model_dump())
    for option, ways in augmentation.alone().items():
        rows = {f"original ({train.origin})": few.images[shown]}
        for label, augment in ways.items():
            # Ways that are compared with each other share one draw; a single way is drawn several times.
            for index in range(DRAWS if len(ways) == 1 else 1):
                varied, _ = augment(images, labels, tf.constant([seed, index], tf.int64))
                rows[f"{label}, draw {index + 1}" if len(ways) == 1 else label] = varied.numpy()[shown]
        contact_sheet(rows, folder / f"{option}.png")
    varied, _ = augmentation(images, labels, tf.constant([seed, 0], tf.int64))
    save_each(varied.numpy(), folder / "pictures", previews.save_prefix, previews.save_format)

"""Batches of augmented pictures for a loop of one's own, as the former ImageDataGenerator's `flow` gave them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.core.files import replacing
from pipeline.preprocessing.augmentation import Augmentation


def flow(
    images: np.ndarray,
    labels: np.ndarray,
    augmentation: Augmentation,
    *,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int = 0,
    save_to_dir: Path | None = None,
    save_prefix: str = "",
    save_format: Literal["png", "jpeg"] = "png",
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield augmented batches for ever, pass after pass; the arguments are those of the old `flow`.

    As there, a pass ends with a smaller batch where `batch_size` does not divide the number of pictures. Unlike there,
    batches are uint8, so that normalization stays a part of the model, and the names of saved pictures end with their
    own hash in place of a random number. The fit loop has its own batches, on tf.data.

    Args:
        images: uint8 (n, H, W, C).
        labels: (n, ...).
        augmentation: what is done to each picture.
        batch_size: pictures of a batch, at least 1.
        shuffle: draw a new order for every pass; else the order is that of the pictures.
        seed: of orders and augmentation: the same seed gives the same batches.
        save_to_dir: a folder that gets every picture that is yielded; None saves nothing.
        save_prefix: what the names of its files begin with.
        save_format: `png`, or `jpeg`, which loses a little.

    Yields:
        uint8 (batch_size, H, W, C), and their labels.

    Raises:
        DataError: there are no pictures, or not as many labels.
    """
    if not len(images) or len(images) != len(labels):
        raise DataError(f"flow: {len(images)} pictures and {len(labels)} labels found, expected as many, and some")
    generator = np.random.default_rng(seed)
    step = saved = 0
    while True:
        order = generator.permutation(len(images)) if shuffle else np.arange(len(images))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch, targets = images[rows], labels[rows]
            varied, _ = augmentation(tf.constant(batch), targets, tf.constant([seed, step], tf.int64))
            if save_to_dir is not None:
                save_each(varied.numpy(), save_to_dir, save_prefix, save_format, first=saved)
                saved += len(rows)
            step += 1
            yield varied.numpy(), targets


def save_each(images: np.ndarray, folder: Path, prefix: str, format: Literal["png", "jpeg"], *, first: int = 0) -> None:
    """Write every picture as a file `{prefix}_{index}_{hash}.{format}`, as ImageDataGenerator's `save_to_dir` did.

    Args:
        images: uint8 (n, H, W, C).
        folder: where the files go; made if it is not there.
        prefix: what their names begin with.
        format: `png`, or `jpeg`, which loses a little.
        first: the index of the first picture.

    The hash is the picture's own (eight digits of its SHA-256), where the generator drew a number: the same picture has
    the same name in every run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images, first):
        digest = hashlib.sha256(image.tobytes()).hexdigest()[:8]
        with replacing(folder / f"{prefix}_{index}_{digest}.{format}") as temporary:
            Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(temporary, format, quality=95)

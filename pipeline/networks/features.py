"""Outputs of the frozen part of a network, computed once, so that an epoch costs the trained part only."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pipeline.core.errors import DataError
from pipeline.core.files import digest, read_arrays, replacing, write_arrays
from pipeline.core.images import ImageSet
from pipeline.networks import pretrained
from pipeline.records.features import FeaturesRecord

SETTINGS = ("weights", "input_size", "freeze_until", "augmentation")
"""Settings of a strategy that decide what its features are; dvc.yaml lists them, too."""
_BATCH = 250


@dataclass(frozen=True)
class Features:
    """The features of a training and a valid split, and the network they were made with.

    Attributes:
        train, valid: float32 (n, h, w, c), in the order of the pictures; None where `missing` gives the reason.
        base: the whole network: the trained part is put on the weights that made the features.
        record: how they were computed.
    """

    train: np.ndarray | None
    valid: np.ndarray | None
    base: pretrained.Base
    record: FeaturesRecord

    def save(self, path: Path) -> None:
        """Write the folder; equal features give equal bytes."""
        with replacing(path) as folder:
            folder.mkdir()
            write_arrays(folder / "base.npz", {f"{index:03}": array for index, array in enumerate(self.base.weights)})
            if self.train is not None:
                write_arrays(folder / "features.npz", {"train": self.train, "valid": self.valid})
            self.record.write(folder / "features.json")

    @classmethod
    def load(cls, path: Path) -> "Features":
        """Read what `save` wrote.

        Raises:
            DataError: the folder is missing or damaged.
        """
        if not (path / "features.json").is_file():
            raise DataError(f"{path}: no features in it; expected those that `dvc repro features` makes")
        record = FeaturesRecord.read(path / "features.json")
        weights = read_arrays(path / "base.npz")
        arrays = {} if record.missing else read_arrays(path / "features.npz")
        base = pretrained.Base(
            pretrained.NETWORKS[record.network],
            record.input_size,
            [weights[name] for name in sorted(weights)],
            record.pretrained,
        )
        return cls(arrays.get("train"), arrays.get("valid"), base, record)

    def require(self, train: ImageSet, valid: ImageSet, **settings: Any) -> None:
        """Check that these are the features of these pictures under these settings.

        Raises:
            DataError: they are of another number of pictures, or were made under other settings.
        """
        for name, value in settings.items():
            computed = getattr(self.record, name)
            if computed != value:
                raise DataError(f"features: computed with {name} {computed!r}, expected {value!r}; run `dvc repro`")
        if self.train is None:
            return
        found, expected = (len(self.train), len(self.valid)), (len(train), len(valid))
        if found != expected:
            raise DataError(f"features: of {found} pictures (train, valid), expected {expected}; run `dvc repro`")


def varying(augmentation: Mapping[str, Any]) -> list[str]:
    """The options of an augmentation that change pictures; the others only choose how."""
    manner = ("channel_shift_mode", "fill_mode", "cval", "interpolation_order")
    return [name for name, value in augmentation.items() if value and name not in manner]


def missing(settings: Mapping[str, Any]) -> str | None:
    """Why features cannot replace the pictures under a strategy's settings; None where they can."""
    # Then every epoch sees other pictures.
    varied = varying(settings["augmentation"])
    if varied:
        return f"augmentation varies the pictures ({', '.join(varied)}), so every epoch passes through the frozen part"
    return None if settings["freeze_until"] > 1 else "freeze_until leaves nothing frozen but the input"


def make(
    network: str, train: ImageSet, valid: ImageSet, *, settings: Mapping[str, Any], seed: int, policy: str
) -> Features:
    """Fetch the network's weights and pass every picture once through its frozen part.

    Args:
        network: a name in `pretrained.NETWORKS`.
        train: pictures uint8 (n, H, W, 3).
        valid: likewise.
        settings: of the strategy; `SETTINGS` names those that count.
        seed: of weights where they are random.
        policy: the dtype policy of the pass.
    """
    base = pretrained.base(pretrained.NETWORKS[network], settings["weights"], size=settings["input_size"], seed=seed)
    why = missing(settings)
    record = FeaturesRecord(
        **{name: settings[name] for name in SETTINGS},
        network=network,
        pretrained=base.pretrained,
        precision=policy,
        origin=train.origin,
        missing=why,
        code={path.name: digest(path) for path in (Path(__file__), *pretrained.SOURCES)},
    )
    if why:
        return Features(None, None, base, record)
    seen, unseen = (of(base, settings["freeze_until"], part.images, policy=policy) for part in (train, valid))
    return Features(seen, unseen, base, record)


def of(base: pretrained.Base, cut: int, images: np.ndarray, *, policy: str = "float32") -> np.ndarray:
    """Pass uint8 (n, H, W, 3) through `layers[:cut]` of a network: float32 (n, h, w, c).

    Args:
        base: the network.
        cut: its first layer that is left out.
        images: raw pictures.
        policy: what is computed in; the result is float32 all the same.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        frozen, _ = pretrained.split(base.network(), cut)
    finally:
        keras.config.set_dtype_policy(before)
    pictures = keras.Input(images.shape[1:], dtype="uint8")
    model = keras.Model(pictures, frozen(base.prepared(pictures), training=False))
    signature = [tf.TensorSpec((None, *images.shape[1:]), tf.uint8)]
    graph = tf.function(lambda some: tf.cast(model(some, training=False), tf.float32), input_signature=signature)
    out = np.empty((len(images), *frozen.output_shape[1:]), np.float32)
    for start in tqdm(range(0, len(images), _BATCH), desc="features", unit="batch", disable=None):
        out[start : start + _BATCH] = graph(images[start : start + _BATCH]).numpy()
    return out

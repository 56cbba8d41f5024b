"""Keras models: saved to reproducible bytes, loaded without importing a strategy, and applied in batches."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

import pipeline.layers  # noqa: F401  registers the layers a saved model may name
from pipeline.core.errors import DataError
from pipeline.core.files import replacing
from pipeline.core.readings import Readings

_EPOCH = (1980, 1, 1, 0, 0, 0)


def save(model: keras.Model, path: Path) -> None:
    """Write a `.keras` archive whose bytes depend on the model alone.

    Keras writes the date, the members' times and, for shared objects, their addresses in memory. Here the date is the
    zip format's first day and shared objects are numbered in the order they appear.
    """
    with replacing(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        metadata = json.loads(members["metadata.json"])
        members["metadata.json"] = _dumped({**metadata, "date_saved": "1980-01-01@00:00:00"})
        members["config.json"] = _dumped(_renumbered(json.loads(members["config.json"]), {}))
        with zipfile.ZipFile(temporary, "w") as archive:
            for name in sorted(members):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name])


def load(path: Path) -> keras.Model:
    """Load a model that `save` wrote.

    Raises:
        DataError: the file is missing or is not a Keras archive.
    """
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path}: cannot be loaded as a Keras model ({reason}); run `dvc repro -f train`") from None


Predict = Callable[..., dict[str, tf.Tensor]]
"""uint8 (n, H, W, C) of any n, and float32 regions (n, k, 4) where the model takes them -> the outputs by name."""


def traced(model: keras.Model) -> Predict:
    """The model as one traced graph for any n: `model.predict` would cost some 80 ms per call."""
    signature = [tf.TensorSpec(given.shape, given.dtype) for given in model.inputs]
    return tf.function(
        lambda *given: model(given[0] if len(given) == 1 else list(given), training=False), input_signature=signature
    )


def read(
    model: keras.Model | Predict,
    images: np.ndarray,
    regions: np.ndarray | None = None,
    *,
    batch: int = 256,
    progress: str | None = None,
) -> Readings:
    """Read uint8 (n, H, W, C) in batches.

    Args:
        model: or the result of `traced`, which saves tracing where several sets are read.
        images: the pictures.
        regions: float32 (n, k, 4), for a model that takes them.
        batch: pictures per call.
        progress: the name of a progress bar; no bar without it.
    """
    graph = traced(model) if isinstance(model, keras.Model) else model
    inputs = (images,) if regions is None else (images, regions)
    starts = tqdm(range(0, len(images), batch), desc=progress, unit="batch", leave=False, disable=None)
    parts = [graph(*(array[start : start + batch] for array in inputs)) for start in starts]
    return Readings.of({name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]})


def _renumbered(value: Any, numbers: dict[int, int]) -> Any:
    if isinstance(value, dict):
        return {
            key: numbers.setdefault(item, len(numbers)) if key == "shared_object_id" else _renumbered(item, numbers)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_renumbered(item, numbers) for item in value]
    return value


def _dumped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))

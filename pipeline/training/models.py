"""Keras models on disk and at work: one model, one file, byte for byte; loading imports no strategy."""

import json
import statistics
import time
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
from pipeline.preprocessing import proposals

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
        DataError: the file is missing or is no Keras archive.
    """
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path}: cannot be loaded as a Keras model ({reason}); run `dvc repro -f train`") from None


Reader = Callable[[np.ndarray], dict[str, tf.Tensor]]
"""Reads uint8 (n, H, W, C) of any n, to the outputs by name."""


def reader(model: keras.Model) -> Reader:
    """The model for uint8 (n, H, W, C) of any n, as one traced graph: `model.predict` would cost some 80 ms a call.

    Where the model has a second input, the regions are proposed here, picture by picture and outside the graph.
    """
    regions = model.inputs[1:]
    signature = [tf.TensorSpec(given.shape, given.dtype) for given in model.inputs]
    graph = tf.function(
        lambda *given: model(given[0] if not regions else list(given), training=False), input_signature=signature
    )
    if not regions:
        return graph
    return lambda images: graph(images, proposals.propose(images, regions[0].shape[1]))


def read(model: keras.Model | Reader, images: np.ndarray, *, batch: int = 256, progress: str | None = None) -> Readings:
    """Read uint8 (n, H, W, C) in batches.

    Args:
        model: or what `reader` made of it, which spares tracing where several sets are read.
        images: the pictures.
        batch: pictures a call.
        progress: the name of a progress bar, if there is to be one.
    """
    graph = reader(model) if isinstance(model, keras.Model) else model
    starts = tqdm(range(0, len(images), batch), desc=progress, unit="batch", leave=False, disable=None)
    parts = [graph(images[start : start + batch]) for start in starts]
    return Readings.of({name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]})


def milliseconds(graph: Reader, images: np.ndarray, *, times: int) -> float:
    """Median wall clock of reading uint8 (n, H, W, C) in one call, divided by n."""
    graph(images)
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        graph(images)
        taken.append(time.perf_counter() - started)
    return round(1000 * statistics.median(taken) / len(images), 4)


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

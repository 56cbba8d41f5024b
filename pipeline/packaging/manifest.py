"""What stands beside a packaged model: the manifest that names it, and that serving holds it to."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.core.images import ImageSet
from pipeline.evaluation.scoring import Score
from pipeline.export.onnx import OPSET, sha256
from pipeline.export.parity import Parity

CARRIED = (
    "task",
    "strategy",
    "origin",
    "pretrained",
    "parameters",
    "trained_on",
    "seed",
    "budget",
    "precision",
    "settings",
    "positional",
)
"""What the manifest repeats of the training."""


def manifest(
    model: Path,
    training: Mapping[str, Any],
    candidate: Mapping[str, Any],
    pictures: ImageSet,
    rows: Sequence[Score],
    parity: Mapping[str, Parity],
    boxes: bool,
) -> dict[str, Any]:
    """Describe an exported model.

    Args:
        model: the ONNX file; its SHA-256 is its identity.
        training: what the train stage recorded.
        candidate: what the comparison says of it, with its `coverage`.
        pictures: some that it reads: their size, slots and class names are the model's.
        rows: its rows of the leaderboard.
        parity: how it agrees with Keras, by suite.
        boxes: whether it says where each digit is.
    """
    height, width, channels = pictures.shape
    return {
        **{key: training[key] for key in CARRIED},
        "model": {"file": model.name, "sha256": sha256(model), "bytes": model.stat().st_size},
        "inputs": {"height": height, "width": width, "channels": channels},
        "slots": pictures.slots,
        "class_names": list(pictures.class_names),
        "boxes": boxes,
        "coverage": candidate["coverage"],
        "metrics": {row.suite: row.sequence_accuracy for row in rows if row.split == "test"},
        "parity": {suite: result.as_dict() for suite, result in parity.items()},
        "opset": OPSET,
        "made_with": {name: version(name) for name in ("tensorflow", "keras", "tf2onnx", "onnxruntime")},
    }

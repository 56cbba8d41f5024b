"""A clone with pictures that wait to be labelled: corrected, declined and suspected ones."""

import functools
import hashlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import predictions
import small_clone
from PIL import Image

from pipeline.config import params
from pipeline.core.images import ImageSet
from pipeline.data import stand_in
from pipeline.data.exclusions import pixel_digest
from pipeline.labelling import suspects
from pipeline.monitoring.feedback import FeedbackStore
from pipeline.records.monitoring import Correction
from pipeline.reports.formats import csv_text

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(5)


@functools.cache
def settings() -> params.Params:
    """Those of the clone, as they are made."""
    return params.load(ROOT / "params.yaml")


@functools.cache
def digits() -> ImageSet:
    """Digits of the stand-in."""
    return next(iter(stand_in.digits().values()))


def png(pixels: np.ndarray) -> bytes:
    """A picture's file."""
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG")
    return file.getvalue()


def digest(content: bytes) -> str:
    """As the log has it."""
    return hashlib.sha256(content).hexdigest()


def correct(log: Path, content: bytes, label: str, *, task="mnist", reading="1", time=1e9, token="ada", kept=True):
    """Feedback of a token on a picture, with the picture or without; the digest of it."""
    values = {"digest": digest(content), "task": task, "model": predictions.MODEL, "version": "v0.1.0"}
    correction = Correction(**values, reading=reading, label=label, token=token, time=time, picture=None)
    FeedbackStore(log, most_bytes=1 << 26).keep(correction, (".png", content) if kept else None)
    return digest(content)


def decline(log: Path, content: bytes, reading: str, *, task="mnist", suffix=".png", time=1e9, **changes) -> str:
    """A picture that was declined, in the log and in quarantine; its digest."""
    line = {"digest": digest(content), "task": task, "reading": reading, "accepted": False, "confidence": 0.61}
    predictions.write(log, [predictions.prediction(0, RNG, time=time, **(line | changes))])
    folder = log / "quarantine"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{digest(content)}{suffix}").write_bytes(content)
    return digest(content)


def suspect(root: Path, rows: list[tuple[int, str]]) -> list[str]:
    """Pictures of the stand-in in data/raw/mnist, some of which look wrong: index and what was predicted; digests."""
    pictures = digits().take(slice(0, 20))
    pictures.save(root / "data/raw/mnist/pool.npz")
    table = [
        {
            "rank": str(rank),
            "part": "pool",
            "index": str(index),
            "place": "0",
            "given": str(pictures.labels[index, 0]),
            "predicted": predicted,
            "probability": "0.98",
            "quality": "0.001",
            "sha256": pixel_digest(pictures.images[index]),
            "label": str(pictures.labels[index, 0]),
        }
        for rank, (index, predicted) in enumerate(rows, 1)
    ]
    path = root / suspects.FOLDER / "mnist/suspects.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv_text(suspects.COLUMNS, [[row[column] for column in suspects.COLUMNS] for row in table]))
    return [row["sha256"] for row in table]


def make(root: Path, *, tracked: bool = False) -> Path:
    """A clone without pictures, whose `pipeline` is this one; `tracked` by git and DVC."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (root / "pipeline").symlink_to(ROOT / "pipeline")
    (root / "reviews").mkdir()
    for name in ("mnist", "cifar10", "cheques"):
        (root / f"reviews/{name}.csv").write_text("sha256,label,reason\n")
    if tracked:
        small_clone.run(root, "git", "init", "-q")
        small_clone.run(root, sys.executable, "-m", "dvc", "init", "-q")
    return root


def label(root: Path, *arguments: str, **more) -> subprocess.CompletedProcess[str]:
    """Run the command in a clone, until it ends by itself."""
    command = [sys.executable, "-m", "pipeline.commands.label", "--browser=0", *arguments]
    return small_clone.run(root, *command, check=False, **more)

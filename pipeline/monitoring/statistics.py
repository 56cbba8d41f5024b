"""What is measured of a picture and its reading, for the log and for drift."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.core.images import INK

DECIMALS = 6


def shift_score(answer: Mapping[str, Any]) -> float:
    """How little a reading is like those of validation, 0 to 1: 1 minus its confidence, and 1 without any line.

    Args:
        answer: in the form of `PictureAnswer`, `Answer` or `TaskReading`.
    """
    confidence = answer["confidence"]
    return 1.0 if confidence is None else round(1.0 - confidence, DECIMALS)


def ink_share(pixels: np.ndarray) -> float | None:
    """Share of uint8 (n, H, W, C) that is at least `INK` bright; None of no picture."""
    if not pixels.size:
        return None
    return round(float(np.count_nonzero(pixels >= INK)) / pixels.size, DECIMALS)


def brightness(pixels: np.ndarray) -> float | None:
    """Mean of uint8 (n, H, W, C), 0 to 255; None of no picture."""
    return round(float(pixels.mean(dtype=np.float64)), DECIMALS) if pixels.size else None


def notes(answer: Mapping[str, Any]) -> list[str]:
    """The notes of a picture and those of its lines, each once."""
    of_lines = [note for line in answer.get("lines", ()) for note in line["notes"]]
    return list(dict.fromkeys([*answer["notes"], *of_lines]))

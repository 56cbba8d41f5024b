"""A reading of one picture in words: which model fits the picture, which way round it is, and what was read.

Imports neither TensorFlow nor DVC.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.decoding import Picture, PictureError, decode_fitting
from pipeline.core.errors import DataError
from pipeline.records.manifest import Manifest

NOTES = {
    "exif_orientation": "turned as its EXIF entry says",
    "sixteen_bit": "of 16 bits the high byte was kept",
    "alpha_on_black": "what is transparent was laid on black",
    "grey": "colours became grey",
    "rgb": "became RGB",
    "turned": "a strip that stands was turned, its top to the left",
    "inverted": "dark and light were exchanged",
    "bright_border": "dark on light? Models read light ink on a dark ground; INVERT=1 (--invert) exchanges them",
    "bright_border_inverted": "dark on light now? Models read light ink on a dark ground; try it without INVERT",
}
"""What the notes of an answer mean."""
BRIGHT = 128
"""A border of which more than half is at least this bright is taken for a light ground."""
ACCEPTED = {
    True: "accepted: at least as sure as those of which 99.5 % were right on valid",
    False: "not accepted: below the threshold that kept 99.5 % right on valid, better look yourself",
    None: "no threshold kept 99.5 % right on valid: look yourself",
}


def fitting(path: Path, manifests: Mapping[str, Manifest]) -> tuple[str, Picture]:
    """The task whose model takes pictures of this one's size, and the picture; nothing is resized.

    Args:
        path: a PNG or JPEG.
        manifests: of the packaged models, by task.

    Raises:
        DataError: there is no such file, it is no whole picture, or no model takes its size.
    """
    try:
        return decode_fitting(path.read_bytes(), {task: manifest.shape for task, manifest in manifests.items()})
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, expected a PNG or JPEG picture") from None
    except PictureError as error:
        raise DataError(f"{path}: {error}") from None


def with_polarity(picture: Picture, invert: bool) -> Picture:
    """The picture, uint8 (H, W, C), inverted where that is wanted, with a note where its ground still seems light."""
    notes = (*picture.notes, "inverted") if invert else picture.notes
    pixels = 255 - picture.pixels if invert else picture.pixels
    border = np.concatenate([pixels[[0, -1]].ravel(), pixels[1:-1, [0, -1]].ravel()])
    if np.mean(border >= BRIGHT) > 0.5:
        notes = (*notes, "bright_border_inverted" if invert else "bright_border")
    return replace(picture, pixels=pixels, notes=notes)


def told(image: str, said: Mapping[str, Any]) -> str:
    """An answer as lines for people.

    Args:
        image: what the picture is called.
        said: of `answers.answer`.
    """
    read = said.get("digits", said.get("class")) or "nothing"
    lines = [f"{image}: {read}", f"confidence {said['confidence']:.4f}, {ACCEPTED[said['accepted']]}", ""]
    for slot in said["slots"]:
        if slot["class"] == "blank":
            continue
        box = "" if slot["box"] is None else "  box " + ", ".join(f"{side:.1f}" for side in slot["box"])
        lines.append(f"  {slot['class']}  {slot['probability']:.4f}{box}")
    model = said["model"]
    origin = "the EMBEDDED STAND-IN, not real data" if model["origin"] == "embedded" else model["origin"]
    lines += ["", *(f"note: {NOTES.get(note, note)}" for note in said["notes"])]
    lines.append(f"model: {model['strategy']} for {model['task']}, {model['sha256'][:12]}, trained on {origin}")
    return "\n".join(lines)

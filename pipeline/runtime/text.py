"""One picture and its answer, for people: load the picture for the model of its size, format what was read.

Imports neither TensorFlow nor DVC.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.core.decoding import Picture, PictureError, decode_for
from pipeline.core.errors import DataError
from pipeline.records.answer import Answer
from pipeline.records.manifest import Manifest

NOTES = {
    "exif_orientation": "turned as its EXIF entry says",
    "sixteen_bit": "of 16 bits the high byte was kept",
    "alpha_on_black": "transparency was composited on black",
    "grey": "colours were converted to grey",
    "rgb": "converted to RGB",
    "turned": "an upright strip was turned, its top to the left",
    "inverted": "dark and light were inverted",
    "bright_border": "dark on light? Models read light ink on a dark background; INVERT=1 (--invert) inverts it",
    "bright_border_inverted": "dark on light now? Models read light ink on a dark background; try it without INVERT",
}
"""What the notes of an answer mean."""
BRIGHT = 128
"""A border of which more than half is at least this bright counts as a light background."""
ACCEPTED = {
    True: "accepted: it reaches the threshold that gives 99.5 % accuracy on validation",
    False: "not accepted: it is below the threshold that gives 99.5 % accuracy on validation; check the reading",
    None: "no threshold gives 99.5 % accuracy on validation; check the reading",
}


def load_picture(path: Path, manifests: Mapping[str, Manifest]) -> tuple[str, Picture]:
    """The task whose model takes pictures of this size, and the picture; nothing is resized.

    Args:
        path: a PNG or JPEG.
        manifests: of the packaged models, by task.

    Raises:
        DataError: the file is missing, is not a valid picture, or no model takes its size.
    """
    try:
        return decode_for(path.read_bytes(), {task: manifest.shape for task, manifest in manifests.items()})
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, expected a PNG or JPEG picture") from None
    except PictureError as error:
        raise DataError(f"{path}: {error}") from None


def with_polarity(picture: Picture, invert: bool) -> Picture:
    """The picture, inverted if wanted, with a note if its background is still light."""
    notes = (*picture.notes, "inverted") if invert else picture.notes
    pixels = 255 - picture.pixels if invert else picture.pixels
    border = np.concatenate([pixels[[0, -1]].ravel(), pixels[1:-1, [0, -1]].ravel()])
    if np.mean(border >= BRIGHT) > 0.5:
        notes = (*notes, "bright_border_inverted" if invert else "bright_border")
    return replace(picture, pixels=pixels, notes=notes)


def format_answer(image: str, answer: Answer) -> str:
    """An answer as lines of text.

    Args:
        image: what the picture is called.
        answer: to that picture.
    """
    reading = (answer.digits if answer.class_ is None else answer.class_) or "nothing"
    lines = [f"{image}: {reading}", f"confidence {answer.confidence:.4f}, {ACCEPTED[answer.accepted]}", ""]
    for slot in answer.slots:
        if slot.class_ == "blank":
            continue
        box = "" if slot.box is None else "  box " + ", ".join(f"{side:.1f}" for side in slot.box)
        lines.append(f"  {slot.class_}  {slot.probability:.4f}{box}")
    model = answer.model
    origin = "the EMBEDDED STAND-IN, not real data" if model.origin == "embedded" else model.origin
    lines += ["", *(f"note: {NOTES.get(note, note)}" for note in answer.notes)]
    lines.append(f"model: {model.strategy} for {model.task}, {model.sha256[:12]}, trained on {origin}")
    return "\n".join(lines)

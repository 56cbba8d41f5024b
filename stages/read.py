"""`make read`: read a picture of one's own with the packaged model whose pictures have its size. No DVC stage."""

import json as documents
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import command
from pipeline.answers import answer, reads_digits
from pipeline.errors import ConfigurationError, DataError
from pipeline.pictures import Picture, PictureError, decode_fitting
from pipeline.runtime import Manifest, Reader, load_manifests

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


def main(image: str, artifacts: Path = Path("artifacts"), invert: bool = False, json: bool = False) -> None:
    """Read one PNG or JPEG; nothing is resized.

    Args:
        image: the picture's file.
        artifacts: the packaged models, a folder for each task.
        invert: exchange dark and light first, for dark ink on a light ground.
        json: print the answer as the service gives it.
    """
    if not image:
        raise ConfigurationError("IMAGE: no picture named; expected make read IMAGE=path/to/picture.png")
    manifests = load_manifests(artifacts)
    task, picture = _fitting(Path(image), manifests)
    if reads_digits(manifests[task]):
        picture = _with_polarity(picture, invert)
    elif invert:
        raise ConfigurationError(
            f"--invert: {image} has the size of {task}, whose colours mean something; expected digits"
        )
    reader = Reader.load(artifacts / task)
    said = answer(reader.manifest, reader.read(picture.pixels[None]), picture.notes)
    print(documents.dumps(said, indent=2) if json else _told(image, said))


def _fitting(path: Path, manifests: dict[str, Manifest]) -> tuple[str, Picture]:
    try:
        return decode_fitting(path.read_bytes(), {task: manifest.shape for task, manifest in manifests.items()})
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, expected a PNG or JPEG picture") from None
    except PictureError as error:
        raise DataError(f"{path}: {error}") from None


def _with_polarity(picture: Picture, invert: bool) -> Picture:
    """The picture inverted where that is wanted, with a note where its ground still seems to be light."""
    notes = (*picture.notes, "inverted") if invert else picture.notes
    pixels = 255 - picture.pixels if invert else picture.pixels
    border = np.concatenate([pixels[[0, -1]].ravel(), pixels[1:-1, [0, -1]].ravel()])
    if np.mean(border >= BRIGHT) > 0.5:
        notes = (*notes, "bright_border_inverted" if invert else "bright_border")
    return replace(picture, pixels=pixels, notes=notes)


def _told(image: str, said: dict[str, Any]) -> str:
    accepted = {
        True: "accepted: at least as sure as those of which 99.5 % were right on valid",
        False: "not accepted: below the threshold that kept 99.5 % right on valid, better look yourself",
        None: "no threshold kept 99.5 % right on valid: look yourself",
    }
    read = said.get("digits", said.get("class")) or "nothing"
    lines = [f"{image}: {read}", f"confidence {said['confidence']:.4f}, {accepted[said['accepted']]}", ""]
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


if __name__ == "__main__":
    command.run(main)

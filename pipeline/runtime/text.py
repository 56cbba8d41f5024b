"""One picture and its answer, for people: load the picture for the model of its size, format what was read.

Imports neither TensorFlow nor DVC.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.core.decoding import BRIGHT_BORDER, NOTHING_TO_SEE, Picture, PictureError, decode_for, judge
from pipeline.core.errors import DataError
from pipeline.core.files import printable, read_file
from pipeline.core.fitting import FITTED
from pipeline.records.answer import LineReading, PictureAnswer, Slot
from pipeline.records.manifest import Manifest

NOTES = {
    "exif_orientation": "turned as its EXIF entry says",
    "alpha_on_black": "transparency was composited on black",
    "alpha_on_white": "transparency was composited on white, behind dark ink",
    "sixteen_bit": "of 16 bits the high byte was kept",
    "sixteen_bit_range": "16 bits were scaled by the range that is used",
    "grey": "colours were converted to grey",
    "rgb": "converted to RGB",
    "turned": "an upright strip was turned, its top to the left",
    "inverted": "dark and light were inverted",
    "light_on_dark": "the ink is lighter than the paper, so dark and light were inverted",
    "scaled_down": "the picture was scaled down before lines were found",
    FITTED: "the picture was brought to the size that the model reads",
    "squeezed": "a line is longer than the model's picture, and was squeezed to its width",
    "squeezed_much": "a line is more than twice as long as the model's picture, so it is never accepted",
    "no_digits": "in a line no digit was read, so it is never accepted",
    "more_lines": "more lines were found than are read; those at the top were read",
    "no_contrast": "no ink to see: the writing differs too little from the paper",
    "no_writing": "no writing was found",
    "too_small": "the writing is too small to read",
    NOTHING_TO_SEE: "nothing to see: the picture has no contrast, perhaps since it was converted",
    BRIGHT_BORDER: "dark on light? Models read light ink on a dark background; INVERT=1 (--invert) inverts it",
    "bright_border_inverted": "dark on light now? Models read light ink on a dark background; try it without INVERT",
}
"""What the notes of an answer mean."""
ACCEPTED = {
    True: "accepted: it reaches the threshold for 99.5 % accuracy",
    False: "not accepted: it is below the threshold for 99.5 % accuracy; check the reading",
    None: "not accepted: this model has no threshold for 99.5 % accuracy; check every reading",
}
NOT_ACCEPTED = "not accepted: there is nothing to see in the picture"


def load_picture(path: Path, manifests: Mapping[str, Manifest]) -> tuple[str, Picture]:
    """The task whose model takes pictures of this size, and the picture; nothing is resized.

    Args:
        path: a PNG or JPEG.
        manifests: of the packaged models, by task.

    Raises:
        DataError: the file is missing, is a folder, a FIFO or a device, is not a valid picture, or no model takes its
            size.
    """
    try:
        return decode_for(read_file(path), {task: manifest.shape for task, manifest in manifests.items()})
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{printable(path)}: no such file, expected a PNG or JPEG picture") from None
    except ValueError:
        # A name with a NUL in it.
        raise DataError(f"{printable(path)}: not a name of a file, expected a PNG or JPEG picture") from None
    except PictureError as error:
        raise DataError(f"{printable(path)}: {error}") from None


def with_polarity(picture: Picture, invert: bool) -> Picture:
    """The picture of digits, inverted if wanted, with a note if its background is then light."""
    if not invert:
        return picture
    pixels = 255 - picture.pixels
    converted = [note for note in picture.notes if note not in (BRIGHT_BORDER, NOTHING_TO_SEE)]
    judged = [f"{BRIGHT_BORDER}_inverted" if note == BRIGHT_BORDER else note for note in judge(pixels[None])[0]]
    return replace(picture, pixels=pixels, notes=(*converted, "inverted", *judged))


def format_picture(image: str, answer: PictureAnswer) -> str:
    """An answer as lines of text: the digits of a picture of a model's size, the lines of any other picture.

    Args:
        image: what the picture is called.
        answer: to that picture.
    """
    reading = (
        answer.class_ if answer.class_ is not None else ", ".join(line.digits or "nothing" for line in answer.lines)
    )
    parts = [f"{printable(image)}: {reading or 'nothing'}"]
    if answer.confidence is not None:
        parts += [f"confidence {answer.confidence:.4f}, {_accepted(answer)}", ""]
    if answer.slots is not None:
        parts += [_format_slot(slot) for slot in answer.slots if slot.class_ != "blank"]
    else:
        parts += [_format_line(line) for line in answer.lines]
    model = answer.model
    origin = "the EMBEDDED STAND-IN, not real data" if model.origin == "embedded" else model.origin
    notes = [*answer.notes, *(note for line in answer.lines for note in line.notes)]
    parts += ["", *(f"note: {NOTES.get(note, note)}" for note in dict.fromkeys(notes))]
    parts.append(f"model: {model.strategy} for {model.task}, {model.sha256[:12]}, trained on {origin}")
    return "\n".join(parts)


def _accepted(answer: PictureAnswer) -> str:
    if NOTHING_TO_SEE in answer.notes:
        return NOT_ACCEPTED
    if len(answer.lines) > 1 and answer.accepted is False:
        return "not accepted: not every line reaches the threshold; check the reading"
    return ACCEPTED[answer.accepted]


def _format_slot(slot: Slot) -> str:
    return f"  {slot.class_}  {slot.probability:.4f}{_format_box(slot.box)}"


def _format_line(line: LineReading) -> str:
    accepted = {True: "accepted", False: "not accepted", None: "check the reading"}[line.accepted]
    return f"  {line.digits or 'nothing'}  {line.confidence:.4f}, {accepted}{_format_box(line.box)}"


def _format_box(box: tuple[float, float, float, float] | None) -> str:
    return "" if box is None else "  box " + ", ".join(f"{side:.1f}" for side in box)

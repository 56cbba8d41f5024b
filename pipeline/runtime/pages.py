"""Pictures of any size: which model reads one, its lines of writing, and the answer that joins their readings.

The service and `make read` share this, so that one file gets one answer. A picture of the size of a model is read by
that model as it is. Any other picture is ingested (`pipeline.core.ingestion`), and the model of lines reads each of its
lines. Boxes are in pixels of the picture as it is displayed, that is after its EXIF orientation was applied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import JsonValue

from pipeline.core.decoding import Picture, PictureError, Shape, decode_for, decode_grey
from pipeline.core.ingestion import Line, ingest
from pipeline.core.lines import LINE_SHAPE
from pipeline.core.readings import Readings
from pipeline.records.manifest import Manifest
from pipeline.runtime.answers import DECIMALS, readings_as_json

LINES = "lines"
"""The task whose model reads one ingested line of writing."""
MOST_SQUEEZED = 2.0
"""A line that was squeezed along its length by more than this is never accepted: its digits are slivers."""
SQUEEZED = "squeezed"
"""The note of a line that is longer than the model's picture of a line and was squeezed to its width."""
SQUEEZED_MUCH = "squeezed_much"
"""The note of a line that was squeezed by more than `MOST_SQUEEZED`."""
NO_DIGITS = "no_digits"
"""The note of a line in which the model reads no digit."""
MORE_LINES = "more_lines"
"""The note of a picture with more lines than ingestion returns: those at its top are read, the answer is incomplete."""
BLANK = "blank"
"""The name of the class of a slot without a digit."""
_NEVER_ACCEPTED = frozenset({SQUEEZED_MUCH, NO_DIGITS})
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_SOF = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SEGMENTS = 64
"""Segments of a JPEG before its frame that are walked through to find its size."""


@dataclass(frozen=True)
class Page:
    """The lines of writing of one picture.

    Attributes:
        lines: from top to bottom, those side by side from left to right; as many as ingestion returns.
        notes: how the picture was decoded and ingested, in order. Without lines the last one says why there are none.
        size: height and width of the picture in pixels, as it is displayed.
    """

    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    size: tuple[int, int]

    def images(self) -> np.ndarray:
        """uint8 (n, *LINE_SHAPE): what the model of lines reads."""
        return np.stack([line.pixels for line in self.lines]) if self.lines else np.zeros((0, *LINE_SHAPE), np.uint8)


def known_shapes(manifests: Mapping[str, Manifest]) -> dict[str, Shape]:
    """Height, width and channels of the pictures that models read as they are, by task. `lines` is not among them."""
    return {task: manifest.shape for task, manifest in manifests.items() if task != LINES}


def open_picture(data: bytes, shapes: Mapping[str, Shape], *, lines: bool) -> tuple[str, Picture] | Page:
    """Decode a picture for the model that reads it.

    Args:
        data: the file's bytes.
        shapes: height, width and channels of the pictures that models read as they are, by task; the first one that a
            picture's size fits has it.
        lines: whether a picture of another size is ingested; it is an error otherwise.

    Returns:
        The task and the picture for its model, or the picture's lines.

    Raises:
        PictureError: the picture cannot be decoded, or no model takes its size.
    """
    size = declared_size(data)
    if lines and (not shapes or (size is not None and task_of(size, shapes) is None)):
        return page_of(decode_grey(data))
    try:
        return decode_for(data, shapes)
    except PictureError as error:
        # The size of other formats, and of an odd JPEG, is known to their decoders alone.
        if not lines or error.code not in ("wrong_size", "not_a_picture", "unsupported_format"):
            raise
    return page_of(decode_grey(data))


def page_of(picture: Picture) -> Page:
    """The lines of a decoded picture.

    Args:
        picture: with pixels uint8 (H, W), grey.
    """
    found = ingest(picture.pixels)
    height, width = picture.pixels.shape
    return Page(found.lines, (*picture.notes, *found.notes), (height, width))


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the header of a PNG or JPEG says, before any EXIF orientation; None where it is not found.

    This costs next to nothing, whatever the bytes are.
    """
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= 24:
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    at = len(_JPEG)
    for _ in range(_SEGMENTS if data.startswith(_JPEG) else 0):
        head = data[at : at + 9]
        if len(head) < 9 or head[0] != 0xFF:
            return None
        if head[1] in _SOF:
            return int.from_bytes(head[7:9]), int.from_bytes(head[5:7])
        at += 2 + int.from_bytes(head[2:4])
    return None


def task_of(size: tuple[int, int], shapes: Mapping[str, Shape]) -> str | None:
    """The task whose model reads pictures of this width and height as they are, upright or not; None without one."""
    return next((task for task, shape in shapes.items() if set(size) == set(shape[:2])), None)


def answer_page(
    manifest: Manifest, page: Page, readings: Readings | None, identity: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """The answer to a picture of any size, in the form of `PictureAnswer`, not validated.

    Args:
        manifest: of the model of lines.
        page: the picture's lines.
        readings: of `page.images()`, boxes in pixels of these; None without lines.
        identity: of the model, a `ModelIdentity` as JSON.
    """
    lines: list[Any] = [] if readings is None else _lines_as_json(manifest, page, readings)
    never = not lines or MORE_LINES in page.notes
    return {
        "task": manifest.task,
        "digits": "\n".join([line["digits"] for line in lines]),
        "lines": lines,
        "confidence": min([line["confidence"] for line in lines], default=None),
        "accepted": False if never else _all([line["accepted"] for line in lines]),
        "notes": list(page.notes),
        "model": dict(identity),
    }


def answer_picture(
    manifest: Manifest, picture: Picture, readings: Readings, identity: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """The answer to a picture of a model's size, in the form of `PictureAnswer`, not validated.

    Its reading is one line as large as the picture.

    Args:
        manifest: of the model that read it.
        picture: what the model read.
        readings: of that one picture.
        identity: of the model, a `ModelIdentity` as JSON.
    """
    reading: dict[str, Any] = readings_as_json(manifest, readings, [picture.notes], every_class=True)[0]
    height, width = picture.pixels.shape[:2]
    line = {
        **reading,
        "box": [0.0, 0.0, float(width), float(height)],
        "slots": [
            {key: slot[key] for key in ("class", "probability", "box")}
            for slot in reading["slots"]
            if slot["class"] != BLANK
        ],
        "notes": [],
    }
    return {"task": manifest.task, **reading, "lines": [line], "model": dict(identity)}


def _lines_as_json(manifest: Manifest, page: Page, readings: Readings) -> list[dict[str, Any]]:
    """The readings of a picture's lines in the form of `LineReading`."""
    height, width = page.size
    if readings.boxes is not None:
        moved = [line.in_picture(boxes) for line, boxes in zip(page.lines, readings.boxes, strict=True)]
        readings = replace(readings, boxes=np.clip(np.stack(moved), 0, [width, height] * 2))
    notes = [_notes_of(line) for line in page.lines]
    answers: list[dict[str, Any]] = []
    for line, reading in zip(page.lines, readings_as_json(manifest, readings, notes, every_class=False), strict=True):
        answer: dict[str, Any] = dict(reading)
        answer["slots"] = [slot for slot in answer["slots"] if slot["class"] != BLANK]
        if not answer["slots"]:
            answer["notes"].append(NO_DIGITS)
        if not _NEVER_ACCEPTED.isdisjoint(answer["notes"]):
            answer["accepted"] = False
        answers.append({**answer, "box": [round(side, DECIMALS) for side in line.box]})
    return answers


def _notes_of(line: Line) -> tuple[str, ...]:
    along, across = line.scale
    squeezed = across / along
    if squeezed > MOST_SQUEEZED:
        return (SQUEEZED_MUCH,)
    # A width is a whole number of pixels.
    return (SQUEEZED,) if squeezed > 1.01 else ()


def _all(accepted: Sequence[bool | None]) -> bool | None:
    """False where one is False, else None where one is None."""
    return False if False in accepted else None if None in accepted else True

"""What the service logs of its answers. Tests hold the lines of the log to `Prediction`."""

from typing import Annotated

from pydantic import Field

from pipeline.records.base import Record
from pipeline.records.registry import Sha256

Share = Annotated[float, Field(ge=0, le=1)]


class Prediction(Record):
    """One answered picture: a line of the log. It holds no pixels.

    Attributes:
        digest: SHA-256 of the bytes that were received: of a picture's file, or of the values of its pixels.
        time: of the answer, in seconds since 1970.
        task, strategy, model, version: of the model that read it; `model` is the SHA-256 of its file.
        reading: the digits, with a newline between two lines; or the name of the class.
        lines: of writing; 1 for a picture of a model's size.
        confidence: of the reading; None without lines.
        accepted: whether it was accepted; None where the model has no threshold.
        shift: the shift score of the reading, see `pipeline.monitoring.statistics`.
        notes: how the picture was converted, and those of its lines, in order.
        ink: share of the pixels that are at least `INK` bright, of what the model read; None without lines.
        brightness: mean of those pixels, 0 to 255; None without lines.
        height, width: of the picture that was received, in pixels, as it is displayed.
        seconds: from the last byte of the body to the answer.
    """

    digest: Sha256
    time: float
    task: str
    strategy: str
    model: Sha256
    version: str | None
    reading: str
    lines: int = Field(ge=0)
    confidence: Share | None
    accepted: bool | None
    shift: Share
    notes: tuple[str, ...]
    ink: Share | None
    brightness: float | None = Field(ge=0, le=255)
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    seconds: float = Field(ge=0)

"""What the service logs of its answers, what people say of them, and what watches for drift.

Tests hold lines of the log to `Prediction`.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from pipeline.records.base import Record
from pipeline.records.registry import Sha256

Counts = Annotated[str, Field(pattern=r"^\d+( \d+)*$")]
"""Whole numbers, separated by blanks: one a line would make a file of thousands of lines."""
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


class Correction(Record):
    """What a person says of one answer: a file `feedback/TASK/DIGEST.json` below the log.

    Attributes:
        digest: SHA-256 of the picture, as in `Prediction`.
        task, version: of the model that answered; `model` is the SHA-256 of its file.
        reading: what it answered.
        label: what is right, in the same form; equal to `reading` where the answer was right.
        token: the name of the token that sent it.
        time: when it came, in seconds since 1970.
        picture: the file of the picture beside this one; None where it did not come along and was not in quarantine.
    """

    digest: Sha256
    task: str
    model: Sha256
    version: str | None
    reading: str
    label: str
    token: str
    time: float
    picture: str | None

    @property
    def wrong(self) -> bool:
        """Whether the answer was wrong."""
        return self.label != self.reading


class SuiteReference(Record):
    """The statistics of the valid split of one suite.

    Attributes:
        pictures: of it.
        counts: by statistic, the pictures in each of its bins, separated by blanks; the same number for each statistic.
    """

    pictures: int = Field(ge=1)
    counts: Mapping[str, Counts] = Field(min_length=1)


class Reference(Record):
    """What a model reads of valid, in its served form: the distributions with which `make drift` compares traffic.

    Attributes:
        scheme: of the bins (`pipeline.monitoring.statistics.SCHEME`).
        suites: by name.
    """

    scheme: int
    suites: Mapping[str, SuiteReference] = Field(min_length=1)


class DriftAlarm(Record):
    """A statistic whose evidence reached the threshold.

    Attributes:
        statistic: its name.
        time: of the picture at which it did, in seconds since 1970.
        pictures: that the test had seen by then.
    """

    statistic: str
    time: float
    pictures: int


class DriftState(Record):
    """`drift/TASK.json` below the log: how far the test has come with the traffic of one model.

    Attributes:
        scheme, task, model: of what is watched; `model` is the SHA-256 of its file.
        reference: `all suites`, the name of one, or `accepted traffic`.
        rate: false alarms a week that the test allows on average, of all statistics together.
        started: when the first picture was watched; 0 before that.
        latest: the time of the latest picture; 0 before there was one.
        checked: when the log was read for the last time; all times in seconds since 1970.
        pictures, repeated: pictures that were tested, and those left out because they were there before.
        reference_counts: by statistic, as in `SuiteReference`.
        counts: the same with the pictures that were tested added.
        evidence: by statistic, of each bet the sum over all possible beginnings of a change.
        levels: by statistic, the evidence as a share of the threshold: an alarm at 1.
        alarms: since the reference was set, each statistic once.
        offsets: by segment of the log, the bytes that were read.
    """

    scheme: int
    task: str
    model: Sha256
    reference: str
    rate: float = Field(gt=0, lt=1)
    started: float
    latest: float
    checked: float
    pictures: int
    repeated: int
    reference_counts: Mapping[str, Counts]
    counts: Mapping[str, Counts]
    evidence: Mapping[str, tuple[float, ...]]
    levels: Mapping[str, float]
    alarms: tuple[DriftAlarm, ...]
    offsets: Mapping[str, int]

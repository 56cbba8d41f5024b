"""What `analyze` and `explain` record for the report: the worst slices and the occlusion maps, with their pictures."""

from typing import Literal

from pydantic import Field

from pipeline.records.base import Record


class WrongReading(Record):
    """A picture that was misread: its `index` in the suite, what was read, the target, and the confidence."""

    index: int = Field(ge=0)
    prediction: str
    target: str
    confidence: float


class WorstSlice(Record):
    """A part of a suite that a strategy reads significantly worse than the rest.

    Attributes:
        strategy, suite: what was read by whom.
        by: what is worst in it: the `accuracy`, or the share that is `accepted_wrong`.
        unit, factor, slice: the part, counted in digits or in pictures.
        n: units inside.
        share, low, high, rest: of the units inside that are read correctly, or that are accepted and wrong; the 95 %
            interval, and the share of the units outside.
        p: of the test, corrected.
        picture: the file beside the record with `readings`, side by side in this order.
        readings: errors of this slice, the most confident first.
    """

    strategy: str
    suite: str
    by: Literal["accuracy", "accepted_wrong"]
    unit: Literal["digit", "picture"]
    factor: str
    slice: str
    n: int
    share: float
    low: float
    high: float
    rest: float
    p: float
    picture: str
    readings: tuple[WrongReading, ...]


class WorstSlices(Record):
    """`reports/slices/TASK/slices.json`.

    Attributes:
        task: of the suites.
        split: whose pictures were read.
        tests: how many tests the p-values are corrected for.
        level: of the tests.
        least: pictures that a slice has at least to be judged.
        worst: by strategy and suite.
    """

    task: str
    split: str
    tests: int = Field(ge=0)
    level: float
    least: int
    worst: tuple[WorstSlice, ...]


class Explanation(Record):
    """A sheet of occlusion maps.

    Attributes:
        strategy: whose errors they are.
        picture: the file beside the record.
        suites: the suites of the pictures, in their order.
        readings: the pictures, in the order of the sheet.
        patch, stride: of the patch, in pixels.
    """

    strategy: str
    picture: str
    suites: tuple[str, ...]
    readings: tuple[WrongReading, ...]
    patch: int
    stride: int


class Explanations(Record):
    """`reports/explanations/TASK/explanations.json`: of every strategy of the task that misreads a picture."""

    task: str
    split: str
    sheets: tuple[Explanation, ...]

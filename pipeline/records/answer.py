"""What the service answers. The OpenAPI document is made of these models, and tests hold every answer to them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, model_validator
from pydantic.json_schema import SkipJsonSchema

from pipeline.records.base import Record
from pipeline.records.export import PictureShape
from pipeline.records.manifest import Manifest

ErrorCode = Literal[
    "empty",
    "not_a_picture",
    "damaged",
    "bad_json",
    "bad_request",
    "bad_http",
    "bad_host",
    "unauthorized",
    "forbidden",
    "not_found",
    "not_packaged",
    "method_not_allowed",
    "too_slow",
    "body_too_large",
    "too_many_pixels",
    "too_many_pictures",
    "unsupported_format",
    "unsupported_content_type",
    "unsupported_encoding",
    "wrong_size",
    "wrong_array",
    "bad_query",
    "bad_feedback",
    "too_many_requests",
    "head_too_large",
    "internal",
    "overloaded",
    "stopping",
    "timed_out",
    "feedback_full",
]
"""Codes of errors; pipeline/scheduling/errors.py has the status and the meaning of each."""
Probability = Annotated[float, Field(ge=0, le=1)]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the picture that was read, as it is displayed."""


def _without_default(schema: dict[str, Any]) -> None:
    # Such a key is absent or has a value; it is never null.
    schema.pop("default")


class _Body(Record):
    """A part of an answer. A key that is absent stays absent."""

    def as_json(self) -> dict[str, JsonValue]:
        """The record as plain JSON values, without what it was made without."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _expect_either(digits: str | None, name: str | None) -> None:
    if (digits is None) == (name is None):
        raise ValueError("expected either digits or class")


class Slot(_Body):
    """One position of a reading, or one digit that was found.

    Attributes:
        class_: the name of the class, as `class`.
        probability: of that class.
        probabilities: of every class, by name; absent where the request did not ask for them.
        box: of the digit; None for a blank, and where the model does not localise.
    """

    class_: str = Field(alias="class")
    probability: Probability
    probabilities: Mapping[str, Probability] | SkipJsonSchema[None] = Field(
        default=None, json_schema_extra=_without_default
    )
    box: Box | None


class Reading(_Body):
    """The reading of a picture: either `digits` or `class`.

    Attributes:
        digits: the digits from left to right without blanks; absent where the classes are not digits.
        class_: the name of the class, as `class`; absent where the classes are digits.
        slots: from left to right.
        confidence: the probability that the whole reading is correct.
        accepted: whether `confidence` reaches the threshold above which 99.5 % accuracy is assured by validation, and
            there is something to see in the picture; None where there is no such threshold: nothing is accepted.
        notes: how the picture was converted before it was read, in order, and what is odd about it.
    """

    digits: Annotated[str, Field(pattern="^[0-9]*$")] | SkipJsonSchema[None] = Field(
        default=None, json_schema_extra=_without_default
    )
    class_: str | SkipJsonSchema[None] = Field(default=None, alias="class", json_schema_extra=_without_default)
    slots: tuple[Slot, ...]
    confidence: Probability
    accepted: bool | None
    notes: tuple[str, ...]

    @model_validator(mode="after")
    def _expect_one(self) -> Self:
        _expect_either(self.digits, self.class_)
        return self


class ModelIdentity(Record):
    """Which model it is.

    Attributes:
        task, strategy, origin: of the model.
        sha256: of its file.
        version: the registry's; None for a model that was never registered.
    """

    task: str
    strategy: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    version: str | None
    origin: str

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """The identity of a packaged model."""
        return cls(**_identity(manifest))


class Answer(Reading):
    """The answer to one picture: its reading, and the model that read it."""

    model: ModelIdentity


class LineReading(Reading):
    """The reading of one line of writing. Its slots are those with a digit, without `probabilities`.

    Its notes are `squeezed` (longer than the model's picture of a line), `squeezed_much` and `no_digits`; with one of
    the last two it is never accepted.

    Attributes:
        box: of the line; for a picture of a model's size the whole picture.
    """

    box: Box


class PictureAnswer(_Body):
    """The answer to one picture of any size: its lines of writing, and the model that read them.

    Attributes:
        task: whose model read it.
        digits: those of the lines from top to bottom, with a newline between two; absent where the classes are not
            digits.
        class_: the name of the class, as `class`; absent where the classes are digits.
        lines: from top to bottom, those side by side from left to right; empty where no writing was found.
        slots: all positions of the reading, with `probabilities`; absent unless the picture has the size of a model.
        confidence: the least of the lines'; None without lines.
        accepted: whether every line is accepted; False without lines, or if there were too many; else None where no
            threshold assures 99.5 % accuracy.
        notes: how the picture was decoded and prepared, in order. Without lines the last one says why there are none.
        model: what read it.
    """

    task: str
    digits: Annotated[str, Field(pattern="^[0-9\\n]*$")] | SkipJsonSchema[None] = Field(
        default=None, json_schema_extra=_without_default
    )
    class_: str | SkipJsonSchema[None] = Field(default=None, alias="class", json_schema_extra=_without_default)
    lines: tuple[LineReading, ...]
    slots: tuple[Slot, ...] | SkipJsonSchema[None] = Field(default=None, json_schema_extra=_without_default)
    confidence: Probability | None
    accepted: bool | None
    notes: tuple[str, ...]
    model: ModelIdentity

    @model_validator(mode="after")
    def _expect_one(self) -> Self:
        _expect_either(self.digits, self.class_)
        return self


class ErrorDetail(Record):
    """Why a request, or one picture of several, has no reading: one line says what was found and what was expected."""

    code: ErrorCode
    message: str


class Pixels(Record):
    """A picture in an answer.

    Attributes:
        height, width, channels: of the picture.
        data: uint8 values row by row, in base 64.
    """

    height: int
    width: int
    channels: int
    data: str


class StrategyReading(_Body):
    """What one strategy makes of the picture: either an answer or an error.

    Attributes:
        strategy: its name.
        served: whether it is the model that `/read` answers with.
        parameters: of the model.
        bytes: of its file.
        milliseconds: that it took to read the picture, of several lines all together; absent with an error.
        answer: its answer; absent with an error.
        error: why it could not read the picture; absent with an answer.
    """

    strategy: str
    served: bool
    parameters: int
    bytes: int
    milliseconds: Annotated[float, Field(ge=0)] | SkipJsonSchema[None] = Field(
        default=None, json_schema_extra=_without_default
    )
    answer: PictureAnswer | SkipJsonSchema[None] = Field(default=None, json_schema_extra=_without_default)
    error: ErrorDetail | SkipJsonSchema[None] = Field(default=None, json_schema_extra=_without_default)


class Comparison(Record):
    """One picture as every strategy of a task reads it.

    Attributes:
        task: of the strategies.
        inputs: the picture as they read it, once; of a page its first lines.
        readings: of each strategy, by name.
    """

    task: str
    inputs: tuple[Pixels, ...]
    readings: tuple[StrategyReading, ...]


class FeatureMaps(Record):
    """The maps that one layer makes of a picture.

    Attributes:
        kind: of the layer.
        kernel: height and width of the window that it looks at.
        channels: maps that the layer has.
        height, width: of a map.
        maps: uint8 values row by row, in base 64; 255 is the largest value of the layer. At most 64 of them.
    """

    kind: Literal["convolution", "max_pooling", "average_pooling"]
    kernel: tuple[int, int]
    channels: int
    height: int
    width: int
    maps: tuple[str, ...]


class Features(Record):
    """What the textbook net makes of one digit.

    Attributes:
        input: the picture as the net reads it.
        layers: its convolutions and poolings, in order.
        answer: its reading.
    """

    input: Pixels
    layers: tuple[FeatureMaps, ...]
    answer: PictureAnswer


class TaskReading(Reading):
    """One of the readings of many pictures, with the task whose model read it."""

    task: str


class Error(Record):
    """The body of every error."""

    error: ErrorDetail


class Answers(_Body):
    """The answers to many pictures, in their order, and the models that read them, by task."""

    answers: tuple[TaskReading | Error, ...]
    models: Mapping[str, ModelIdentity]


class PictureInput(PictureShape):
    """The pictures that a model takes, in pixels."""

    dtype: Literal["uint8"]


class ModelDescription(ModelIdentity):
    """A model that is served.

    Attributes:
        bytes: of its file.
        inputs: the pictures it takes.
        slots: positions of a reading.
        class_names: the name of each class.
        threshold: the confidence from which a reading is accepted; None where no threshold assures 99.5 % accuracy.
        metrics: sequence accuracy on test, by suite.
    """

    bytes: int
    inputs: PictureInput
    slots: int
    class_names: tuple[str, ...]
    threshold: float | None
    metrics: Mapping[str, float]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """The description of a packaged model."""
        return cls(
            **_identity(manifest),
            bytes=manifest.model.bytes,
            inputs=PictureInput(**manifest.inputs.as_json(), dtype="uint8"),
            slots=manifest.slots,
            class_names=manifest.class_names,
            threshold=manifest.threshold,
            metrics=manifest.metrics,
        )


class Info(Record):
    """Every model that is served, by task.

    Attributes:
        models: by task.
        feedback: whether `/feedback` takes what people say of answers.
    """

    models: Mapping[str, ModelDescription]
    feedback: bool


class FeedbackRequest(Record):
    """What a person says of one answer.

    Attributes:
        task: whose model answered.
        model: the SHA-256 of its file, as the answer has it.
        reading: what it answered: the digits, with a newline between two lines, or the name of the class.
        label: what is right, in the same form; the same text where the answer was right.
        digest: SHA-256 of the picture's bytes as they were sent to be read; not needed where the picture comes along.
        picture: these bytes in base 64, a PNG, JPEG or WebP file. Without them, only a picture in quarantine is kept.
    """

    task: str
    model: str = Field(pattern="^[0-9a-f]{64}$")
    reading: str = Field(max_length=1000)
    label: str = Field(max_length=1000)
    digest: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    picture: str | None = None


class Feedback(Record):
    """What became of feedback.

    Attributes:
        digest: of the picture.
        wrong: whether the answer was wrong.
        kept: whether the picture is kept for labelling; without it, the feedback is counted and cannot be learned from.
    """

    digest: str
    wrong: bool
    kept: bool


def _identity(manifest: Manifest) -> dict[str, Any]:
    return {
        "task": manifest.task,
        "strategy": manifest.strategy,
        "sha256": manifest.model.sha256,
        "version": manifest.version,
        "origin": manifest.origin,
    }

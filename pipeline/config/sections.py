"""The sections of params.yaml, each with the types and bounds of its keys; params.py holds them against each other."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.types import (
    AugmentationSection,
    Count,
    Fraction,
    NonNegative,
    Positive,
    Section,
    Switch,
    Whole,
)


class Fetch(Section):
    fallback: Literal["embedded", "none"]


class Source(Section):
    origin: str = Field(alias="from", min_length=1)


class Sources(Section):
    mnist: Source
    cifar10: Source


class Compose(Section):
    seed: Whole


class Suite(Section):
    """What every suite says: where its pictures come from."""

    source: str = Field(alias="from")


class SplitSuite(Suite):
    """A source's own pictures in splits; the numbers are those of the public source, other origins keep the shares."""

    task: Literal["mnist", "cifar10"]
    train: Count
    valid: Count
    gate: Count
    test: Count


class StripSuite(Suite):
    """A data set of strips composed from single digits, each split from its own digits only."""

    task: Literal["strips"]
    rounds: Count
    digits: Annotated[list[Annotated[int, Field(strict=True, ge=0, le=5)]], Field(min_length=2, max_length=2)]
    jitter: Switch
    clutter: Switch
    vary: Switch = False

    @model_validator(mode="after")
    def _consistent(self) -> "StripSuite":
        _ordered(self.digits)
        if self.vary and not self.jitter:
            raise ValueError("jitter is true where vary, which gives every strip a strength of its own, is true")
        return self


class SceneSuite(Suite):
    """A data set of scenes composed from single digits, each split from its own digits only."""

    task: Literal["scenes"]
    rounds: Count
    digits: Annotated[list[Annotated[int, Field(strict=True, ge=1, le=8)]], Field(min_length=2, max_length=2)]
    clutter: Switch

    @model_validator(mode="after")
    def _consistent(self) -> "SceneSuite":
        _ordered(self.digits)
        return self


def _ordered(digits: list[int]) -> None:
    if digits[0] > digits[1]:
        raise ValueError(f"digits is [fewest, most], expected fewest <= most, found {digits}")


class Validation(Section):
    class_share: Annotated[list[NonNegative], Field(min_length=2, max_length=2)]
    constant_share: Fraction

    @model_validator(mode="after")
    def _consistent(self) -> "Validation":
        if not self.class_share[0] <= 1 <= self.class_share[1]:
            raise ValueError(f"class_share is [least, most], least <= 1 <= most, found {self.class_share}")
        return self


class Normalization(Section):
    zca_epsilon: Positive
    zca_center: Literal["picture", "channel"]


class Packaging(Section):
    pass


class Frozen(Section):
    """What stages.features passes once through the frozen part of a strategy's network."""

    source: str = Field(alias="from")
    network: Literal["vgg16"]


class StageGate(Section):
    """What a version may lose against the champion of a stage; shares of the gate split's pictures read whole."""

    allowed_loss: Fraction
    suite_loss: Fraction
    slice_loss: Fraction


class TaskGate(Section):
    """What every version of a task must keep to, whoever is champion."""

    floor: Fraction
    ece: Fraction
    milliseconds: Positive
    megabytes: Positive


class Gates(Section):
    """The registry's policy: what a version must show before it gets to `staging` or `prod`."""

    confidence: Annotated[float, Field(strict=True, gt=0.5, lt=1, allow_inf_nan=False)]
    resamples: Annotated[int, Field(strict=True, ge=1000)]
    seed: Whole
    slice_pictures: Count
    staging: StageGate
    prod: StageGate
    tasks: dict[Literal["strips", "scenes", "mnist", "cifar10"], TaskGate]


class Previews(Section):
    """Which data sets the stage `preview` varies, by what, and how the pictures that it saves are called."""

    suites: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], Annotated[str, Field(min_length=1)]],
        Field(min_length=1),
    ]
    pictures: Annotated[int, Field(strict=True, ge=1, le=1000)]
    save_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$")]
    save_format: Literal["png", "jpeg"]
    options: AugmentationSection

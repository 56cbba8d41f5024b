"""The types of settings, which strategies annotate their keyword arguments with, and how a value is held to its type.

A wrong value is told with where it stands, what was expected and what was found. Imports no TensorFlow.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)

from pipeline.core.errors import ConfigurationError

Count = Annotated[int, Field(strict=True, ge=1)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]
Regions = Annotated[int, Field(strict=True, ge=1, le=64)]
"""Some of the 64 regions that are proposed of a scene."""
Precision = Literal["auto", "float32", "mixed_bfloat16"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class NormalizationSwitches(Section):
    """The switches of normalization, all off by default; `pipeline.preprocessing.normalization` says what each does."""

    samplewise_center: Switch = False
    samplewise_std_normalization: Switch = False
    featurewise_center: Switch = False
    featurewise_std_normalization: Switch = False
    zca_whitening: Switch = False
    zca_epsilon: Positive | None = None


MODE_NAMES = ("none", "rescale", "samplewise", "featurewise", "zca")


def _mode(value: Any, checked_switches: Callable[[Any], NormalizationSwitches]) -> str | dict[str, Any]:
    if isinstance(value, Mapping):
        return checked_switches(dict(value)).model_dump(exclude_unset=True)
    if isinstance(value, str) and value in MODE_NAMES:
        return value
    raise ValueError(f"one of {', '.join(MODE_NAMES)}, or a mapping of switches")


Mode = Annotated[NormalizationSwitches, WrapValidator(_mode)]
"""How pictures are normalized: a name of `MODE_NAMES`, or a mapping of the switches; it arrives as it was written."""


def _weights(value: Any) -> Any:
    if value in ("imagenet", "none"):
        return value
    if isinstance(value, Mapping) and set(value) == {"file", "sha256"} and isinstance(value["file"], str):
        digest = str(value["sha256"]).lower()
        if re.fullmatch("[0-9a-f]{64}", digest):
            return {"file": value["file"], "sha256": digest}
    raise ValueError("imagenet, none, or {file: PATH, sha256: its 64 hexadecimal digits}")


Weights = Annotated[Any, PlainValidator(_weights)]
"""Where a network's first weights come from: a name, or a file and its digest; it arrives as it was written."""


def _shift(value: Any) -> Any:
    if _number(value) and value >= 0:
        return value
    if isinstance(value, list) and value and all(_number(each) for each in value):
        return value
    raise ValueError("a number from 0 up (a share below 1, pixels from 1 up) or a list of numbers to choose from")


def _zoom(value: Any) -> Any:
    if _number(value) and 0 <= value < 1:
        return value
    if _ordered_pair(value) and value[0] > 0:
        return value
    raise ValueError("a number from 0 to below 1, or [low, high] with 0 < low <= high")


def _factors(value: Any) -> Any:
    if value is None or (_ordered_pair(value) and value[0] >= 0):
        return value
    raise ValueError("null, or [low, high] with 0 <= low <= high")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _ordered_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_number, value)) and value[0] <= value[1]


Shift = Annotated[Any, PlainValidator(_shift)]
"""A share of a side below 1, pixels from 1 up, or a list of either to choose from."""
Zoom = Annotated[Any, PlainValidator(_zoom)]
"""z, which stands for [1 - z, 1 + z], or [low, high]."""
Factors = Annotated[Any, PlainValidator(_factors)]
"""[low, high], or nothing."""
Level = Annotated[float, Field(strict=True, ge=0, le=255, allow_inf_nan=False)]
"""A brightness on the scale of uint8 pictures."""
FillMode = Literal["constant", "nearest", "reflect", "wrap"]
ChannelShiftMode = Literal["joint", "independent"]
InterpolationOrder = Literal[0, 1]


class AugmentationSection(Section):
    """The options of `pipeline.preprocessing.augmentation.Augmentation`; all are off by default."""

    rotation_range: NonNegative = 0.0
    width_shift_range: Shift = 0.0
    height_shift_range: Shift = 0.0
    shear_range: NonNegative = 0.0
    zoom_range: Zoom = 0.0
    brightness_range: Factors = None
    channel_shift_range: Level = 0.0
    channel_shift_mode: ChannelShiftMode = "joint"
    horizontal_flip: Switch = False
    vertical_flip: Switch = False
    fill_mode: FillMode = "nearest"
    cval: Level = 0.0
    interpolation_order: InterpolationOrder = 1


AugmentationOptions = Annotated[AugmentationSection, AfterValidator(AugmentationSection.model_dump)]
"""A strategy's setting that holds them all, checked: it arrives as a plain mapping, for `Augmentation(**mapping)`."""


def checked(kind: Any, value: Any, where: str) -> Any:
    """The value as `kind`, a type of this module, takes it.

    Raises:
        ConfigurationError: it is none; the message says where it stands, what was expected and what was found.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ConfigurationError(_explained(error, kind, where)) from None


def _explained(error: ValidationError, kind: Any, where: str) -> str:
    # A misspelt key is both unknown and missing; the first says more.
    errors = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    first = errors[0]
    location = ".".join([where, *(str(part) for part in first["loc"] if not str(part).startswith("function-"))])
    if first["type"] == "extra_forbidden":
        section = _section_at(kind if isinstance(kind, type) else get_args(kind)[0], first["loc"][:-1])
        keys = [field.alias or name for name, field in section.model_fields.items()]
        return f"{location}: unknown key{nearest(str(first['loc'][-1]), keys)}; expected {', '.join(keys)}"
    if first["type"] == "missing":
        return f"{location}: missing"
    if first["type"] == "model_type":
        return f"{location}: expected a mapping, found {first['input']!r}"
    said = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{location}: expected {said}, found {first['input']!r}"


def _section_at(section: Any, location: tuple[int | str, ...]) -> Any:
    """The section that a key stands in: `section` itself, or one inside it."""
    for part in location:
        if hasattr(section, "model_fields") and part in section.model_fields:
            section = section.model_fields[part].annotation
        elif get_args(section):
            # A mapping of sections: the entry's name leads to its values' type.
            section = get_args(section)[-1]
    return section


def nearest(name: Any, names: list[str]) -> str:
    """` (did you mean ...?)` with the name that is most like it, or nothing."""
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""

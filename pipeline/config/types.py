"""The types of settings, with which strategies annotate their keyword arguments, and the check of a value.

Importing this module does not import TensorFlow.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    Tag,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)

from pipeline.config import names
from pipeline.config.names import shown
from pipeline.core.errors import ConfigurationError

LARGEST = 2**31 - 1
"""The largest integer of a setting: more examples, rounds or pictures than this cannot be counted by every library."""
Count = Annotated[int, Field(strict=True, ge=1, le=LARGEST)]
Whole = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
"""What NumPy, Keras and TensorFlow take alike."""
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]
Length = Annotated[float, Field(strict=True, gt=0, le=1e6, allow_inf_nan=False)]
"""Epochs, or a budget that multiplies them: finite, and so is the product of both."""
Name = Annotated[str, BeforeValidator(names.checked)]
"""A name that becomes a path, a stage's address or an argument; see `pipeline.config.names`."""
PatchSide = Annotated[int, Field(strict=True, ge=1, le=8)]
"""The side of a square patch, in pixels."""
InputSize = Annotated[int, Field(strict=True, ge=32)]
"""Height and width of an input, in pixels; VGG16 takes 32 and more."""
VGG16Layers = Annotated[int, Field(strict=True, ge=1, le=19)]
"""A number of layers of VGG16 without its head."""
Regions = Annotated[int, Field(strict=True, ge=1, le=64)]
"""A number of the 64 regions that are proposed for a scene."""
Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]


class Section(BaseModel):
    """A mapping in params.yaml whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)
    unknown_key: ClassVar[tuple[str, str]] = ("unknown key", "expected")
    """How a message names a key that is not one of them, and how it introduces those that are."""


class Recipe(Section):
    """How long and how fast a strategy trains; its keys are flat in the strategy's entry of params.yaml.

    Attributes:
        epochs: passes over the training split at budget 1; may be a fraction.
        batch: examples per step.
        learning_rate: of the optimizer; with a schedule, its peak.
        weight_decay: decoupled, of kernels only.
        examples: how many of the training examples are used, the first ones; all by default.
        keep: the weights of which epoch: the `last`, which suits a rate that falls to nothing, or the `best` on valid.
        optimizer: `adamw` or `muon`, both under a one-cycle schedule; without it, the strategy's own, which is AdamW
            unless the strategy says otherwise.
    """

    epochs: Length
    batch: Count
    learning_rate: Positive
    weight_decay: NonNegative = 0.0
    examples: Count | None = None
    keep: Literal["last", "best"] = "last"
    optimizer: Literal["adamw", "muon"] | None = None


class NormalizationSwitches(Section):
    """The switches of normalization, all off by default; see `pipeline.preprocessing.normalization`."""

    samplewise_center: Switch = False
    samplewise_std_normalization: Switch = False
    featurewise_center: Switch = False
    featurewise_std_normalization: Switch = False
    zca_whitening: Switch = False
    zca_epsilon: Positive | None = None


MODE_NAMES = ("none", "rescale", "samplewise", "featurewise", "zca")
"""The normalizations that always exist; `normalize.custom` in params.yaml adds others."""


def _mode(value: Any, checked_switches: Callable[[Any], NormalizationSwitches]) -> str | dict[str, Any]:
    if isinstance(value, Mapping):
        return checked_switches(dict(value)).model_dump(exclude_unset=True)
    if isinstance(value, str) and value in MODE_NAMES:
        return value
    raise ValueError(f"one of {', '.join(MODE_NAMES)}, or a mapping of switches")


if TYPE_CHECKING:
    Mode = str | Mapping[str, Any]
else:
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


class DistortionSection(Section):
    """The arguments of `pipeline.preprocessing.distortion.Distortion`; all are off by default."""

    rotation_range: NonNegative = 0.0
    shear_range: NonNegative = 0.0
    shift_range: NonNegative = 0.0
    zoom_range: Fraction = 0.0
    elastic: NonNegative = 0.0
    stroke: Share = 0.0


DistortionOptions = Annotated[DistortionSection, AfterValidator(DistortionSection.model_dump)]
"""A strategy's setting that holds them all, checked: it arrives as a plain mapping, for `Distortion(**mapping)`."""


def checked(kind: Any, value: Any, where: str) -> Any:
    """`value`, validated as `kind`, a type of this module.

    Raises:
        ConfigurationError: it does not fit; the message names where it is, what was expected and what was found.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ConfigurationError(explain(error, kind, where)) from None


def explain(error: ValidationError, kind: Any, root: str = "") -> str:
    """The first error of a validation as one line: key, expected, found, and the nearest key that exists.

    Args:
        error: of validating something as `kind`.
        kind: a section, or a type of this module.
        root: the key of the value itself; empty for a whole file.
    """
    # A misspelt key is both unknown and missing; the first says more.
    errors = sorted(
        error.errors(include_url=False, include_context=True), key=lambda each: each["type"] != "extra_forbidden"
    )
    first = errors[0]
    keys, section = _path(kind, first["loc"])
    location = ".".join(filter(None, [root, *map(_key, keys)]))
    found = shown(first["input"])
    if first["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in section.model_fields.items()]
        unknown, listed = section.unknown_key
        return f"{location}: {unknown}{nearest(first['loc'][-1], known)}; {listed} {', '.join(known)}"
    if first["type"] == "missing":
        return f"{location}: missing"
    if first["type"] == "union_tag_invalid":
        expected = first["ctx"]["expected_tags"].replace("'", "")
        return f"{location}.task: expected one of {expected}, found {shown(first['ctx']['tag'])}"
    if first["type"] == "union_tag_not_found" and isinstance(first["input"], Mapping):
        return f"{location}.task: missing"
    if first["type"] in ("model_type", "dict_type", "model_attributes_type", "union_tag_not_found"):
        return f"{location}: expected a mapping, found {found}"
    message = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{location}: expected {message}, found {found}"


def _key(key: str) -> str:
    """A key in a message: as it is if it is short and printable."""
    return key if key.isprintable() and len(key) <= names.LONGEST else shown(key)


def _path(kind: Any, location: tuple[int | str, ...]) -> tuple[list[str], Any]:
    """The keys of a location in the file, and the section that holds the last one.

    Pydantic's locations also name validators, the tags of unions and `[key]`, which are not in the file.
    """
    keys: list[str] = []
    section = holder = _bare(kind)
    for part in location:
        if str(part).startswith("function-") or part == "[key]":
            continue
        if get_origin(section) in (Union, UnionType):
            section = _bare(next(member for member in get_args(section) if part in _tags_of(member)))
            continue
        keys.append(str(part))
        holder, section = section, _inside(section, part)
    return keys, holder


def _inside(section: Any, key: int | str) -> Any:
    """The type of what `section` has under `key`."""
    if hasattr(section, "model_fields"):
        fields = {field.alias or name: field for name, field in section.model_fields.items()}
        return _bare(fields[str(key)].annotation) if key in fields else Any
    # A mapping of sections: the entry's name leads to its values' type.
    return _bare(get_args(section)[-1]) if get_args(section) else Any


def _bare(kind: Any) -> Any:
    """A type without what `Annotated` adds."""
    return _bare(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _tags_of(member: Any) -> tuple[Any, ...]:
    """The tags by which a union of sections chooses a member: one of its own, or its tasks."""
    tags = [added.tag for added in get_args(member)[1:] if isinstance(added, Tag)]
    if tags:
        return tuple(tags)
    section = _bare(member)
    if get_origin(section) in (Union, UnionType):
        return tuple(get_args(_bare(each).model_fields["task"].annotation)[0] for each in get_args(section))
    return get_args(section.model_fields["task"].annotation) if hasattr(section, "model_fields") else ()


def nearest(name: Any, known: list[str]) -> str:
    """` (did you mean ...?)` with the most similar name, or nothing."""
    # The comparison takes quadratic time, and no name that exists is as long.
    close = difflib.get_close_matches(str(name)[:100], known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""

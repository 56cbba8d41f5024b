"""The space of a search: ranges of numbers and choices, what Optuna suggests of them, and what a suggestion changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainValidator

from pipeline.experiments import studies

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = bool | int | float | str
DIGITS = 6
"""Significant digits of a suggested real number: the last bits of a suggestion can differ from machine to machine."""
_STEPPED_DIGITS = 12
_RANGE = ("low", "high", "step", "log")
_LARGEST = 10**12
"""The largest number of a range by its absolute value: larger ones leave a float few digits for fractions."""
_MOST_STEPS = 10**6


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones if both are integers.

    Attributes:
        step: the distance of neighbours, which divides the range; None for every number between.
        log: whether numbers are drawn evenly on a logarithmic scale.
    """

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether its numbers are integers."""
        return isinstance(self.low, int)

    def distribution(self) -> "BaseDistribution":
        """The distribution as Optuna has it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def value(self, suggested: Any) -> Value:
        """A suggestion as it is run: with few digits, and not outside of the range."""
        if self.whole:
            return int(suggested)
        digits = DIGITS if self.step is None else _STEPPED_DIGITS
        return min(max(float(f"{suggested:.{digits}g}"), float(self.low)), float(self.high))

    def changes(self, axis: str, value: Value) -> dict[str, Any]:
        """What a value changes of params.yaml."""
        return {axis: value}

    def extremes(self) -> list[Value]:
        """The values that are checked before a search begins: all others are between them."""
        return [self.low, self.high]

    def parse(self, value: Value) -> Value:
        """A value of a file, if it is one of this range.

        Raises:
            ValueError: it is not; the message says what is.
        """
        numbers = "whole numbers" if self.whole else "numbers"
        kinds = (int,) if self.whole else (int, float)
        if type(value) in kinds and self.low <= float(value) <= self.high:
            found = int(value) if self.whole else float(value)
            if self.step is None or _divides(self.step, self.low, found):
                return found
        steps = "" if self.step is None else f" in steps of {self.step}"
        raise ValueError(f"{numbers} from {self.low} to {self.high}{steps}")


@dataclass(frozen=True)
class Choices:
    """Values without an order, each by its name, with what it changes of params.yaml."""

    levels: Mapping[str, Mapping[str, Any]]

    def distribution(self) -> "BaseDistribution":
        """The distribution as Optuna has it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(list(self.levels))

    def value(self, suggested: Any) -> Value:
        """A suggestion as it is run: the name of a level."""
        return str(suggested)

    def changes(self, axis: str, value: Value) -> dict[str, Any]:
        """What a value changes of params.yaml; the axis is not a key of it where the levels have names."""
        return dict(self.levels[str(value)])

    def extremes(self) -> list[Value]:
        """The values that are checked before a search begins: all."""
        return list(self.levels)

    def parse(self, value: Value) -> Value:
        """The name of a level of a file, if it is one of the choices.

        Raises:
            ValueError: it is not; the message says what is.
        """
        if (name := studies.format_value(value)) in self.levels:
            return name
        raise ValueError(f"one of {', '.join(self.levels)}")


Dimension = Range | Choices


def _divides(step: float, low: float, high: float) -> bool:
    """Whether steps, a million at most, lead from one number to another, as decimals and not as binary fractions."""
    return high - low <= step * _MOST_STEPS and not (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step))


def _dimension(value: Any) -> Any:
    """A range, or the levels of choices as a study file has them; `Choices.levels` need the name of the axis."""
    if isinstance(value, dict) and set(value) == {"choices"}:
        return studies.levels(value["choices"])
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= set(_RANGE):
        raise ValueError("{low: A, high: B}, also with log: true or step: C, or {choices: [...]}")
    low, high, step = value["low"], value["high"], value.get("step")
    log = value.get("log", False)
    numbers = [low, high] if step is None else [low, high, step]
    if not all(type(each) in (int, float) and abs(each) < _LARGEST for each in numbers) or type(log) is not bool:
        raise ValueError("numbers for low, high and step, and true or false for log")
    if not low < high:
        raise ValueError("low below high")
    if log and low <= 0:
        raise ValueError("log: true with low above 0")
    if log and step is not None:
        raise ValueError("log: true or a step, not both")
    if any(type(each) is float for each in numbers):
        low, high = float(low), float(high)
    if step is not None and not (step > 0 and _divides(step, low, high)):
        raise ValueError("a step above 0 that divides the range from low to high, into a million parts at most")
    return Range(low, high, step if step is None or type(low) is int else float(step), log)


DimensionOption = Annotated[Any, PlainValidator(_dimension)]
"""An axis of a search file, checked; see `_dimension`."""

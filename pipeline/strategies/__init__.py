"""Strategies: one file each, found by its name.

A strategy is a module with

- `SUITES`: the names of the suites whose pictures it can read, and
- `train(train, valid, *, normalizer, seed, budget, <its settings>) -> keras.Model`. `train` and `valid` are
  `ImageSet`s, `normalizer` is the `Normalizer` of the data set it trains on, and `budget` scales the length of the
  training. Every other keyword argument is a setting with the same name in params.yaml, annotated with a type of
  `pipeline.config.types`; `recipe: Recipe` stands for the keys of `Recipe`, which are flat in params.yaml.

The model takes raw uint8 (n, H, W, C) and returns `probabilities` float32 (n, slots, classes) with rows that sum to 1,
`classes` (n, slots), `confidence` (n,) and, where it localises, `boxes` (n, slots, 4). It loads in a process that has
imported `pipeline.layers` alone.

Optional constants: `POSITIONAL = False` says that slot i of a reading is the i-th digit found, not the i-th position.
`DEPLOYABLE = False` says that a part of the strategy is outside the graph: the model has a second input, `regions`
float32 (n, k, 4), which `pipeline.preprocessing.proposals` computes.

A strategy whose network begins with pretrained weights calls `loop.report` with their origin. A strategy with an
argument `features` gets the folder that `features` in its entry names: outputs of frozen layers, or proposals.
"""

import importlib
from dataclasses import dataclass
from types import ModuleType

from pipeline.config.signatures import strategy_names
from pipeline.config.types import nearest
from pipeline.core.errors import ConfigurationError


@dataclass(frozen=True)
class Traits:
    """The constants of a strategy's module, with their defaults filled in."""

    suites: tuple[str, ...]
    positional: bool
    deployable: bool


def load(name: str) -> ModuleType:
    """The module of a strategy.

    Raises:
        ConfigurationError: there is no such strategy; the message lists those that exist.
    """
    names = strategy_names()
    if name not in names:
        raise ConfigurationError(
            f"strategies.{name}: unknown strategy{nearest(name, names)}; there are {', '.join(names)}"
        )
    return importlib.import_module(f"pipeline.strategies.{name}")


def traits(module: ModuleType) -> Traits:
    """The constants of a strategy's module."""
    return Traits(
        suites=tuple(module.SUITES),
        positional=getattr(module, "POSITIONAL", True),
        deployable=getattr(module, "DEPLOYABLE", True),
    )

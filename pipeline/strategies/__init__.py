"""Strategies: one file each, found by its name.

A strategy is a module with

- `SUITES`: the names of the suites whose pictures it can read, and
- `train(train, valid, *, normalizer, seed, budget, <its settings>) -> keras.Model`, where `train` and `valid` are
  `ImageSet`s, `normalizer` is the `Statistics` of the data set it trains on, `budget` scales the length of training,
  and every further keyword argument is a setting that stands under its name in params.yaml, annotated with a type of
  `pipeline.config.types`.

The model takes raw uint8 (n, H, W, C) and returns `probabilities` float32 (n, slots, classes) with rows summing to 1,
`classes` (n, slots), `confidence` (n,) and, where it localises, `boxes` (n, slots, 4). It loads in a process that has
imported `pipeline.layers` alone. `POSITIONAL = False` says that slot i of a reading is the i-th digit found, not the
i-th position; `DEPLOYABLE = False` that a part of the strategy stays outside the graph: then the model has a second
input, `regions` float32 (n, k, 4), which `pipeline.preprocessing.proposals` makes.

A strategy whose network begins with weights of another training says through `training.report` where they came from.
One whose first layers stay frozen may take `features`, the folder that `stages.features` wrote for it: it gets it where
its `uses` names that folder.
"""

import importlib
from types import ModuleType

from pipeline.config.params import strategy_names
from pipeline.core.errors import ConfigurationError


def load(name: str) -> ModuleType:
    """The strategy's module.

    Raises:
        ConfigurationError: there is no such strategy; the message lists those there are.
    """
    if name not in strategy_names():
        raise ConfigurationError(f"strategies.{name}: unknown strategy; there are {', '.join(strategy_names())}")
    return importlib.import_module(f"pipeline.strategies.{name}")

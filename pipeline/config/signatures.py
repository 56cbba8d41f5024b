"""The settings of a strategy, read from the signature of its `train` without importing it.

Importing a strategy imports TensorFlow, which takes seconds; its source says the same in milliseconds.
"""

import ast
import builtins
import functools
from pathlib import Path
from types import UnionType
from typing import Any, Literal

from pydantic import create_model

from pipeline.config import types
from pipeline.config.types import Recipe, Section
from pipeline.core.errors import ConfigurationError

STRATEGIES_FOLDER = Path(__file__).parents[1] / "strategies"
CONTRACT_ARGUMENTS = ("normalizer", "seed", "budget", "features")
"""Keyword arguments of `train` that the stage supplies; every other one is a setting."""
_BUILTINS = ("bool", "int", "float", "str")


def strategy_names() -> list[str]:
    """The names of the strategies that exist: the files of `pipeline/strategies`."""
    return sorted(file.stem for file in STRATEGIES_FOLDER.glob("*.py") if not file.stem.startswith("_"))


def constant(strategy: str, name: str, default: Any) -> Any:
    """The literal value of a module-level constant of a strategy, or `default`."""
    for node in _module(strategy).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    return default


def settings_of(strategy: str) -> dict[str, tuple[Any, Any]]:
    """The settings of a strategy as `{name: (type, default)}`; the default is `...` where there is none.

    A `recipe: Recipe` argument stands for the fields of `Recipe`: its keys are flat in params.yaml.

    Raises:
        ConfigurationError: the file has no `train`, or an annotation is not one that can be read.
    """
    arguments = _train(strategy).args
    settings: dict[str, tuple[Any, Any]] = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if argument.arg in CONTRACT_ARGUMENTS:
            continue
        where = f"pipeline/strategies/{strategy}.py: {argument.arg}"
        kind = _type(argument.annotation, where)
        if kind is Recipe:
            for name, field in Recipe.model_fields.items():
                settings[name] = (Recipe.__annotations__[name], ... if field.is_required() else field.default)
            continue
        settings[argument.arg] = (kind, ... if default is None else ast.literal_eval(default))
    return settings


def takes_features(strategy: str) -> bool:
    """Whether `train` has an argument `features`."""
    return any(argument.arg == "features" for argument in _train(strategy).args.kwonlyargs)


@functools.cache
def settings_model(strategy: str, base: type[Section]) -> type[Section]:
    """A pydantic model of one entry under `strategies`: the fields of `base`, then the settings of the strategy."""
    fields: dict[str, Any] = settings_of(strategy)
    return create_model(strategy, __base__=base, **fields)


def _train(strategy: str) -> ast.FunctionDef:
    trains = [node for node in _module(strategy).body if isinstance(node, ast.FunctionDef) and node.name == "train"]
    if not trains:
        raise ConfigurationError(f"pipeline/strategies/{strategy}.py: no function train(train, valid, *, ...)")
    return trains[0]


def _type(annotation: ast.expr | None, where: str) -> Any:
    """The type that an annotation names, without evaluating it."""
    match annotation:
        case ast.Name(id=name) if name in _BUILTINS:
            return getattr(builtins, name)
        case ast.Name(id=name) if hasattr(types, name):
            return getattr(types, name)
        case ast.Constant(value=None):
            return None
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=choices)):
            return Literal[tuple(ast.literal_eval(choice) for choice in choices)]
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choice):
            return Literal[ast.literal_eval(choice)]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            union: UnionType = _type(left, where) | _type(right, where)
            return union
    found = ast.unparse(annotation) if annotation else "no annotation"
    raise ConfigurationError(
        f"{where}: {found}; annotate a setting with a name of pipeline/config/types.py, Literal[...], "
        f"{', '.join(_BUILTINS)}, or a union of these"
    )


def _module(strategy: str) -> ast.Module:
    """The source of a strategy, or of the one whose `train` it takes over: `from pipeline.strategies.NAME import`."""
    module = ast.parse((STRATEGIES_FOLDER / f"{strategy}.py").read_text(encoding="utf-8"))
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and "train" in [name.name for name in node.names]:
            package, _, other = (node.module or "").rpartition(".")
            if package == "pipeline.strategies":
                return _module(other)
    return module

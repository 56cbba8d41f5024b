"""Whether suites of params.yaml take in the corrections of a task, and the key with which they do."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node

from pipeline.config import params
from pipeline.config.params import Params
from pipeline.config.sections import LabelledSuite, SplitSuite
from pipeline.core.errors import ConfigurationError
from pipeline.core.files import replacing
from pipeline.data.suites import CORRECTED

KEY = "corrections"
COPIES = 20
"""Of each picture in a suite of single pictures: ten pictures are then 0.4 % of what MNIST trains on."""


def taking(settings: Params, task: str) -> dict[str, int | bool]:
    """The suites that can take in the corrected pictures of a task, and what the key is to be there."""
    return {
        name: COPIES if isinstance(suite, SplitSuite) else True
        for name, suite in settings.suites.items()
        if (isinstance(suite, SplitSuite) and task in CORRECTED[suite.task])
        or (isinstance(suite, LabelledSuite) and suite.task == task)
    }


def lacking(settings: Params, task: str) -> dict[str, int | bool]:
    """Those of them that do not have the key. One that has it as 0 or false was told to leave corrections out."""
    found = taking(settings, task)
    return {name: value for name, value in found.items() if KEY not in settings.suites[name].model_fields_set}


def add(path: Path, keys: Mapping[str, int | bool]) -> None:
    """Add the key to suites. Every other byte of the file stays.

    Args:
        path: of params.yaml.
        keys: what it is to be, by suite.

    Raises:
        ConfigurationError: the file is not valid, or is written in a way in which only a person can add the key.
    """
    text = path.read_bytes().decode()
    before = params.read(path)
    for name, value in keys.items():
        text = _added(text, name, value) or text
    expected = {**before, "suites": {name: dict(suite) for name, suite in before["suites"].items()}}
    for name, value in keys.items():
        expected["suites"][name][KEY] = value
    try:
        found = YAML(typ="safe").load(text)
    except YAMLError:
        found = None
    if found != expected:
        raise ConfigurationError(f"{path}: add {format_keys(keys)}; they could not be added without other changes")
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())
        try:
            params.load(temporary)
        except ConfigurationError as error:
            raise ConfigurationError(str(error).replace(str(temporary), str(path))) from None


def format_keys(keys: Mapping[str, int | bool]) -> str:
    """The keys as a person would write them."""
    return ", ".join(f"`{KEY}: {json.dumps(value)}` to suites.{name}" for name, value in keys.items())


def _added(text: str, name: str, value: int | bool) -> str | None:
    """The text with the key added to a suite, the last one in braces, else the first; None where it has no keys."""
    suite = _value(_value(YAML().compose(text), "suites"), name)
    if not isinstance(suite, MappingNode) or not suite.value:
        return None
    entry = f"{KEY}: {json.dumps(value)}"
    if suite.flow_style:
        # Behind the last value: what follows may be a comment or a line break.
        at = suite.value[-1][1].end_mark.index
        return f"{text[:at]}, {entry}{text[at:]}"
    first = suite.value[0][0].start_mark
    return f"{text[: first.index]}{entry}\n{' ' * first.column}{text[first.index :]}"


def _value(node: Node | None, key: str) -> Node | None:
    return next(_values(node, key), None)


def _values(node: Node | None, key: str) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        yield from (value for name, value in node.value if name.value == key)

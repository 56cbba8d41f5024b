"""DVC that reads and writes single stages of dvc.lock: python -m pipeline.project.faster_dvc ARGUMENTS.

After every stage, DVC parses dvc.lock and writes it anew with ruamel.yaml's round trip, which is pure Python: six
seconds for 200 stages. Here DVC's own writer writes the stages that changed, and their text takes the place of the old
one. The file is the same, byte for byte. An experiment in a folder of its own also parses and checks the whole file
before every stage, which takes a second; here a stage is parsed again only if its text changed.

A file that does not look as DVC writes it is left to DVC.
"""

import contextlib
import copy
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from dvc import dvcfile
from dvc.cli import main
from dvc.exceptions import DvcException
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import dumps_yaml, modify_yaml, parse_yaml
from voluptuous import MultipleInvalid

from pipeline.core.files import write_text

_HEAD = "schema: '2.0'\nstages:\n"
_NAME = re.compile(r"  ([A-Za-z][\w.@-]*):\n")
_BODY = "    "
_PARSED: dict[str, Any] = {}
"""What a stage says, by its text."""
_LOAD_WHOLE = dvcfile.Lockfile._load_yaml  # noqa: SLF001


class Stages(MutableMapping[str, Any]):
    """The stages of dvc.lock: each is parsed when it is read, and written when it is set.

    Attributes:
        texts: of each stage, by name, as it is in the file.
    """

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def __getitem__(self, name: str) -> Any:
        return parse_yaml(self.texts[name], dvcfile.LOCK_FILE)[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.texts[name] = dumps_yaml({"stages": {name: value}}).removeprefix("stages:\n")

    def __delitem__(self, name: str) -> None:
        del self.texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)


def split(text: str) -> dict[str, str] | None:
    """The text of every stage of a dvc.lock, by name; None where it does not look as DVC writes it."""
    if not text.startswith(_HEAD):
        return None
    found: dict[str, list[str]] = {}
    body: list[str] = []
    for line in text[len(_HEAD) :].splitlines(keepends=True):
        if name := _NAME.fullmatch(line):
            if name[1] in found:
                return None
            body = found[name[1]] = [line]
        elif line.startswith(_BODY) and line.endswith("\n") and found:
            body.append(line)
        else:
            return None
    return {name: "".join(lines) for name, lines in found.items()}


def load(lock: dvcfile.Lockfile, **options: Any) -> tuple[Any, str]:
    """DVC's `Lockfile._load_yaml`: what a dvc.lock says, checked, and its text; DVC says why one is not valid."""
    with contextlib.suppress(UnicodeDecodeError), lock.repo.fs.open(lock.path, encoding="utf-8") as file:
        text = file.read()
        texts = None if options else split(text)
        if texts is not None and _learn(texts):
            # Copies, since DVC changes what it gets.
            return {
                "schema": "2.0",
                "stages": {name: copy.deepcopy(_PARSED[each]) for name, each in texts.items()},
            }, text
    return _LOAD_WHOLE(lock, **options)


def _learn(texts: Mapping[str, str]) -> bool:
    """Parse and check the stages whose text was not seen before; returns whether they are valid."""
    new = {name: text for name, text in texts.items() if text not in _PARSED}
    try:
        stages = parse_yaml("".join(new.values()), dvcfile.LOCK_FILE)
        COMPILED_LOCKFILE_SCHEMA({"schema": "2.0", "stages": stages})
    except (DvcException, MultipleInvalid):
        return False
    _PARSED.update((text, stages[name]) for name, text in new.items())
    return True


@contextlib.contextmanager
def modify(path: Any, fs: Any = None) -> Iterator[Any]:
    """DVC's `modify_yaml`: the content of a file, which is written when the block ends."""
    file = Path(path)
    texts = split(file.read_text(encoding="utf-8")) if file.name == dvcfile.LOCK_FILE and file.is_file() else None
    if texts is None:
        with modify_yaml(path, fs=fs) as content:
            yield content
        return
    content = {"schema": "2.0", "stages": Stages(dict(texts))}
    yield content
    stages = content["stages"]
    if set(content) != {"schema", "stages"} or not isinstance(stages, Stages):
        raise NotImplementedError(f"{path}: expected changes of stages alone")
    if stages.texts != texts:
        write_text(file, _HEAD + "".join(stages.texts.values()))


if __name__ == "__main__":
    dvcfile.modify_yaml = modify
    dvcfile.Lockfile._load_yaml = load  # noqa: SLF001  # DVC has no other place for it.
    sys.exit(main())

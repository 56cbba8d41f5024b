"""The outcomes of stages in the DVC remote: what was computed before, by any machine and for any driver."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from pipeline.core.errors import DataError
from pipeline.project.remote import Remote
from pipeline.records.outcome import Outcome

_READERS = 16
"""Outcomes that are looked up at a time: a remote answers in some ten milliseconds."""


def read(remote: Remote, key: str) -> Outcome | None:
    """What a task left; None where it is not finished. A damaged outcome counts as none, and is written again."""
    content = remote.read(_path(key))
    if content is None:
        return None
    try:
        return Outcome.parse(content.decode("utf-8", "replace"), _path(key))
    except DataError:
        return None


def read_all(remote: Remote, keys: Iterable[str]) -> dict[str, Outcome]:
    """The outcomes of the tasks that are finished, by key."""
    wanted = list(keys)
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda key: read(remote, key), wanted)
        return {key: outcome for key, outcome in zip(wanted, found, strict=True) if outcome is not None}


def write(remote: Remote, key: str, outcome: Outcome) -> None:
    """Leave an outcome. What it names must be in the remote before."""
    remote.write(_path(key), outcome.model_dump_json(indent=2).encode())


def _path(key: str) -> str:
    return f"outcomes/{key[:2]}/{key}.json"

"""What a clone has seen of the shared repository's registry: what vanishes or moves there later is noticed here."""

import contextlib
import fcntl
import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from pipeline.core.errors import ConfigurationError, DataError, RegistryError
from pipeline.events.repository import HEADS, Repository
from pipeline.records.registry import SeenState

FILE = "registry-seen.json"
"""In the git folder that all work trees of a clone share."""
_TAGS = "refs/tags/"


class HistoryChanged(RegistryError):
    """The shared repository lost or moved a tag that this clone has seen there."""


def load(repository: Repository) -> SeenState:
    """What this clone has seen.

    Raises:
        ConfigurationError: the file is damaged.
    """
    path = _path(repository)
    if not path.exists():
        return SeenState()
    try:
        return SeenState.read(path)
    except DataError as error:
        reason = str(error).split("; ")[0]
        raise ConfigurationError(
            f"{reason}; expected what the registry wrote: remove the file to trust the shared repository as it is now"
        ) from None


def compare(repository: Repository, shared: Mapping[str, str], patterns: Collection[str]) -> None:
    """Compare the shared repository with what this clone has seen in it.

    Args:
        repository: the clone.
        shared: the shared repository's tags of these patterns and its heads, by whole name.
        patterns: the tags that count; those of an artifact that dvc.yaml does not list any more do not.

    Raises:
        HistoryChanged: a tag that was seen there is gone or another one; or its head is none of its tags.
    """
    remote = repository.remote()
    seen = load(repository).remotes.get(repository.remote_address(), {})
    found = []
    for ref, tag_id in seen.items():
        name = ref.removeprefix(_TAGS)
        asked = any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        if not asked or shared.get(ref) == tag_id:
            continue
        if ref in shared:
            moved = f"moved in {remote} from {tag_id[:12]} to {shared[ref][:12]}"
            found.append(f"{name}: [rejected] {name} -> {name}: {moved}")
        else:
            found.append(f"{name}: vanished from {remote}, where this clone has seen it as {tag_id[:12]}")
    tags = {tag_id for ref, tag_id in shared.items() if ref.startswith(_TAGS)}
    accepted = load(repository).accepted
    for ref, tag_id in shared.items():
        if ref.startswith(HEADS) and tag_id not in tags and tag_id not in accepted and not found:
            found.append(
                f"{ref.removeprefix(HEADS)}: its last event in {remote} is {tag_id[:12]}, and no tag there is: "
                f"it vanished, or was moved; `registry accept {tag_id}` if that was intended"
            )
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        name = found[0].split(": ")[0]
        remedy = "" if "registry accept" in found[0] else (
            f"; restore it with `git push {remote} TAG` from a clone that has it, or accept it with "
            f"`registry accept {name}`"
        )  # fmt: skip
        raise HistoryChanged(f"{found[0]}{more}{remedy}")


def remember(repository: Repository, refs: Mapping[str, str]) -> None:
    """Add tags and heads, by whole name, to what this clone has seen in the shared repository."""
    address = repository.remote_address()
    known = load(repository).remotes.get(address, {})
    if all(known.get(ref) == tag_id for ref, tag_id in refs.items()):
        return
    with _locked(repository):
        state = load(repository)
        remotes = {**state.remotes, address: {**state.remotes.get(address, {}), **refs}}
        state.model_copy(update={"remotes": remotes}).write(_path(repository))


def accept(repository: Repository, ids: Iterable[str], refs: Mapping[str, str | None]) -> None:
    """Accept that objects are absent, and how refs are now in the shared repository.

    Args:
        repository: the clone.
        ids: of the objects that may be absent from now on.
        refs: by whole name, the id of a ref in the shared repository; None where it is not there any more.
    """
    address = repository.remote_address()
    with _locked(repository):
        state = load(repository)
        remotes = dict(state.remotes)
        if refs:
            merged = {**remotes.get(address, {}), **refs}
            remotes[address] = {ref: tag_id for ref, tag_id in merged.items() if tag_id is not None}
        accepted = tuple(sorted({*state.accepted, *ids}))
        state.model_copy(update={"remotes": remotes, "accepted": accepted}).write(_path(repository))


@contextlib.contextmanager
def _locked(repository: Repository) -> Iterator[None]:
    """Hold the lock of the file, of its name and `.lock`: no process of the clone loses what another one adds."""
    path = _path(repository)
    with path.with_name(f"{path.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _path(repository: Repository) -> Path:
    return repository.git_folder() / FILE

"""What a run needs, looked at from outside: nothing is trained, fetched or changed. Imports no TensorFlow."""

import os
import platform
import re
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import networkx as nx
import psutil
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_objects.fs.generic import test_links as working_links
from packaging.requirements import Requirement

from pipeline.config import params, sections
from pipeline.config.sections import Sources
from pipeline.core.errors import ConfigurationError, PipelineError
from pipeline.data import cifar10, mnist
from pipeline.experiments import preflight
from pipeline.project import workspace
from pipeline.project.checks import Check
from pipeline.training import processor

VERSIONS = ((3, 11), (3, 13))
"""The oldest and the newest Python that every package of the locks has wheels for."""
GIB = 1 << 30
MEMORY = 3.0
"""GiB: a training was seen to take 1.8 at most, and what else runs needs some."""
PATIENCE = 2.0
"""Seconds that the network has for an answer."""
LOCKS = {"requirements/pipeline.lock": "problem", "requirements/dev.lock": "note"}
"""What a missing package of each lock means: without the first no stage runs."""


def examine() -> list[Check]:
    """Every check, in the order in which one would mend things. A check that cannot be made says so as a problem."""
    checks: list[Callable[[], list[Check]]] = [_python, _packages, _params, _git, _cache, _mirror, _pictures]
    checks += [_processor, _disk, _memory, _stale]
    found = []
    for check in checks:
        try:
            found += check()
        except (PipelineError, DvcException, OSError) as error:
            found.append(Check(check.__name__.strip("_"), "problem", " ".join(str(error).split())))
    return found


def _python() -> list[Check]:
    oldest, newest = VERSIONS
    said = f"{platform.python_version()} at {_shown(Path(sys.executable))}"
    if not oldest <= sys.version_info[:2] <= newest:
        wanted = f"{oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}"
        return [Check("python", "problem", f"{said}; {wanted} is needed: remove .venv, make PYTHON=python3.12 setup")]
    return [Check("python", "ok", said)]


def _packages() -> list[Check]:
    found, seen = [], set()
    for lock, verdict in LOCKS.items():
        pins = {name: version for name, version in _pins(Path(lock)) if name not in seen}
        seen |= set(pins)
        here = {name: _installed(name) for name in pins}
        missing = [name for name, version in here.items() if version is None]
        other = [
            f"{name} {version} for {pins[name]}" for name, version in here.items() if version not in (None, pins[name])
        ]
        if missing:
            found.append(
                Check("packages", verdict, f"{lock}: not installed: {_some(missing)}; rm .venv/.ready, make setup")
            )
        if other:
            found.append(
                Check("packages", "note", f"{lock}: another version: {_some(other)}; rm .venv/.ready, make setup")
            )
    return found or [Check("packages", "ok", f"all {len(seen)} are those of {' and '.join(LOCKS)}")]


def _pins(lock: Path) -> Iterator[tuple[str, str]]:
    """Name and version of every pin that this machine needs."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line[:1].isalnum():
            pin = Requirement(line.rstrip("\\ "))
            if pin.marker is None or pin.marker.evaluate():
                yield pin.name, str(pin.specifier).removeprefix("==")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _params() -> list[Check]:
    settings = params.load(Path("params.yaml"))
    return [Check("params", "ok", f"{len(settings.strategies)} strategies at budget {settings.budget:g}")]


def _git() -> list[Check]:
    revision = workspace.git("rev-parse", "--short", "HEAD")
    said = [Check("git", "ok", f"at {revision}, branch {workspace.git('branch', '--show-current') or 'none'}")]
    identity = preflight.identity()
    # `make repro` commits nothing; only experiments and the registry do.
    return [*said, identity if identity.verdict == "ok" else Check("identity", "note", identity.message), *_code()]


def _code() -> list[Check]:
    new, changed = workspace.untracked(), workspace.modified()
    if not new and not changed:
        return [Check("code", "ok", "all of it is committed")]
    said = [f"tracked and changed: {_some(changed)}"] if changed else []
    said += [f"not known to git, so no experiment gets it: {_some(new)}"] if new else []
    return [Check("code", "note", "; ".join(said))]


def _cache() -> list[Check]:
    workspace.expect_clone()
    with Repo() as repo:
        local = repo.cache.local
        folder = Path(local.path)
        folder.mkdir(parents=True, exist_ok=True)
        wanted = list(local.cache_types)
        works = working_links(wanted, local.fs, local.path, repo.fs, repo.root_dir)
        remotes = list(repo.config["remote"])
    size = sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()) / GIB
    link = works[0] if works else "none"
    said = [
        Check(
            "cache",
            "ok" if works else "problem",
            f"{_shown(folder)}, {size:.1f} GiB, files reach the workspace by {link}",
        )
    ]
    if remotes:
        said.append(Check("remote", "ok", ", ".join(remotes)))
    else:
        said.append(Check("remote", "note", "none: results live in this cache alone; dvc remote add -d NAME ADDRESS"))
    return said


def _public() -> list[str]:
    """The sources that are fetched from their public addresses; all of them where params.yaml does not say."""
    try:
        given = params.load(Path("params.yaml")).sources
    except ConfigurationError:
        return list(Sources.model_fields)
    return [name for name in Sources.model_fields if getattr(given, name).origin == sections.PUBLIC]


def _mirror() -> list[Check]:
    """The mirror by the sizes of what it holds; `fetch` compares the digests."""
    value = os.environ.get(workspace.MIRROR_VARIABLE, "")
    public = _public()
    have = all(workspace.origin(source) for source in public)
    if not public:
        return [Check("mirror", "ok", "not needed: every source is a folder")]
    if not value:
        if have:
            return [Check("mirror", "ok", "not set, and not needed: the pictures are here")]
        host = urlsplit(mnist.URLS[0]).hostname or ""
        if _answers(host):
            return [Check("mirror", "ok", f"not set; {host} answers, so the pictures can be fetched")]
        return [
            Check(
                "mirror",
                "note",
                f"not set, and {host} does not answer in {PATIENCE:g} s: fetch may take the embedded stand-in; "
                f"{workspace.MIRROR_VARIABLE}=/some/folder gives it the real pictures",
            )
        ]
    if "://" in value:
        # The address may hold a password.
        return [Check("mirror", "ok", f"{urlsplit(value).hostname or 'an address'}, not asked")]
    folder = Path(value).expanduser()
    if not folder.is_dir():
        return [Check("mirror", "problem", f"{workspace.MIRROR_VARIABLE}={value}: no such folder")]
    wrong = [said for said in (_held(folder / name, size) for name, size in _mirrored().items()) if said]
    if wrong:
        return [Check("mirror", "problem", f"{workspace.MIRROR_VARIABLE}={value}: {'; '.join(wrong)}")]
    if not folder.is_absolute():
        return [
            Check(
                "mirror",
                "note",
                f"{value} is relative: make repro and make exp make it absolute, dvc exp run --queue fails on it",
            )
        ]
    return [Check("mirror", "ok", f"{value}, all files, of the right sizes when unpacked")]


def _mirrored() -> dict[str, int]:
    """The least bytes of each file unpacked: exactly those of MNIST's, the records of CIFAR-10's."""
    (train, test), (pool, last) = sections.PUBLIC_SIZES["mnist"], sections.PUBLIC_SIZES["cifar10"]
    sizes = {}
    for name in mnist.FILES:
        n = train if name.startswith("train") else test
        sizes[f"mnist/{name}.gz"] = n * 28 * 28 + 16 if "images" in name else n + 8
    return sizes | {"cifar10/cifar-10-binary.tar.gz": (pool + last) * cifar10.RECORD}


def _held(path: Path, size: int) -> str:
    """What is wrong with a gzip file, "" where it says that it unpacks to at least `size` bytes."""
    if not path.is_file():
        return f"{path.name} is missing"
    with path.open("rb") as file:
        magic = file.read(2)
        file.seek(max(0, path.stat().st_size - 4))
        unpacked = int.from_bytes(file.read(4), "little")
    if magic != b"\x1f\x8b":
        return f"{path.name} is no gzip file"
    if unpacked < size or (path.parent.name == "mnist" and unpacked != size):
        return f"{path.name} unpacks to {unpacked:,} bytes, expected {size:,}"
    return ""


def _answers(host: str) -> bool:
    """Whether a host can be reached within `PATIENCE`; behind a proxy, whether the proxy can."""
    proxy = urlsplit(os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or "")
    address = (proxy.hostname, proxy.port or 80) if proxy.hostname else (host, 443)
    answered = threading.Event()

    def ask() -> None:
        try:
            with socket.create_connection(address, timeout=PATIENCE):
                answered.set()
        except OSError:
            pass

    # Looking a name up knows no time limit, so the thread is left to itself.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return answered.is_set()


def _pictures() -> list[Check]:
    found = []
    for source in Sources.model_fields:
        origin = workspace.origin(source)
        if origin is None:
            found.append(Check("pictures", "note", f"{source}: not here yet; make repro brings it"))
        elif origin == "embedded":
            said = "the embedded stand-in; make repro takes the real one as soon as it can be had"
            found.append(Check("pictures", "note", f"{source}: {said}"))
        else:
            found.append(Check("pictures", "ok", f"{source}: {origin}"))
    return found


def _processor() -> list[Check]:
    having = processor.bfloat16()
    cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
    if having:
        return [Check("processor", "ok", f"{cores} cores, {', '.join(having)}: precision auto is mixed_bfloat16")]
    said = f"{cores} cores, none of {', '.join(processor.BFLOAT16)}: precision auto is float32, which takes twice as "
    return [Check("processor", "note", said + "long; results differ a little from those of a machine with bfloat16")]


def _disk() -> list[Check]:
    with Repo() as repo:
        made = sum(out.meta.size or 0 for stage in repo.index.stages for out in stage.outs if out.use_cache)
    free, needed = shutil.disk_usage(".").free / GIB, 2 * made / GIB
    said = f"{free:.1f} GiB free; what the last run made takes {needed:.1f} GiB here and in the cache"
    return [Check("disk", "note" if free < needed else "ok", said)]


def _memory() -> list[Check]:
    free = psutil.virtual_memory().available
    limit = _limit()
    if limit is not None:
        free = min(free, limit)
    said = f"{free / GIB:.1f} GiB free"
    if free < MEMORY * GIB:
        return [Check("memory", "note", f"{said}; a training takes up to 1.8 GiB, so {MEMORY:g} is a good start")]
    return [Check("memory", "ok", said)]


def _limit() -> int | None:
    """Bytes that the control group leaves, None without a limit."""
    folder = Path("/sys/fs/cgroup")
    try:
        return int((folder / "memory.max").read_text()) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None


def _stale() -> list[Check]:
    with Repo() as repo:
        status = {name: reasons for name, reasons in repo.status().items() if name}
        never = {stage.addressing for stage in repo.index.stages if not any(out.hash_info for out in stage.outs)}
        graph = nx.relabel_nodes(repo.index.graph, {stage: stage.addressing for stage in repo.index.graph})
    if not status:
        return [Check("stale", "ok", "nothing: make repro has nothing to do")]
    found = []
    why = {name: "never ran" if name in never else explained(reasons) for name, reasons in status.items()}
    for names, said in _alike(why):
        found.append(Check("stale", "note", f"{names}: {said}"))
    # An arrow of DVC's graph points from a stage to what it needs.
    follow = set().union(*(nx.ancestors(graph, name) for name in status if name in graph)) - set(status)
    if follow:
        found.append(Check("stale", "note", f"then, if what these make changes: {_folded(sorted(follow))}"))
    return found


def explained(reasons: list[Any]) -> str:
    """Why a stage is stale in words, from an entry of `dvc status --json`."""
    said: list[str] = []
    together: dict[str, list[str]] = {}
    for reason in reasons:
        if not isinstance(reason, dict):
            said.append(_WORDS.get(reason, str(reason)))
            continue
        for kind, paths in reason.items():
            for path, state in paths.items():
                if isinstance(state, dict):
                    for key, change in state.items():
                        together.setdefault(_STATES.get(change, change), []).append(f"params {key}")
                else:
                    states = _STATES_OF_OUTS if kind == "changed outs" else _STATES
                    together.setdefault(states.get(state, state), []).append(path)
    return "; ".join([*said, *(f"{_some(names)} {state}" for state, names in together.items())])


_WORDS = {"always changed": "runs every time", "changed command": "its command changed"}
_STATES = {"modified": "changed", "deleted": "missing", "new": "new"}
_STATES_OF_OUTS = {
    "modified": "changed by hand",
    "deleted": "not here but in the cache",
    "not in cache": "neither here nor in the cache",
    "new": "never made",
}


def _alike(reasons: Mapping[str, str]) -> list[tuple[str, str]]:
    """Stages that are stale for the same reason, and the reason; a stage's own name in it counts as the same."""
    together: dict[tuple[str, str], list[str]] = {}
    for name, said in reasons.items():
        stage, _, key = name.partition("@")
        pattern = re.sub(rf"(?<![a-z]){re.escape(key)}(?![a-z])", "*", said) if key else said
        together.setdefault((stage, pattern), []).append(name)
    return [
        (_folded(names), pattern if len(names) > 1 else reasons[names[0]]) for (_, pattern), names in together.items()
    ]


def _folded(names: list[str]) -> str:
    """`train@{ctc,slice}` for `train@ctc, train@slice`."""
    stages: dict[str, list[str]] = {}
    for name in names:
        stage, _, key = name.partition("@")
        stages.setdefault(stage, []).append(key)
    said = []
    for stage, keys in stages.items():
        said.append(stage if keys == [""] else f"{stage}@{keys[0] if len(keys) == 1 else '{' + ','.join(keys) + '}'}")
    return ", ".join(said)


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

"""Checks of the machine: Python, the installed packages, processor, disk and memory."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import InvalidRequirement, Requirement

from pipeline.core.errors import ConfigurationError
from pipeline.experiments.staleness import abbreviated
from pipeline.project import dvc
from pipeline.project.checks import Check, Verdict
from pipeline.training import precision

VERSIONS = ((3, 11), (3, 13))
"""The oldest and the newest Python for which every package of the locks has wheels."""
LOCKS: dict[str, Verdict] = {"requirements/pipeline.lock": "problem", "requirements/dev.lock": "note"}
"""What a missing package of each lock means: without those of the first, no stage runs."""
MEMORY = 3.0
"""GiB that a run should find free: a training takes up to 1.8."""
GIB = 1 << 30
_PATIENCE = 60
"""Seconds in which NVIDIA's driver reports its cards."""


def python() -> list[Check]:
    """Whether the locks support this Python."""
    oldest, newest = (".".join(map(str, version)) for version in VERSIONS)
    found = f"{platform.python_version()} at {shown(Path(sys.executable))}"
    if not VERSIONS[0] <= sys.version_info[:2] <= VERSIONS[1]:
        return [
            Check(
                "python",
                "problem",
                f"{found}; {oldest} to {newest} is needed: remove .venv, make PYTHON=python3.12 setup",
            )
        ]
    return [Check("python", "ok", found)]


def packages() -> list[Check]:
    """Whether the packages of the locks are installed, in the versions of the locks."""
    found, seen = [], set()
    for lock, verdict in LOCKS.items():
        pins = {name: version for name, version in _pins(Path(lock)) if name not in seen}
        seen |= set(pins)
        installed = {name: _installed(name) for name in pins}
        missing = [name for name, version in installed.items() if version is None]
        other = [
            f"{name} {version} for {pins[name]}"
            for name, version in installed.items()
            if version not in (None, pins[name])
        ]
        repair = "rm .venv/.ready, make setup"
        if missing:
            found.append(Check("packages", verdict, f"{lock}: not installed: {abbreviated(missing)}; {repair}"))
        if other:
            found.append(Check("packages", "note", f"{lock}: another version: {abbreviated(other)}; {repair}"))
    return found or [Check("packages", "ok", f"all {len(seen)} are those of {' and '.join(LOCKS)}")]


def cards() -> list[Check]:
    """The graphics cards that NVIDIA's driver reports, and what `precision: auto` is on them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [Check("cards", "ok", "none, or no driver of NVIDIA's: trainings run on the processor")]
    query = "--query-gpu=name,compute_cap,memory.total,driver_version"
    try:
        done = subprocess.run(
            [program, query, "--format=csv,noheader"], capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        message = f"nvidia-smi did not answer in {_PATIENCE} s, as with a card that hangs; trainings may hang, too"
        return [Check("cards", "note", message)]
    if done.returncode:
        reason = " ".join((done.stdout or done.stderr).split())[:200]
        return [Check("cards", "note", f"nvidia-smi failed: {reason}; trainings run on the processor")]
    return judge_cards(done.stdout, installed=_installed("tensorflow") is not None)


def judge_cards(listed: str, *, installed: bool) -> list[Check]:
    """What the doctor says of cards.

    Args:
        listed: name, compute capability, memory and driver of each, as nvidia-smi lists them, a card a line.
        installed: whether TensorFlow is a build that may use them.
    """
    found, shown_cards = [], []
    for line in filter(None, map(str.strip, listed.splitlines())):
        name, capability, memory, driver = (part.strip() for part in line.rsplit(",", 3))
        numbers = re.fullmatch(r"(\d+)\.(\d+)", capability)
        found.append(precision.Card(name, (int(numbers[1]), int(numbers[2])) if numbers else None))
        shown_cards.append(f"{name}, capability {capability}, {memory}, driver {driver}")
    if not found:
        return [Check("cards", "ok", "none: trainings run on the processor")]
    message = "; ".join(shown_cards)
    if not installed:
        message += "; not used: tensorflow-cpu is installed (docs/experiments.md has the extra gpu)"
        return [Check("cards", "note", message)]
    policy = precision.policy_of(found, [])
    slow = "" if policy != "float32" else ", since tensor cores begin with capability 7.0"
    return [Check("cards", "ok" if not slow else "note", f"{message}: precision auto is {policy}{slow}")]


def processor() -> list[Check]:
    """The cores, and whether `precision: auto` trains in bfloat16 on this processor."""
    instructions = precision.bfloat16()
    cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
    if instructions:
        message = f"{cores} cores, {', '.join(instructions)}: precision auto is mixed_bfloat16"
        return [Check("processor", "ok", message)]
    message = (
        f"{cores} cores, none of {', '.join(precision.BFLOAT16)}: precision auto is float32, which takes twice "
        "as long; results differ slightly from those of a machine with bfloat16"
    )
    return [Check("processor", "note", message)]


def disk() -> list[Check]:
    """Whether the disk has room for what the last run wrote, twice: in the workspace and in the cache."""
    with dvc.opened() as repo:
        written = sum(out.meta.size or 0 for stage in repo.index.stages for out in stage.outs if out.use_cache)
    free, needed = shutil.disk_usage(".").free / GIB, 2 * written / GIB
    message = f"{free:.1f} GiB free; what the last run made takes {needed:.1f} GiB here and in the cache"
    return [Check("disk", "note" if free < needed else "ok", message)]


def memory() -> list[Check]:
    """Whether there is memory for a training; a limit of the control group counts."""
    free = psutil.virtual_memory().available
    limit = _limit()
    if limit is not None:
        free = min(free, limit)
    message = f"{free / GIB:.1f} GiB free"
    if free < MEMORY * GIB:
        return [Check("memory", "note", f"{message}; a training takes up to 1.8 GiB, so {MEMORY:g} are recommended")]
    return [Check("memory", "ok", message)]


def shown(path: Path) -> str:
    """A path as messages name it: relative to the current folder if it is inside."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _pins(lock: Path) -> Iterator[tuple[str, str]]:
    """Name and version of every pin that applies to this machine.

    Raises:
        ConfigurationError: a line is no pin.
    """
    for line in lock.read_text(encoding="utf-8", errors="replace").splitlines():
        if line[:1].isalnum():
            try:
                pin = Requirement(line.partition(" --hash")[0].rstrip("\\ "))
            except InvalidRequirement:
                raise ConfigurationError(
                    f"{lock}: {line[:80]!r}: not a pin of a package; `git checkout {lock}` restores it"
                ) from None
            if pin.marker is None or pin.marker.evaluate():
                yield pin.name, str(pin.specifier).removeprefix("==")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _limit() -> int | None:
    """Bytes that the control group leaves, None without a limit."""
    folder = Path("/sys/fs/cgroup")
    try:
        return int((folder / "memory.max").read_text()) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None

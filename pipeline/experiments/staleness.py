"""Which stages are stale, why, and which stages follow them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx

from pipeline.project import dvc
from pipeline.project.checks import Check

_REASONS = {"always changed": "runs every time", "changed command": "its command changed"}
_STATES = {"modified": "changed", "deleted": "missing", "new": "new"}
_STATES_OF_OUTS = {
    "modified": "changed by hand",
    "deleted": "not here but in the cache",
    "not in cache": "neither here nor in the cache",
    "new": "never made",
}


@dataclass(frozen=True)
class Staleness:
    """What `dvc repro` would do.

    Attributes:
        stages: every stage of dvc.yaml, sorted.
        reasons: why, by stale stage, in words.
        followers: stages that run if what a stale stage writes changes; sorted.
    """

    stages: tuple[str, ...]
    reasons: Mapping[str, str]
    followers: tuple[str, ...]

    @property
    def pending(self) -> set[str]:
        """The stale stages and their followers: what a run may have to do."""
        return {*self.reasons, *self.followers}


def examine() -> Staleness:
    """Compare the workspace with dvc.lock. Reads every file that changed since DVC last read it."""
    with dvc.opened() as repo:
        status = {name: reasons for name, reasons in repo.status().items() if name}
        never = {stage.addressing for stage in repo.index.stages if not any(out.hash_info for out in stage.outs)}
        graph = nx.relabel_nodes(repo.index.graph, {stage: stage.addressing for stage in repo.index.graph})
    # An edge of DVC's graph leads from a stage to one that it depends on.
    following: set[str] = set().union(*(nx.ancestors(graph, name) for name in status if name in graph))
    return Staleness(
        stages=tuple(sorted(graph)),
        reasons={name: "never ran" if name in never else explain(reasons) for name, reasons in status.items()},
        followers=tuple(sorted(following - set(status))),
    )


def dependencies(stages: set[str]) -> dict[str, set[str]]:
    """By stage, those of `stages` on which it depends directly; in an order in which they can run."""
    with dvc.opened() as repo:
        graph = nx.relabel_nodes(repo.index.graph, {stage: stage.addressing for stage in repo.index.graph})
    order = nx.lexicographical_topological_sort(graph.reverse())
    return {name: set(graph.successors(name)) & stages for name in order if name in stages}


def upstream(target: str) -> set[str]:
    """A stage of dvc.yaml, or all stages of a `foreach`, with every stage that it depends on; all stages for ""."""
    with dvc.opened() as repo:
        if not target:
            return {stage.addressing for stage in repo.index.stages}
        return {stage.addressing for stage in repo.stage.collect(target, with_deps=True)}


def checks() -> list[Check]:
    """One check per reason, for `make doctor`; stages with the same reason share a line."""
    found = examine()
    if not found.reasons:
        return [Check("stale", "ok", "nothing: make repro has nothing to do")]
    lines = [Check("stale", "note", f"{names}: {reason}") for names, reason in _grouped(found.reasons)]
    if found.followers:
        lines.append(Check("stale", "note", f"then, if what these make changes: {_folded(found.followers)}"))
    return lines


def explain(reasons: Sequence[Any]) -> str:
    """Say why a stage is stale, from an entry of `dvc status --json`."""
    parts: list[str] = []
    names: dict[str, list[str]] = {}
    for reason in reasons:
        if not isinstance(reason, dict):
            parts.append(_REASONS.get(reason, str(reason)))
            continue
        for kind, paths in reason.items():
            states = _STATES_OF_OUTS if kind == "changed outs" else _STATES
            for path, state in paths.items():
                if isinstance(state, dict):
                    for key, change in state.items():
                        names.setdefault(str(_STATES.get(change, change)), []).append(f"params {key}")
                else:
                    names.setdefault(str(states.get(state, state)), []).append(path)
    return "; ".join([*parts, *(f"{abbreviated(paths)} {state}" for state, paths in names.items())])


def abbreviated(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _grouped(reasons: Mapping[str, str]) -> list[tuple[str, str]]:
    """Stages that are stale for the same reason, and the reason; a stage's own key in the reason counts as the same."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, reason in reasons.items():
        stage, _, key = name.partition("@")
        pattern = re.sub(rf"(?<![a-z]){re.escape(key)}(?![a-z])", "*", reason) if key else reason
        groups.setdefault((stage, pattern), []).append(name)
    return [
        (_folded(names), pattern if len(names) > 1 else reasons[names[0]]) for (_, pattern), names in groups.items()
    ]


def _folded(names: Sequence[str]) -> str:
    """`train@{ctc,slice}` for `train@ctc, train@slice`."""
    stages: dict[str, list[str]] = {}
    for name in names:
        stage, _, key = name.partition("@")
        stages.setdefault(stage, []).append(key)
    parts = []
    for stage, keys in stages.items():
        several = "{" + ",".join(sorted(keys)) + "}"
        parts.append(stage if keys == [""] else f"{stage}@{keys[0] if len(keys) == 1 else several}")
    return ", ".join(parts)

"""The operations: register a version, judge it, promote it, roll a stage back. Each change creates one tag."""

import contextlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import params
from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.records.registry import (
    STAGES,
    AnyDocument,
    Criterion,
    Decision,
    Promotion,
    Refusal,
    Rollback,
    Stage,
    Undone,
)
from pipeline.registry import artifacts, evidence, gates, signing, storage
from pipeline.registry.artifacts import Artifact
from pipeline.registry.history import Event, History, format_time, tag_patterns
from pipeline.registry.repository import Repository, TagExists
from pipeline.registry.version import RegisteredVersion

BUMPS = ("major", "minor", "patch")
FIRST = "v0.1.0"
_TRACKED = ("dvc.yaml", "dvc.lock", "params.yaml", "artifacts", "metrics/evaluation")
"""What a version takes from its commit: these files must be committed first."""


@dataclass(frozen=True)
class Registry:
    """The registry as it was when it was opened.

    Attributes:
        repository: the clone.
        artifacts: by name, those that dvc.yaml in the workspace lists.
        history: every event.
    """

    repository: Repository
    artifacts: Mapping[str, Artifact]
    history: History

    @classmethod
    def open(cls, root: Path, *, fetch: bool = False) -> "Registry":
        """Read the registry of a clone.

        Args:
            root: the clone's top folder.
            fetch: whether to fetch the registry's tags from the shared repository first, where one is configured.

        Raises:
            ConfigurationError: there is no clone, or its dvc.yaml lists no artifacts.
            RegistryError: the shared repository cannot be reached, or a tag of the registry was moved there.
        """
        repository = Repository.at(root)
        listed = artifacts.load(repository.root / "dvc.yaml")
        if fetch:
            repository.fetch_tags(tag_patterns(listed))
        return cls(repository, listed, History.of(repository.tags()))

    @property
    def root(self) -> Path:
        """The clone's top folder."""
        return self.repository.root

    def find(self, reference: str) -> Event:
        """The registration of the version that `NAME@VERSION`, `NAME#STAGE` or `NAME`, the latest version, refers to.

        Raises:
            RegistryError: there is no such artifact, version or stage, or the stage is empty.
        """
        name, _, stage = reference.partition("#")
        name, _, version = name.partition("@")
        _ = self.artifacts[name]
        if stage:
            champion = self.history.in_stage(name, known_stage(stage))
            if champion is None:
                raise RegistryError(f"{name}#{stage}: no version is in {stage}; `registry list` shows where they are")
            return self.history.version(name, champion)
        if not version or version == "latest":
            registered = self.history.versions(name)
            if not registered:
                raise RegistryError(f"{name}: no version is registered; `registry register {name}` makes the first")
            return max(registered, key=lambda event: _numbers(event.version))
        return self.history.version(name, version if version.startswith("v") else f"v{version}")

    def opened(self, event: Event) -> contextlib.AbstractContextManager[RegisteredVersion]:
        """A version with its files, until the block ends; see `RegisteredVersion.open` for the errors."""
        return RegisteredVersion.open(self.repository, self.artifacts[event.artifact], event)


def known_stage(stage: str) -> Stage:
    """The stage itself.

    Raises:
        RegistryError: there is no such stage.
    """
    if stage not in STAGES:
        raise RegistryError(f"{stage}: no such stage; expected one of {', '.join(STAGES)}")
    return stage


def register(registry: Registry, name: str, *, bump: str = "minor") -> Event:
    """Make the packaged model of HEAD a version: collect its evidence, push its files, and create its tag.

    Args:
        registry: as it is now.
        name: the artifact's.
        bump: the part of the latest version's number to raise.

    Returns:
        The registration.

    Raises:
        ConfigurationError: git has no identity.
        RegistryError: what the version would hold is not committed, missing or damaged; the model or the commit has a
            version already; somebody else was faster.
    """
    artifact, repository, history = registry.artifacts[name], registry.repository, registry.history
    repository.identity()
    if changed := repository.changed(*_TRACKED):
        raise RegistryError(
            f"{changed[0]}: not committed; a version is what a commit holds: `git add` and `git commit` it first"
        )
    revision = repository.revision()
    registered = history.versions(name)
    if same := [event for event in registered if event.revision == revision]:
        raise RegistryError(
            f"{name}: {revision[:12]} is {same[0].version} already; GTO and DVC know one version a commit"
        )
    version = _next(registered, bump)
    document = evidence.collect(repository, artifact, revision, version)
    if same := [event for event in registered if event.document and event.evidence.sha256 == document.sha256]:
        raise RegistryError(f"{name}: the model {document.sha256[:12]} is {same[0].version} already; nothing is new")
    signature = _sign(repository, artifact, revision)
    remote = storage.push(registry.root, sorted(document.files))
    document = document.model_copy(update={"signature": signature, "remote": remote})
    try:
        _write(registry, f"{name}@{version}", revision, document)
    except TagExists as error:
        raise RegistryError(f"{error}; run again to get the next number") from None
    return History.of(repository.tags()).version(name, version)


def judge(registry: Registry, version: RegisteredVersion, stage: Stage) -> Decision:
    """Judge a version by the policy of a stage, against the stage's champion where there is one. Changes nothing.

    Raises:
        ConfigurationError: params.yaml has no policy for the task.
        RegistryError: files of the version or of the champion are gone or were changed, so that they cannot be
            compared.
    """
    policy = params.load(registry.root / "params.yaml").gates
    artifact = version.artifact
    if artifact.task not in policy.tasks:
        raise ConfigurationError(f"params.yaml: gates.tasks.{artifact.task}: missing; expected its floor and budgets")
    criteria = gates.requirements(version.evidence)
    reader = version.load_reader()
    version.check_signature()
    criteria += gates.budgets(policy, version.evidence, evidence.milliseconds(reader))
    outcomes = version.gate_outcomes()
    criteria += gates.floors(policy, version.evidence.task, outcomes)
    champion_name = registry.history.in_stage(artifact.name, stage)
    notes: list[str] = []
    if champion_name is not None:
        event = registry.history.version(artifact.name, champion_name, withdrawn=True)
        with registry.opened(event) as champion:
            interface = gates.interface(version.evidence, champion.evidence)
            criteria.append(interface)
            if interface.passed:
                theirs = champion.correct_on(version, outcomes)
                lost = [suite for suite in champion.evidence.metrics if suite not in outcomes]
                contested, notes = gates.contest(policy, stage, outcomes, theirs, lost)
                criteria += contested
    return _decision(version, stage, champion_name, criteria, notes)


def promote(registry: Registry, reference: str, stage: str) -> tuple[Event, Decision | None]:
    """Point a stage at a version, if the version passes the stage's gate. `dev` only needs its files to be there.

    Returns:
        The promotion, and the decision behind it; None for `dev`.

    Raises:
        ConfigurationError: git has no identity, or there is no policy.
        RegistryError: the artifact is deprecated; the version is in the stage already, skips a stage before it, was
            taken out of one, or failed the gate (which is recorded as a refusal); files are gone or were changed;
            somebody else was faster.
    """
    event, into = registry.find(reference), known_stage(stage)
    registry.repository.identity()
    history, name, number = registry.history, event.artifact, event.version
    _expect_in_use(history, name)
    if history.in_stage(name, into) == number:
        raise RegistryError(f"{event.name} is in {into} already; nothing was changed")
    for before in STAGES[: STAGES.index(into)]:
        _expect_passed(history, event, before)
    decision = None
    with registry.opened(event) as version:
        if into == STAGES[0]:
            version.load_reader()
            version.check_signature()
        else:
            decision = judge(registry, version, into)
    if decision is not None and not decision.passed:
        tag = _refuse(registry, event, decision)
        raise RegistryError(f"{decision.failure_message()}; recorded as {tag}")
    document = Promotion(**_subject(event, into), replaces=history.in_stage(name, into), decision=decision)
    return _point(registry, event, document), decision


def rollback(registry: Registry, name: str, stage: str) -> Event:
    """Point a stage at the champion before its present one. Versions that were withdrawn since are passed over.

    Returns:
        The rollback; its document names the promotion that it undid.

    Raises:
        ConfigurationError: git has no identity.
        RegistryError: the artifact is deprecated; there is no former champion, its files are gone or were changed, or
            somebody else was faster.
    """
    history, into = registry.history, known_stage(stage)
    _ = registry.artifacts[name]
    stack = history.stack(name, into)
    registry.repository.identity()
    _expect_in_use(history, name)
    before = [version for version in stack[:-1] if version != stack[-1] and history.withdrawal(name, version) is None]
    if not before:
        there = f"{stack[-1]} is the only one that was promoted and not undone" if stack else "no version is in it"
        there += " or withdrawn" if len(stack) > 1 else ""
        raise RegistryError(f"{name}#{into}: no former champion to return to: {there}")
    former = history.version(name, before[-1])
    try:
        with registry.opened(former) as version:
            version.load_reader()
            version.check_signature()
    except RegistryError as error:
        raise RegistryError(f"{name}#{into} stays at {stack[-1]}: {former.version} cannot return: {error}") from None
    undone = [
        event
        for event in history.events
        if event.kind == "promotion" and (event.artifact, event.stage, event.version) == (name, into, stack[-1])
    ][-1]
    document = Rollback(
        **_subject(former, into),
        replaces=stack[-1],
        undone=Undone(tag=undone.tag, time=undone.time, who=undone.who),
    )
    return _point(registry, former, document)


def _sign(repository: Repository, artifact: Artifact, revision: str) -> str | None:
    key = signing.Keys.of(repository).private
    if key is None:
        return None
    with storage.Storage.at(repository.root, revision) as files, tempfile.TemporaryDirectory() as folder:
        return signing.sign(files.fetch(artifact.model, Path(folder) / "model.onnx"), key)


def _expect_passed(history: History, version: Event, stage: Stage) -> None:
    if not history.was_in(version.artifact, stage, version.version):
        raise RegistryError(
            f"{version.name} was never in {stage}; stages go {' → '.join(STAGES)} and none is skipped: "
            f"`registry promote {version.name} {stage}` first"
        )
    if (taken := history.taken_out(version.artifact, stage, version.version)) is not None:
        raise RegistryError(
            f"{version.name} was taken out of {stage} by the {taken.kind} {taken.tag}, and goes no further until it is "
            f"there again: `registry promote {version.name} {stage}` first"
        )


def _expect_in_use(history: History, name: str) -> None:
    if (by := history.deprecation(name)) is not None:
        raise RegistryError(
            f"{name}: deprecated by {by.tag}, which {by.who} made at {format_time(by.time)} UTC; "
            f"`registry register {name}` of another model restores it, or `git tag -d {by.tag}`"
        )


def _decision(
    version: RegisteredVersion, stage: Stage, champion: str | None, criteria: list[Criterion], notes: list[str]
) -> Decision:
    return Decision(
        artifact=version.artifact.name,
        version=version.event.version,
        stage=stage,
        champion=champion,
        criteria=tuple(criteria),
        notes=tuple(notes),
    )


def _subject(version: Event, stage: Stage) -> dict[str, Any]:
    return {
        "artifact": version.artifact,
        "version": version.version,
        "stage": stage,
        "sha256": version.evidence.sha256,
    }


def _point(registry: Registry, version: Event, document: Promotion | Rollback) -> Event:
    """Create the stage's next tag. Its number follows those known when this was decided, so a later tag is in the way.

    Raises:
        RegistryError: somebody else was faster.
    """
    stage = document.stage
    tag = registry.history.next_tag(version.artifact, stage)
    try:
        _write(registry, tag, version.revision, document)
    except TagExists:
        registry.repository.fetch_tags(tag_patterns(registry.artifacts))
        now = History.of(registry.repository.tags())
        there = now.in_stage(version.artifact, stage)
        who = next((event.who for event in now.events if event.tag == tag), "somebody")
        wanted = there == version.version
        outcome = "as you wanted" if wanted else f"and {version.version} was not compared with it: run again"
        raise RegistryError(
            f"{version.artifact}#{stage}: {who} was faster and made {tag}: {there} is in {stage} now, {outcome}"
        ) from None
    return next(event for event in History.of(registry.repository.tags()).events if event.tag == tag)


def _refuse(registry: Registry, version: Event, decision: Decision) -> str:
    document = Refusal(**_subject(version, decision.stage), decision=decision)
    history = registry.history
    while True:
        tag = history.next_tag(version.artifact, decision.stage, refused=True)
        try:
            _write(registry, tag, version.revision, document)
            return tag
        except TagExists:
            # Two refusals at once do not conflict: this one takes the next number.
            registry.repository.fetch_tags(tag_patterns(registry.artifacts))
            history = History.of(registry.repository.tags())


def _write(registry: Registry, tag: str, revision: str, document: AnyDocument) -> None:
    content = json.dumps(document.as_json(), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    registry.repository.create_tag(tag, revision, content, after=registry.history.last_time(document.artifact))


def _next(registered: list[Event], bump: str) -> str:
    if not registered:
        return FIRST
    numbers = list(max(_numbers(event.version) for event in registered))
    index = BUMPS.index(bump)
    numbers[index:] = [numbers[index] + 1, *[0] * (len(BUMPS) - index - 1)]
    return "v" + ".".join(map(str, numbers))


def _numbers(version: str) -> tuple[int, ...]:
    # What follows - or + in a version that was made by hand does not count.
    return tuple(int(part) for part in version.removeprefix("v").partition("-")[0].partition("+")[0].split("."))

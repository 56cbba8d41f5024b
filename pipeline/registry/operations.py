"""The operations: register a version, judge it, promote it, roll a stage back. Each change creates one tag."""

import contextlib
import dataclasses
import fnmatch
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import params
from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.events import numbering, seen, signing, trust
from pipeline.events.history import REFUSED, ROLLOUTS, Event, History, format_time, tag_patterns
from pipeline.events.repository import HEADS, Head, HeadMoved, Repository, TagExists
from pipeline.events.signing import Keys
from pipeline.events.tags import Skipped
from pipeline.records.registry import (
    STAGES,
    AcceptedRef,
    AnyDocument,
    Criterion,
    Decision,
    Evidence,
    Promotion,
    Refusal,
    Rollback,
    RolloutRecord,
    Stage,
    Undone,
)
from pipeline.records.rollout import Outcome
from pipeline.registry import artifacts, evidence, gates, storage
from pipeline.registry.artifacts import Artifact
from pipeline.registry.version import RegisteredVersion

_TRACKED = ("dvc.yaml", "dvc.lock", "params.yaml", "artifacts", "metrics/evaluation", "metrics/robustness")
"""What a version takes from its commit: these files must be committed first."""


@dataclass(frozen=True)
class Registry:
    """The registry as it was when it was opened.

    Attributes:
        repository: the clone.
        artifacts: by name, those that dvc.yaml in the workspace lists.
        history: every event.
        skipped: the tags with a name of the registry that cannot be read.
        shared_heads: by artifact, the last event's tag object that the shared repository names.
    """

    repository: Repository
    artifacts: Mapping[str, Artifact]
    history: History
    skipped: Sequence[Skipped]
    shared_heads: Mapping[str, str]

    @classmethod
    def open(cls, root: Path, *, fetch: bool = False) -> "Registry":
        """Read the registry of a clone.

        Args:
            root: the clone's top folder.
            fetch: whether to fetch the registry's tags from the shared repository first, where one is configured.

        Raises:
            ConfigurationError: there is no clone, or its dvc.yaml lists no artifacts.
            RegistryError: the shared repository cannot be reached; or a tag of the registry was moved there, or
                vanished.
        """
        repository = Repository.at(root)
        listed = artifacts.load(repository.root / "dvc.yaml")
        shared: Mapping[str, str] = {}
        fetched = fetch and repository.remote() is not None
        if fetched:
            # The heads are read before the tags: what a head names is then among the tags.
            shared = repository.shared_refs(listed, tag_patterns(listed))
            seen.compare(repository, shared, tag_patterns(listed))
            repository.fetch_tags(tag_patterns(listed))
        # Here, too, in this order.
        heads = repository.heads()
        tags = repository.read_tags()
        accepted = seen.load(repository).accepted
        history = History.of(tags.read, heads, accepted, tags.names)
        if fetched:
            seen.remember(repository, shared)
            history = dataclasses.replace(history, heads=_advanced(repository, history, listed))
        shared_heads = {ref.removeprefix(HEADS): tag_id for ref, tag_id in shared.items() if ref.startswith(HEADS)}
        return cls(repository, listed, history, tags.skipped, shared_heads)

    def again(self) -> "Registry":
        """The registry as it is now."""
        return Registry.open(self.root, fetch=True)

    @property
    def verifying_key(self) -> Path | None:
        """The public key that signatures must hold for; None where none is configured.

        Raises:
            ConfigurationError: its file does not exist.
        """
        return Keys.of(self.repository).public

    def head(self, artifact: str) -> Head:
        """Where the chain of an artifact ended when this was opened."""
        here = self.history.heads.get(artifact)
        return Head(artifact, None if here is None else here[0], self.shared_heads.get(artifact))

    def expect_sound(self, artifact: str) -> None:
        """Raise a RegistryError where the chain of an artifact's events is broken."""
        if found := self.history.problems(artifact):
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise RegistryError(f"{found[0]}{more}")

    def problems(self) -> list[str]:
        """What is wrong with the chains of all artifacts, one line each."""
        return [problem for name in self.artifacts for problem in self.history.problems(name)]

    @property
    def root(self) -> Path:
        """The clone's top folder."""
        return self.repository.root

    def find(self, reference: str) -> Event:
        """The registration of the version that `NAME@VERSION`, `NAME#STAGE` or `NAME`, the latest version, refers to.

        Raises:
            RegistryError: there is no such artifact, version or stage, the stage is empty, or the reference ends before
                what it refers to, or names both a version and a stage.
        """
        name, hash_sign, stage = reference.partition("#")
        name, at_sign, version = name.partition("@")
        _ = self.artifacts[name]
        if (hash_sign and (at_sign or not stage)) or (at_sign and not version):
            # Not the latest one: a variable of a script may be empty, and what is promoted is never a guess.
            raise RegistryError(f"{reference}: expected {name}@VERSION, {name}#STAGE, or {name} for its latest version")
        if stage:
            champion = self.history.in_stage(name, known_stage(stage))
            if champion is None:
                raise RegistryError(f"{name}#{stage}: no version is in {stage}; `registry list` shows where they are")
            return self.history.version(name, champion)
        if not version or version == "latest":
            registered = self.history.versions(name)
            if not registered:
                raise RegistryError(f"{name}: no version is registered; `registry register {name}` makes the first")
            # Of versions that differ in build metadata alone, the one that was registered last.
            return max(reversed(registered), key=lambda event: numbering.precedence(event.version))
        return self.history.version(name, version if version.startswith("v") else f"v{version}")

    def opened(self, event: Event) -> contextlib.AbstractContextManager[RegisteredVersion]:
        """A version with its files, until the block ends; see `RegisteredVersion.open` for the errors."""
        return RegisteredVersion.open(self.repository, self.artifacts[event.artifact], event)


def _advanced(repository: Repository, history: History, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The heads of a clone after a fetch: the head of each chain without a problem names its last event now."""
    heads = dict(history.heads)
    for name in names:
        end, before = history.last(name), heads[name][0] if name in heads else None
        if end is None or end.id == before or history.problems(name):
            continue
        if repository.move_head(name, end.id, before):
            heads[name] = (end.id, end.tag)
    return heads


def known_stage(stage: str) -> Stage:
    """The stage itself.

    Raises:
        RegistryError: there is no such stage.
    """
    if stage not in STAGES:
        raise RegistryError(f"{stage}: no such stage; expected one of {', '.join(STAGES)}")
    return stage


def register(registry: Registry, name: str, *, bump: numbering.Bump = "minor") -> Event:
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
    registry.expect_sound(name)
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
    version = history.next_version(name, bump)
    document = evidence.collect(repository, artifact, revision, version, history.last(name))
    if same := [event for event in registered if event.document and event.evidence.sha256 == document.sha256]:
        raise RegistryError(f"{name}: the model {document.sha256[:12]} is {same[0].version} already; nothing is new")
    _expect_key(repository)
    remote = storage.push(registry.root, sorted(document.files), beside=[artifact.strategies])
    document = document.model_copy(update={"remote": remote})
    try:
        _, event = _record(registry, revision, document, lambda _: f"{name}@{version}")
    except TagExists as error:
        raise RegistryError(f"{error}; run again to get the next number") from None
    return event


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
    criteria.append(gates.accepted_wrong(policy, version.evidence))
    there = registry.history.in_stage(artifact.name, stage)
    champion_name = trust.champion(registry.history, artifact.name, stage, registry.verifying_key)
    notes: list[str] = []
    if there != champion_name:
        compared = f"compared with {champion_name}" if champion_name else "compared with none"
        notes.append(f"{there} is in {stage} without a decision that holds, so the challenger was {compared}")
    if champion_name is not None:
        event = registry.history.version(artifact.name, champion_name, withdrawn=True)
        with registry.opened(event) as champion:
            interface = gates.interface(version.evidence, champion.evidence)
            criteria.append(interface)
            if interface.passed:
                theirs = champion.correct_on(version, outcomes)
                lost = [suite for suite in champion.evidence.metrics if suite not in outcomes]
                own = policy.tasks.get(version.evidence.task)
                contested, more = gates.contest(policy, stage, outcomes, theirs, lost, own)
                under_shift, unknown = gates.shift_contest(policy, stage, version.evidence, champion.evidence)
                criteria += contested + under_shift
                notes += more + unknown
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
    _expect_key(registry.repository)
    _expect_promotable(registry, event, into)
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
    replaces = registry.history.in_stage(event.artifact, into)
    document = Promotion(**_subject(registry, event, into), replaces=replaces, decision=decision)
    return _point(registry, event, document, lambda now: _expect_promotable(now, event, into)), decision


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
    _expect_key(registry.repository)
    registry.expect_sound(name)
    _expect_in_use(history, name)
    key = registry.verifying_key
    before, distrusted = [], ""
    for version_name in stack[:-1]:
        placed = history.placement(name, into, version_name)
        if version_name == stack[-1] or placed is None or history.withdrawal(name, version_name) is not None:
            continue
        if (reason := trust.distrust(history, placed, key)) is not None:
            distrusted = f"; {version_name} does not count: {placed.tag}: {reason}"
            continue
        before.append(version_name)
    if not before:
        there = f"{stack[-1]} is the only one that was promoted and not undone" if stack else "no version is in it"
        there += " or withdrawn" if len(stack) > 1 else ""
        raise RegistryError(f"{name}#{into}: no former champion to return to: {there}{distrusted}")
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
        **_subject(registry, former, into),
        replaces=stack[-1],
        undone=Undone(tag=undone.tag, time=undone.time, who=undone.who),
    )

    def expect(now: Registry) -> None:
        _expect_in_use(now.history, name)
        now.history.version(name, former.version)

    return _point(registry, former, document, expect)


def accept(registry: Registry, name: str) -> AcceptedRef:
    """Accept that a tag vanished or was moved: make it here what it is in the shared repository, and say so no more.

    Args:
        registry: as it is here.
        name: the tag's name, or the id of an object that a message names.

    Raises:
        RegistryError: there is nothing to accept, or the shared repository cannot be reached.
    """
    repository = registry.repository
    missing = {
        problem_id: tag
        for artifact in registry.artifacts
        for problem_id, tag in registry.history.absent(artifact).items()
    }
    if re.fullmatch(r"[0-9a-f]{40,64}", name):
        shared = repository.shared_refs(registry.artifacts, tag_patterns(registry.artifacts))
        if name not in missing and name not in shared.values():
            raise RegistryError(f"{name}: no event of the registry is missing under this id; nothing was changed")
        seen.accept(repository, [name], {})
        _reset_heads(registry, [name])
        return AcceptedRef(name=name, before=None, after=None, detail=f"{missing.get(name, 'it')} may be absent now")
    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in tag_patterns(registry.artifacts)):
        raise RegistryError(f"{name}: not a tag of the registry, nor an object's id; expected what a message names")
    ref = f"refs/tags/{name}"
    before = repository.tag_ids().get(name)
    address = repository.remote_address()
    after = repository.shared_refs((), [name]).get(ref) if address else before
    known = seen.load(repository).remotes.get(address, {}).get(ref)
    gone = [tag_id for tag_id, tag in missing.items() if tag == name]
    gone += [tag_id for tag_id in (before, known) if tag_id is not None and tag_id != after]
    if not gone:
        where = f"in {repository.remote()}" if address else "as this clone has seen it"
        raise RegistryError(f"{name}: it is {where}; there is nothing to accept")
    repository.take_tag(name, before, after)
    seen.accept(repository, gone, {ref: after} if address else {})
    _reset_heads(registry, gone)
    detail = "may be absent now"
    if before != after:
        detail = f"removed here, it was {before}" if after is None else f"fetched as {after}, it was {before}"
    return AcceptedRef(name=name, before=before, after=after, detail=detail)


def _reset_heads(registry: Registry, gone: Sequence[str]) -> None:
    """Let the heads that name an accepted absence name the last event there is."""
    now = Registry.open(registry.root)
    for artifact, (tag_id, _) in now.history.heads.items():
        if tag_id in gone:
            end = now.history.last(artifact)
            registry.repository.move_head(artifact, None if end is None else end.id, tag_id)


def _expect_key(repository: Repository) -> None:
    """Raise a ConfigurationError, before any work, where what is recorded could not be signed as it should be."""
    keys = Keys.of(repository)
    if keys.private is not None:
        signing.sign({}, keys.private)
    elif keys.public is not None:
        raise ConfigurationError(
            f"{signing.VERIFYING_KEY} is set and {signing.SIGNING_KEY} is not: what this command records would not be "
            f"signed, and not be deployed; `git config {signing.SIGNING_KEY} FILE` names the private key"
        )


def _expect_promotable(registry: Registry, version: Event, stage: Stage) -> None:
    """Raise a RegistryError where a version may not enter a stage whatever its scores."""
    history, name = registry.history, version.artifact
    registry.expect_sound(name)
    _expect_in_use(history, name)
    history.version(name, version.version)
    there, reason = trust.placed(history, name, stage, registry.verifying_key)
    # What was assigned by hand may pass the gate where it is.
    if there is not None and there.version == version.version and reason is None:
        raise RegistryError(f"{version.name} is in {stage} already; nothing was changed")
    for before in STAGES[: STAGES.index(stage)]:
        _expect_passed(registry, version, before)


def _expect_passed(registry: Registry, version: Event, stage: Stage) -> None:
    history, key = registry.history, registry.verifying_key
    reasons = {
        event.tag: trust.distrust(history, event, key)
        for event in history.was_in(version.artifact, stage, version.version)
    }
    if all(reason is not None for reason in reasons.values()):
        unchecked = "".join(f"; {tag} does not count: {reason}" for tag, reason in [*reasons.items()][-1:])
        raise RegistryError(
            f"{version.name} was never in {stage}{unchecked}; stages go {' → '.join(STAGES)} and none is skipped: "
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


def _subject(registry: Registry, version: Event, stage: Stage) -> dict[str, Any]:
    return {
        "artifact": version.artifact,
        "version": version.version,
        "stage": stage,
        "sha256": version.evidence.sha256,
        "evidence_sha256": version.digest,
        "previous": registry.history.last(version.artifact),
    }


def _point(
    registry: Registry, version: Event, document: Promotion | Rollback, expect: Callable[[Registry], None]
) -> Event:
    """Create the stage's next tag. Its number follows those known when this was decided, so a later tag is in the way.

    Args:
        registry: as it was when this was decided.
        version: that the stage will point at.
        document: of the tag.
        expect: raises a RegistryError where the change is not allowed any more.

    Raises:
        RegistryError: somebody else was faster.
    """
    stage = document.stage
    tag = registry.history.next_tag(version.artifact, stage)

    def name(now: Registry) -> str:
        if now.history.next_tag(version.artifact, stage) != tag:
            raise TagExists(tag)
        expect(now)
        return tag

    try:
        _, event = _record(registry, version.revision, document, name)
    except TagExists:
        now = registry.again()
        there = now.history.in_stage(version.artifact, stage)
        who = next((event.who for event in now.history.events if event.tag == tag), "somebody")
        wanted = there == version.version
        outcome = "as you wanted" if wanted else f"and {version.version} was not compared with it: run again"
        raise RegistryError(
            f"{version.artifact}#{stage}: {who} was faster and made {tag}: {there} is in {stage} now, {outcome}"
        ) from None
    return event


def _refuse(registry: Registry, version: Event, decision: Decision) -> str:
    document = Refusal(**_subject(registry, version, decision.stage), decision=decision)

    def name(now: Registry) -> str:
        return now.history.next_tag(version.artifact, decision.stage, REFUSED)

    return _record_aside(registry, version, document, name).tag


def record_rollout(registry: Registry, outcome: Outcome) -> Event | None:
    """Record how a rollout ended, unless it is recorded. The stage stays as it is.

    Args:
        registry: as it is now.
        outcome: what the service has recorded.

    Returns:
        The event; None where there is one already.

    Raises:
        ConfigurationError: git has no identity, or no key although one is needed.
        RegistryError: the version is unknown or is another model, or the shared repository cannot be reached.
    """
    rollout, placed = outcome.rollout, outcome.rollout.candidate
    if placed.artifact is None or placed.version is None or rollout.stage is None:
        raise RegistryError(f"rollout {rollout.id}: of no version of the registry; there is nothing to record")
    recorded = {
        event.document.outcome.rollout.id
        for event in registry.history.events
        if event.kind == "rollout" and isinstance(event.document, RolloutRecord)
    }
    if rollout.id in recorded:
        return None
    stage = known_stage(rollout.stage)
    version = registry.history.version(placed.artifact, placed.version, withdrawn=True)
    if version.evidence.sha256 != placed.sha256:
        raise RegistryError(
            f"rollout {rollout.id}: of the model {placed.sha256[:12]}, and {version.name} is "
            f"{version.evidence.sha256[:12]}; nothing was recorded"
        )
    registry.repository.identity()
    _expect_key(registry.repository)
    registry.expect_sound(placed.artifact)
    document = RolloutRecord(**_subject(registry, version, stage), outcome=outcome)

    def name(now: Registry) -> str:
        return now.history.next_tag(version.artifact, stage, ROLLOUTS)

    return _record_aside(registry, version, document, name)


def _record_aside(registry: Registry, version: Event, document: AnyDocument, name: Callable[[Registry], str]) -> Event:
    while True:
        try:
            return _record(registry, version.revision, document, name)[1]
        except TagExists:
            # Two of these at once do not conflict: this one takes the next number.
            now = registry.again()
            if name(now) == name(registry):
                raise
            registry = now


def _record(
    registry: Registry, revision: str, document: AnyDocument, name: Callable[[Registry], str]
) -> tuple[Registry, Event]:
    """Record a document as the last event of its artifact. Where another event came first, it follows that one.

    Args:
        registry: as it was when the document was made.
        revision: the commit.
        document: the document; what it follows and its signature are set here.
        name: the tag's name in a registry; it raises a RegistryError where the document does not hold any more.

    Raises:
        TagExists: somebody else created the tag.
        RegistryError: the shared repository cannot be reached or rejects the tag.
    """
    artifact = document.artifact
    while True:
        tag = name(registry)
        try:
            _write(registry, tag, revision, document)
            break
        except HeadMoved as error:
            now = registry.again()
            now.expect_sound(artifact)
            if now.head(artifact) == registry.head(artifact):
                raise RegistryError(f"{error}; nothing was changed") from None
            registry = now
    now = Registry.open(registry.root)
    return now, next(event for event in now.history.events if event.tag == tag)


def _write(registry: Registry, tag: str, revision: str, document: AnyDocument) -> None:
    repository, artifact = registry.repository, document.artifact
    unique = {"previous": registry.history.last(artifact), "nonce": secrets.token_hex(16), "signature": None}
    document = document.model_copy(update=unique)
    keys = Keys.of(repository)
    if keys.private is not None:
        digest = signing.document_digest(document.as_json())
        statement = (
            signing.version_statement(document, tag=tag, revision=revision, digest=digest)
            if isinstance(document, Evidence)
            else signing.stage_statement(document, kind=document.kind, tag=tag, revision=revision, digest=digest)
        )
        envelope = signing.sign(statement, keys.private)
        if keys.public is not None:
            signing.check(envelope, statement, keys.public, tag)
        document = document.model_copy(update={"signature": envelope})
    content = json.dumps(document.as_json(), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    head = registry.head(artifact)
    after = registry.history.last_time(artifact)
    tag_id = repository.create_tag(tag, revision, content, after=after, head=head)
    if repository.remote() is not None:
        seen.remember(repository, {f"refs/tags/{tag}": tag_id, head.ref: tag_id})

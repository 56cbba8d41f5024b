"""The deeds: register a version, judge it, promote it, take that back. Each that changes something makes one tag."""

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import params
from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.registry import artifacts, evidence, gates, outcomes, signing, storage
from pipeline.registry.artifacts import Artifact
from pipeline.registry.gates import Decision
from pipeline.registry.history import STAGES, Event, Journal, tag_patterns
from pipeline.registry.repository import Repository, TagExists

BUMPS = ("major", "minor", "patch")
FIRST = "v0.1.0"
_TRACKED = ("dvc.yaml", "dvc.lock", "params.yaml", "artifacts", "metrics/evaluation")
"""What a version takes from its commit: these must be committed before there can be one."""


@dataclass(frozen=True)
class Registry:
    """The registry as it was when it was opened.

    Attributes:
        repository: the clone.
        artifacts: by name, those that the workspace's dvc.yaml lists.
        journal: what has happened.
    """

    repository: Repository
    artifacts: Mapping[str, Artifact]
    journal: Journal

    @classmethod
    def open(cls, root: Path, *, fetch: bool = False) -> "Registry":
        """Read the registry of a clone.

        Args:
            fetch: bring the registry's tags of the shared repository here first; nothing where none is named.

        Raises:
            ConfigurationError: there is no clone, or its dvc.yaml lists no artifacts.
            RegistryError: the shared repository cannot be reached, or a tag of the registry was moved there.
        """
        repository = Repository.at(root)
        listed = artifacts.load(repository.root / "dvc.yaml")
        if fetch:
            repository.fetch_tags(tag_patterns(listed))
        return cls(repository, listed, Journal.of(repository.tags()))

    @property
    def root(self) -> Path:
        """The clone's top folder."""
        return self.repository.root

    def find(self, reference: str) -> tuple[Artifact, Event]:
        """What `NAME@VERSION`, `NAME#STAGE` or `NAME`, the latest version, stands for.

        Raises:
            RegistryError: there is no such artifact, version or stage, or the stage is empty.
        """
        name, _, stage = reference.partition("#")
        name, _, version = name.partition("@")
        artifact = self.artifacts[name]
        if stage:
            known_stage(stage)
            version = self.journal.in_stage(name, stage)
            if version is None:
                raise RegistryError(f"{name}#{stage}: no version is in {stage}; `registry list` shows where they are")
        if not version or version == "latest":
            registered = self.journal.versions(name)
            if not registered:
                raise RegistryError(f"{name}: no version is registered; `registry register {name}` makes the first")
            return artifact, max(registered, key=lambda event: _numbers(event.version))
        return artifact, self.journal.version(name, version if version.startswith("v") else f"v{version}")


def known_stage(stage: str) -> str:
    """The stage itself.

    Raises:
        RegistryError: it is none of those there are.
    """
    if stage not in STAGES:
        raise RegistryError(f"{stage}: no such stage; expected one of {', '.join(STAGES)}")
    return stage


def register(registry: Registry, name: str, *, bump: str = "minor") -> Event:
    """Make the packaged model of HEAD a version: collect its evidence, push its files, and write both into a tag.

    Args:
        name: the artifact's.
        bump: which part of the latest version's number is raised.

    Returns:
        The registration.

    Raises:
        ConfigurationError: git has no identity.
        RegistryError: what the version would hold is not committed, missing or damaged; the model or the commit has a
            version; somebody else was faster.
    """
    artifact, repository, journal = registry.artifacts[name], registry.repository, registry.journal
    repository.identity()
    if changed := repository.changed(*_TRACKED):
        raise RegistryError(
            f"{changed[0]}: not committed; a version is what a commit holds: `git add` and `git commit` it first"
        )
    revision = repository.revision()
    registered = journal.versions(name)
    if same := [event for event in registered if event.revision == revision]:
        raise RegistryError(
            f"{name}: {revision[:12]} is {same[0].version} already; GTO and DVC know one version a commit"
        )
    document = evidence.collect(repository, artifact, revision)
    if same := [event for event in registered if event.document.get("sha256") == document["sha256"]]:
        raise RegistryError(f"{name}: the model {document['sha256'][:12]} is {same[0].version} already; nothing is new")
    keys = signing.Keys.of(repository)
    if keys.private is not None:
        with storage.Storage.at(registry.root, revision) as files, tempfile.TemporaryDirectory() as folder:
            model = files.fetch(artifact.model, Path(folder) / "model.onnx")
            document["signed"] = signing.sign(model, keys.private)
    document["remote"] = storage.push(registry.root, sorted(document["files"]))
    version = _next(registered, bump)
    tag = f"{name}@{version}"
    try:
        _write(registry, tag, revision, {**document, "version": version}, name)
    except TagExists as error:
        raise RegistryError(f"{error}; run again to get the next number") from None
    return Journal.of(repository.tags()).version(name, version)


def judge(registry: Registry, artifact: Artifact, version: Event, stage: str) -> Decision:
    """Hold a version to the policy of a stage, against the stage's champion where there is one. Writes nothing.

    Raises:
        ConfigurationError: params.yaml has no policy for the task.
        RegistryError: files are gone or were changed, the version's or the champion's, so that nothing can be said.
    """
    policy = params.load(registry.root / "params.yaml").gates
    if artifact.task not in policy.tasks:
        raise ConfigurationError(f"params.yaml: gates.tasks.{artifact.task}: missing; expected its floor and budgets")
    said = version.evidence(*evidence.NEEDED)
    checks = gates.requirements(said)
    with tempfile.TemporaryDirectory() as folder:
        reader = outcomes.fetched_reader(registry.repository, artifact, version, Path(folder))
        check_signature(registry, artifact, version, Path(folder))
        checks += gates.budgets(policy, artifact.task, said, evidence.milliseconds(reader))
    read = outcomes.stored(registry.repository, artifact, version)
    checks += gates.floors(policy, artifact.task, read)
    champion_name, notes = registry.journal.in_stage(artifact.name, stage), []
    if champion_name is not None:
        champion = registry.journal.version(artifact.name, champion_name, withdrawn=True)
        signature = gates.signature(said, champion.evidence(*evidence.NEEDED))
        checks.append(signature)
        if signature.passed:
            theirs = outcomes.on_the_same_pictures(registry.repository, artifact, champion, read)
            lost = [suite for suite in champion.document["metrics"] if suite not in read.right]
            contested, notes = gates.contest(policy, stage, read, theirs, lost)
            checks += contested
    return Decision(artifact.name, version.version, stage, champion_name, tuple(checks), tuple(notes))


def promote(registry: Registry, reference: str, stage: str) -> tuple[Event, Decision | None]:
    """Point a stage at a version, if the version passes the stage's gate; `dev` asks only that its files are there.

    Returns:
        The promotion, and the decision behind it; None for `dev`.

    Raises:
        ConfigurationError: git has no identity, or there is no policy.
        RegistryError: the artifact is deprecated; the version is in the stage, skips one before it or was taken out of
            one, or failed its gate (then the refusal is recorded); files are gone or were changed; somebody else was
            faster.
    """
    artifact, version = registry.find(reference)
    known_stage(stage)
    registry.repository.identity()
    journal, name, number = registry.journal, artifact.name, version.version
    _in_use(journal, name)
    if journal.in_stage(name, stage) == number:
        raise RegistryError(f"{name}@{number} is in {stage} already; nothing was changed")
    for before in STAGES[: STAGES.index(stage)]:
        _stood_in(journal, version, before)
    decision = None
    if stage != STAGES[0]:
        decision = judge(registry, artifact, version, stage)
        if not decision.passed:
            tag = _refuse(registry, version, decision)
            raise RegistryError(f"{decision.complaint()}; recorded as {tag}")
    else:
        with tempfile.TemporaryDirectory() as folder:
            outcomes.fetched_reader(registry.repository, artifact, version, Path(folder))
            check_signature(registry, artifact, version, Path(folder))
    document = {
        "kind": "promotion",
        **_subject(version, stage),
        "replaces": journal.in_stage(name, stage),
        "decision": None if decision is None else decision.as_dict(),
    }
    return _point(registry, version, stage, document), decision


def _stood_in(journal: Journal, version: Event, stage: str) -> None:
    name = f"{version.artifact}@{version.version}"
    if not journal.was_in(version.artifact, stage, version.version):
        raise RegistryError(
            f"{name} was never in {stage}; stages go {' → '.join(STAGES)} and none is skipped: "
            f"`registry promote {name} {stage}` first"
        )
    if (taken := journal.taken_out(version.artifact, stage, version.version)) is not None:
        raise RegistryError(
            f"{name} was taken out of {stage} by the {taken.kind} {taken.tag}, and goes no further until it is there "
            f"again: `registry promote {name} {stage}` first"
        )


def rollback(registry: Registry, name: str, stage: str) -> Event:
    """Point a stage at the champion before its present one, versions withdrawn since apart. Again, at the one before.

    Returns:
        The rollback; its document's `undid` is the promotion that it took back.

    Raises:
        ConfigurationError: git has no identity.
        RegistryError: the artifact is deprecated; there is no champion before, its files are gone or were changed, or
            somebody else was faster.
    """
    artifact, journal = registry.artifacts[name], registry.journal
    stack = journal.stack(name, known_stage(stage))
    registry.repository.identity()
    _in_use(journal, name)
    before = [version for version in stack[:-1] if version != stack[-1] and journal.withdrawal(name, version) is None]
    if not before:
        there = f"{stack[-1]} is the only one that was promoted and not undone" if stack else "no version is in it"
        there += " or withdrawn" if len(stack) > 1 else ""
        raise RegistryError(f"{name}#{stage}: nothing to go back to: {there}")
    former = journal.version(name, before[-1])
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcomes.fetched_reader(registry.repository, artifact, former, Path(folder))
        except RegistryError as error:
            raise RegistryError(
                f"{name}#{stage} stays at {stack[-1]}: {former.version} cannot return: {error}"
            ) from None
        check_signature(registry, artifact, former, Path(folder))
    undone = [
        event
        for event in journal.events
        if event.kind == "promotion" and (event.artifact, event.stage, event.version) == (name, stage, stack[-1])
    ]
    document = {
        "kind": "rollback",
        **_subject(former, stage),
        "replaces": stack[-1],
        "undid": {"tag": undone[-1].tag, "time": undone[-1].time, "who": undone[-1].who},
    }
    return _point(registry, former, stage, document)


def _in_use(journal: Journal, name: str) -> None:
    if (by := journal.deprecation(name)) is not None:
        raise RegistryError(
            f"{name}: deprecated by {by.tag}, which {by.who} made at {moment(by.time)} UTC; "
            f"`registry register {name}` of another model brings it back, or `git tag -d {by.tag}`"
        )


def _point(registry: Registry, version: Event, stage: str, document: dict[str, Any]) -> Event:
    """Make the stage's next tag: the number after those known when it was decided, so a later one is in the way."""
    tag = registry.journal.next_tag(version.artifact, stage)
    try:
        _write(registry, tag, version.revision, document, version.artifact)
    except TagExists:
        registry.repository.fetch_tags(tag_patterns(registry.artifacts))
        now = Journal.of(registry.repository.tags())
        there = now.in_stage(version.artifact, stage)
        who = next((event.who for event in now.events if event.tag == tag), "somebody")
        wanted = there == version.version
        left = "as was wanted" if wanted else f"and {version.version} was not held against it: run again"
        raise RegistryError(
            f"{version.artifact}#{stage}: {who} was faster and made {tag}: {there} is in {stage} now, {left}"
        ) from None
    return next(event for event in Journal.of(registry.repository.tags()).events if event.tag == tag)


def _refuse(registry: Registry, version: Event, decision: Decision) -> str:
    document = {"kind": "refusal", **_subject(version, decision.stage), "decision": decision.as_dict()}
    journal = registry.journal
    while True:
        tag = journal.next_tag(version.artifact, decision.stage, refused=True)
        try:
            _write(registry, tag, version.revision, document, version.artifact)
            return tag
        except TagExists:
            # Two refusals at once are no conflict: this one takes the next number.
            registry.repository.fetch_tags(tag_patterns(registry.artifacts))
            journal = Journal.of(registry.repository.tags())


def _write(registry: Registry, tag: str, revision: str, document: Mapping[str, Any], name: str) -> None:
    message = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    registry.repository.make_tag(tag, revision, message, after=registry.journal.last_time(name))


def _subject(version: Event, stage: str) -> dict[str, Any]:
    return {
        "artifact": version.artifact,
        "version": version.version,
        "stage": stage,
        "sha256": version.evidence("sha256")["sha256"],
    }


def check_signature(registry: Registry, artifact: Artifact, version: Event, folder: Path) -> None:
    """Hold a version's model in `folder` to its signature; nothing where no key is configured.

    Raises:
        ConfigurationError: the key cannot be used.
        RegistryError: there is no signature, or it does not hold.
    """
    key = signing.Keys.of(registry.repository).public
    if key is not None:
        name = f"{artifact.name}@{version.version}"
        signing.check(folder / Path(artifact.model).name, version.document.get("signed"), key, name)


def _next(registered: list[Event], bump: str) -> str:
    if not registered:
        return FIRST
    numbers = list(max(_numbers(event.version) for event in registered))
    index = BUMPS.index(bump)
    numbers[index:] = [numbers[index] + 1, *[0] * (len(BUMPS) - index - 1)]
    return "v" + ".".join(map(str, numbers))


def _numbers(version: str) -> tuple[int, ...]:
    # What stands behind - or + in a version that was made by hand does not count.
    return tuple(int(part) for part in version.removeprefix("v").partition("-")[0].partition("+")[0].split("."))


def moment(seconds: int) -> str:
    """A time for people, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))

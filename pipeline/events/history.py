"""The history of the registry, read from the tags: events, and what follows from them for versions and stages."""

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gto.constants import Action
from gto.tag import parse_name
from pydantic import ValidationError
from pydantic_core import from_json

from pipeline.core.errors import RegistryError
from pipeline.events import chain, numbering
from pipeline.events.signing import document_digest
from pipeline.events.tags import Tag
from pipeline.records.registry import (
    SCHEMA,
    STAGES,
    AnyDocument,
    Document,
    EventKind,
    EventReport,
    Evidence,
    Previous,
    Promotion,
    Refusal,
    Rollback,
    RolloutRecord,
    StageChange,
)

REFUSED = "refused"
"""The first part of a refusal's tag, `refused/ARTIFACT/STAGE/N`. It has neither # nor @, so GTO ignores it."""
ROLLOUTS = "rollouts"
"""The same of the tag on how a rollout ended, `rollouts/ARTIFACT/STAGE/N`."""
_ASIDE: Mapping[str, EventKind] = {REFUSED: "refusal", ROLLOUTS: "rollout"}
"""Events that change no stage, by the first part of their tags."""
_KINDS: Mapping[Action, EventKind] = {
    Action.REGISTER: "version",
    Action.DEREGISTER: "withdrawal",
    Action.ASSIGN: "promotion",
    Action.UNASSIGN: "removal",
    Action.DEPRECATE: "deprecation",
}
_DOCUMENTS: Mapping[EventKind, type[Document]] = {
    "version": Evidence,
    "promotion": Promotion,
    "rollback": Rollback,
    "refusal": Refusal,
    "rollout": RolloutRecord,
}


@dataclass(frozen=True)
class Event:
    """One tag of the registry.

    Attributes:
        kind: `version`, `promotion`, `rollback`, `refusal`, `rollout`; and what only GTO's own commands create:
            `withdrawal` of a version, `removal` from a stage, `deprecation` of an artifact.
        artifact, version, stage: what it is about. A version is named like `v1.2.0`; it is empty for a deprecation.
            `stage` is None for a version.
        time: seconds since 1970.
        who: name and address.
        revision: the commit.
        tag: its name.
        id: of the tag's object.
        link: the event that the document says it follows; None where it says nothing of it.
        message: of the tag. Its document is checked when it is asked for: there may be thousands of refusals.
    """

    kind: EventKind
    artifact: str
    version: str
    stage: str | None
    time: int
    who: str
    revision: str
    tag: str
    id: str = field(default="", repr=False)
    link: chain.Link | None = field(default=None, repr=False)
    message: str = field(default="", repr=False)

    @property
    def document(self) -> AnyDocument | None:
        """The document of the tag; None where there is none, or none that is valid."""
        return self._read[0]

    @property
    def problem(self) -> str | None:
        """Why there is no document, where one is expected."""
        return self._read[1]

    @functools.cached_property
    def digest(self) -> str | None:
        """The digest of the document without its signature, valid or not (`signing.document_digest`); None without one.

        Numbers that cannot be written again, such as 1e999, are none of a document.
        """
        content = _content(self.message) if self.kind in _DOCUMENTS else None
        try:
            return None if content is None else document_digest(content)
        except ValueError:
            return None

    @functools.cached_property
    def _read(self) -> tuple[AnyDocument | None, str | None]:
        if self.kind not in _DOCUMENTS:
            return None, None
        content = None if self.digest is None else _content(self.message)
        return _document(content, _DOCUMENTS[self.kind], (self.artifact, self.version, self.stage))

    @property
    def evidence(self) -> Evidence:
        """The evidence of a version.

        Raises:
            RegistryError: its tag has none that is valid.
        """
        if not isinstance(self.document, Evidence):
            raise RegistryError(
                f"{self.tag}: {self.problem or 'not a version'}: half-written, of another schema, or made by another "
                f"command than `registry register`; remove it with `git tag -d {self.tag}` and register again"
            )
        return self.document

    @property
    def name(self) -> str:
        """The artifact and its version, for instance `strip-reader@v0.1.0`."""
        return f"{self.artifact}@{self.version}"

    def report(self, unchecked: str | None = None) -> EventReport:
        """The event as `--json` prints it."""
        return EventReport(**self.summary(), evidence=self.document, problem=self.problem, unchecked=unchecked)

    def summary(self) -> dict[str, Any]:
        """The fields of `EventSummary`."""
        return {
            "kind": self.kind,
            "artifact": self.artifact,
            "version": self.version,
            "stage": self.stage,
            "time": format_time(self.time).replace(" ", "T") + "Z",
            "who": self.who,
            "revision": self.revision,
            "tag": self.tag,
        }


@dataclass(frozen=True)
class History:
    """Every event, oldest first.

    Attributes:
        events: the events.
        heads: by artifact, the last event that this clone knows: its tag object's id and the tag's name.
        accepted: the ids of events whose absence was accepted.
        names: of all tags that begin like one of the registry's, those that cannot be read included.
    """

    events: Sequence[Event]
    heads: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        tags: Sequence[Tag],
        heads: Mapping[str, tuple[str, str]] | None = None,
        accepted: Iterable[str] = (),
        names: Iterable[str] = (),
    ) -> "History":
        """The history in tags that are sorted by time. Tags that are not the registry's are ignored."""
        versions = {}
        for tag in tags:
            parsed = parse_name(tag.name, raise_on_fail=False)
            if parsed and parsed["action"] is Action.REGISTER:
                versions[parsed["name"], tag.revision] = parsed["version"]
        events = [event for tag in tags if (event := _event(tag, versions)) is not None]
        return cls(events, heads or {}, frozenset(accepted), frozenset([*names, *(tag.name for tag in tags)]))

    @property
    def artifacts(self) -> list[str]:
        """The artifacts that have a version."""
        return sorted({event.artifact for event in self.events if event.kind == "version"})

    def versions(self, artifact: str) -> list[Event]:
        """The registrations of an artifact's versions, oldest first, without those withdrawn."""
        found: dict[str, Event] = {}
        for event in self._of(artifact):
            if event.kind == "version":
                found[event.version] = event
            elif event.kind == "withdrawal":
                found.pop(event.version, None)
        return list(found.values())

    def listed_versions(self) -> list[Event]:
        """The registrations that a list shows, the latest of each artifact first.

        As in GTO, a deprecated artifact is left out. A withdrawn version is included while a stage points at it.
        """
        found = []
        for name in self.artifacts:
            if self.deprecation(name) is None:
                registered = {event.version: event for event in self._of(name) if event.kind == "version"}
                found += [
                    event
                    for version, event in reversed(registered.items())
                    if self.withdrawal(name, version) is None or self.stages_of(name, version)
                ]
        return found

    def deprecation(self, artifact: str) -> Event | None:
        """The event that deprecated an artifact; None where it is in use. As in GTO, any later event restores it."""
        deprecations = [event for event in self._of(artifact) if event.kind == "deprecation"]
        later = [event.time for event in self._of(artifact) if event.kind not in ("deprecation", *_ASIDE.values())]
        return deprecations[-1] if deprecations and deprecations[-1].time > max(later, default=0) else None

    def deprecated(self) -> dict[str, str]:
        """By deprecated artifact, the tag that deprecated it."""
        return {name: by.tag for name in self.artifacts if (by := self.deprecation(name)) is not None}

    def withdrawal(self, artifact: str, version: str) -> Event | None:
        """The event that withdrew a version; None where it is not withdrawn."""
        about = [
            event
            for event in self._of(artifact)
            if event.version == version and event.kind in ("version", "withdrawal")
        ]
        return about[-1] if about and about[-1].kind == "withdrawal" else None

    def version(self, artifact: str, name: str, *, withdrawn: bool = False) -> Event:
        """The registration of one version.

        Args:
            artifact: its artifact.
            name: for instance `v1.2.0`.
            withdrawn: whether a withdrawn version is accepted.

        Raises:
            RegistryError: there is no such version (the message lists those there are), or it was withdrawn.
        """
        found = {event.version: event for event in self.versions(artifact)}
        if (by := self.withdrawal(artifact, name)) is not None:
            if not withdrawn:
                raise RegistryError(f"{artifact}@{name}: withdrawn by {by.tag}, which {by.who} made")
            found |= {event.version: event for event in self._of(artifact) if event.kind == "version"}
        if name not in found:
            there = ", ".join(found) or "none"
            raise RegistryError(f"{artifact}@{name}: no such version; registered: {there}")
        return found[name]

    def stack(self, artifact: str, stage: str, at: int | None = None) -> list[str]:
        """The versions that were promoted to a stage and not undone: the last is in it, the one before returns.

        Args:
            artifact: its artifact.
            stage: the stage.
            at: the moment that is asked about, seconds since 1970; None for now.
        """
        return self._replay(artifact, stage, at)[0]

    def taken_out(self, artifact: str, stage: str, version: str) -> Event | None:
        """The rollback or removal that took a version out of a stage; None where the version has returned since."""
        return self._replay(artifact, stage)[1].get(version)

    def _replay(self, artifact: str, stage: str, at: int | None = None) -> tuple[list[str], dict[str, Event]]:
        """The stack of a stage, and by version the event that took it out."""
        stack: list[str] = []
        out: dict[str, Event] = {}
        for event in self._of(artifact):
            if event.stage != stage or (at is not None and event.time > at):
                continue
            if event.kind == "promotion":
                stack.append(event.version)
                out.pop(event.version, None)
            elif event.kind == "rollback":
                # Down to the version that it restores.
                while stack and stack[-1] != event.version:
                    out[stack.pop()] = event
                stack = stack or [event.version]
                out.pop(event.version, None)
            elif event.kind == "removal":
                stack = [version for version in stack if version != event.version]
                out[event.version] = event
        return stack, out

    def in_stage(self, artifact: str, stage: str, at: int | None = None) -> str | None:
        """The version that a stage points at; None where it is empty."""
        stack = self.stack(artifact, stage, at)
        return stack[-1] if stack else None

    def stages_of(self, artifact: str, version: str) -> list[str]:
        """The stages that point at a version."""
        return [stage for stage in STAGES if self.in_stage(artifact, stage) == version]

    def was_in(self, artifact: str, stage: str, version: str) -> list[Event]:
        """The promotions and rollbacks that put a version into a stage, oldest first, whether a gate allowed them."""
        return [
            event
            for event in self._of(artifact)
            if event.kind in ("promotion", "rollback") and event.stage == stage and event.version == version
        ]

    def removals(self, artifact: str, stage: str) -> list[Event]:
        """The events by which GTO took a version out of a stage, oldest first."""
        return [event for event in self._of(artifact) if event.kind == "removal" and event.stage == stage]

    def placement(self, artifact: str, stage: str, version: str | None = None) -> Event | None:
        """The event that put a version into a stage last.

        Args:
            artifact: its artifact.
            stage: the stage.
            version: the version; None for the one that is in the stage.
        """
        if version is None and (version := self.in_stage(artifact, stage)) is None:
            return None
        placed = self.was_in(artifact, stage, version)
        return placed[-1] if placed else None

    def unchecked(self, event: Event) -> str | None:
        """Why a promotion or a rollback does not count as one that a gate allowed; None where it does.

        `dev` has no gate: there, the document alone is required.
        """
        if event.kind not in ("promotion", "rollback"):
            return None
        document = event.document
        if not isinstance(document, (Promotion, Rollback)):
            return event.problem or "its tag carries no evidence"
        registered = [
            each for each in self._of(event.artifact) if each.kind == "version" and each.version == event.version
        ]
        if not registered or not isinstance(registered[-1].document, Evidence):
            return f"{event.name} has no evidence"
        evidence, digest = registered[-1].document, registered[-1].digest
        if document.sha256 != evidence.sha256:
            return f"it is about the model {document.sha256[:12]}, and {event.name} is {evidence.sha256[:12]}"
        if document.evidence_sha256 != digest:
            return f"it is about other evidence than that of {event.name}"
        if event.stage == STAGES[0]:
            return None
        if isinstance(document, Rollback):
            before = [each for each in self.before(event) if each.kind == "promotion"]
            if not any(self.unchecked(each) is None for each in before):
                return f"{event.version} never passed the gate of {event.stage} before it"
            return None
        decision = document.decision
        if decision is None:
            return "it has no decision"
        subject = (decision.artifact, decision.version, decision.stage)
        if subject != (event.artifact, event.version, event.stage):
            return "its decision is of {}@{} for {}".format(*subject)
        if not decision.passed:
            return f"its decision did not pass: {', '.join(each.name for each in decision.failed) or 'no criteria'}"
        return None

    def problems(self, artifact: str) -> list[str]:
        """What is wrong with the chain of an artifact's events: gaps, forks, events that vanished or were rewritten."""
        links = [event.link for event in self._of(artifact) if event.link is not None]
        others = {event.tag: event.id for event in self._of(artifact) if event.link is None}
        return chain.problems(links, self.heads.get(artifact), self.accepted, others)

    def absent(self, artifact: str) -> dict[str, str]:
        """By id of an event that is followed or was seen, and is not here, its tag."""
        links = [event.link for event in self._of(artifact) if event.link is not None]
        return chain.absent(links, self.heads.get(artifact))

    def last(self, artifact: str) -> Previous | None:
        """The event that the artifact's next one follows; None where that is the first."""
        links = [event.link for event in self._of(artifact) if event.link is not None]
        return chain.last(links)

    def before(self, event: Event) -> list[Event]:
        """The events that put the version of an event into its stage before it."""
        placed = self.was_in(event.artifact, event.stage or "", event.version)
        return placed[: placed.index(event)]

    def last_time(self, artifact: str) -> int:
        """The time of an artifact's last event; 0 where it has none."""
        return max((event.time for event in self._of(artifact)), default=0)

    def next_tag(self, artifact: str, stage: str, aside: str | None = None) -> str:
        """The name of a stage's next tag. Of two processes that want it, the first to create it has it.

        Args:
            artifact: its artifact.
            stage: the stage.
            aside: `REFUSED` or `ROLLOUTS` for an event that does not change the stage.
        """
        return numbering.next_tag(f"{aside}/{artifact}/{stage}/" if aside else f"{artifact}#{stage}#", self.names)

    def next_version(self, artifact: str, bump: numbering.Bump) -> str:
        """The version that follows the highest one of an artifact, whether that is withdrawn or cannot be read."""
        parsed = [parse_name(name, raise_on_fail=False) for name in self.names if name.startswith(f"{artifact}@")]
        return numbering.next_version((each["version"] for each in parsed if each.get("version")), bump)

    def _of(self, artifact: str) -> Sequence[Event]:
        return self._by_artifact.get(artifact, ())

    @functools.cached_property
    def _by_artifact(self) -> Mapping[str, Sequence[Event]]:
        found: dict[str, list[Event]] = {}
        for event in self.events:
            found.setdefault(event.artifact, []).append(event)
        return found


def tag_patterns(artifacts: Iterable[str]) -> list[str]:
    """The tags of these artifacts, as patterns with a star; one pattern for all of those aside."""
    return [*(f"{name}{mark}*" for name in artifacts for mark in "@#"), *(f"{aside}/*" for aside in _ASIDE)]


def format_time(seconds: int) -> str:
    """A time in UTC, as `2026-11-24 15:30:00`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def _event(tag: Tag, versions: Mapping[tuple[str, str], str]) -> Event | None:
    content = _content(tag.message)
    stage: str | None
    aside = tag.name.partition("/")[0]
    if aside in _ASIDE and "/" in tag.name:
        _, artifact, stage, _ = [*tag.name.split("/"), "", "", ""][:4]
        kind = _ASIDE[aside]
        version = versions.get((artifact, tag.revision), tag.revision[:7])
    else:
        parsed = parse_name(tag.name, raise_on_fail=False)
        if not parsed or parsed["action"] not in _KINDS:
            return None
        kind, artifact, stage = _KINDS[parsed["action"]], parsed["name"], parsed.get("stage")
        # A stage's tag names no version: for GTO and for DVC it is the version of its commit.
        version = parsed.get("version") or versions.get((artifact, tag.revision), tag.revision[:7])
        if kind == "deprecation":
            version = ""
        if kind == "promotion" and content is not None and content.get("kind") == "rollback":
            kind = "rollback"
    link = chain.link_of(content, tag) if kind in _DOCUMENTS and content is not None else None
    event = (kind, artifact, version, stage, tag.time, tag.who, tag.revision, tag.name)
    return Event(*event, tag.id, link, tag.message)


def _content(message: str) -> dict[str, Any] | None:
    try:
        content = from_json(message, allow_inf_nan=False)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _document(
    content: dict[str, Any] | None, model: type[Any], subject: tuple[str, str, str | None]
) -> tuple[AnyDocument | None, str | None]:
    """The valid document, or why there is none."""
    if not content:
        return None, "its tag carries no evidence"
    if "kind" in content and content.get("schema") != SCHEMA:
        return None, f"its evidence: schema: {_short(content.get('schema'))} found, expected {SCHEMA}"
    try:
        document = model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return None, f"its evidence: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    found = (document.artifact, document.version, document.stage if isinstance(document, StageChange) else None)
    if found != subject:
        stage = f" for {found[2]}" if found[2] else ""
        return None, f"its evidence is of {found[0]}@{found[1]}{stage}"
    return document, None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 20 else f"{text[:17]}..."

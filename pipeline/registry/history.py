"""What happened, read from the tags: versions, promotions, rollbacks and refusals, and what follows from them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gto.constants import Action
from gto.tag import parse_name

from pipeline.core.errors import RegistryError
from pipeline.registry.repository import Tag

STAGES = ("dev", "staging", "prod")
"""In the order that a version goes through them."""
REFUSED = "refused"
"""The first part of a refusal's tag, `refused/ARTIFACT/STAGE/N`; it has neither # nor @, so GTO passes it by."""
_KINDS = {
    Action.REGISTER: "version",
    Action.DEREGISTER: "withdrawal",
    Action.ASSIGN: "promotion",
    Action.UNASSIGN: "removal",
    Action.DEPRECATE: "deprecation",
}


@dataclass(frozen=True)
class Event:
    """One tag that concerns the registry.

    Attributes:
        kind: `version`, `promotion`, `rollback`, `refusal`; and what only GTO's own commands make: `withdrawal` of a
            version, `removal` from a stage, `deprecation` of an artifact.
        artifact, version, stage: what it is about; a version's name is `v1.2.0`, empty where the artifact is
            deprecated, and `stage` may be None.
        time: seconds since 1970. who: name and address.
        revision: the commit it is about.
        tag: its name.
        document: the evidence in its message; empty where GTO's own command made it, or it was cut short.
    """

    kind: str
    artifact: str
    version: str
    stage: str | None
    time: int
    who: str
    revision: str
    tag: str
    document: dict[str, Any] = field(repr=False)

    def evidence(self, *keys: str) -> dict[str, Any]:
        """The document, if it is whole.

        Raises:
            RegistryError: this tag has none, or one of `keys` is missing.
        """
        missing = [key for key in keys if key not in self.document]
        if not self.document or missing:
            lacks = f"its evidence lacks {', '.join(missing)}" if self.document else "its tag carries no evidence"
            raise RegistryError(
                f"{self.tag}: {lacks}: half-written, or made by another command than `registry register`; "
                f"remove it with `git tag -d {self.tag}` and register again"
            )
        return self.document


@dataclass(frozen=True)
class Journal:
    """Every event, oldest first."""

    events: Sequence[Event]

    @classmethod
    def of(cls, tags: Sequence[Tag]) -> "Journal":
        """What tags in the order of their times say; tags of other things are passed by."""
        versions = {}
        for tag in tags:
            parsed = parse_name(tag.name, raise_on_fail=False)
            if parsed and parsed["action"] is Action.REGISTER:
                versions[parsed["name"], tag.revision] = parsed["version"]
        return cls([event for tag in tags if (event := _event(tag, versions)) is not None])

    @property
    def artifacts(self) -> list[str]:
        """Those that any version was registered of."""
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

    def listed(self) -> list[Event]:
        """What a list shows, the latest of each artifact first: as in GTO, nothing of an artifact that is deprecated.

        A version that was withdrawn is among them where a stage still points at it.
        """
        found = []
        for name in self.artifacts:
            if self.deprecation(name) is None:
                counted = {event.version: event for event in self._of(name) if event.kind == "version"}
                found += [
                    event
                    for version, event in reversed(counted.items())
                    if self.withdrawal(name, version) is None or self.stages_of(name, version)
                ]
        return found

    def deprecation(self, artifact: str) -> Event | None:
        """What deprecated an artifact; None where it is not: as in GTO, whatever happens to it later brings it back."""
        deprecations = [event for event in self._of(artifact) if event.kind == "deprecation"]
        later = [event.time for event in self._of(artifact) if event.kind not in ("deprecation", "refusal")]
        return deprecations[-1] if deprecations and deprecations[-1].time > max(later, default=0) else None

    def withdrawal(self, artifact: str, version: str) -> Event | None:
        """What withdrew a version, None where it counts."""
        about = [
            event
            for event in self._of(artifact)
            if event.version == version and event.kind in ("version", "withdrawal")
        ]
        return about[-1] if about and about[-1].kind == "withdrawal" else None

    def version(self, artifact: str, name: str, *, withdrawn: bool = False) -> Event:
        """The registration of one version.

        Args:
            withdrawn: whether one that was withdrawn will do.

        Raises:
            RegistryError: there is none of this name, the message lists those there are; or it was withdrawn.
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
        """The versions that were promoted to a stage and are not undone: the last is in it, the one before returns.

        Args:
            at: what was so at this moment, seconds since 1970; None for now.
        """
        return self._replayed(artifact, stage, at)[0]

    def taken_out(self, artifact: str, stage: str, version: str) -> Event | None:
        """The rollback or removal that took a version out of a stage; None where it came back since."""
        return self._replayed(artifact, stage)[1].get(version)

    def _replayed(self, artifact: str, stage: str, at: int | None = None) -> tuple[list[str], dict[str, Event]]:
        """The stack of a stage, and by version what took it out."""
        stack: list[str] = []
        out: dict[str, Event] = {}
        for event in self._of(artifact):
            if event.stage != stage or (at is not None and event.time > at):
                continue
            if event.kind == "promotion":
                stack.append(event.version)
                out.pop(event.version, None)
            elif event.kind == "rollback":
                # Down to where the version that it restored lies.
                while stack and stack[-1] != event.version:
                    out[stack.pop()] = event
                stack = stack or [event.version]
                out.pop(event.version, None)
            elif event.kind == "removal":
                stack = [version for version in stack if version != event.version]
                out[event.version] = event
        return stack, out

    def in_stage(self, artifact: str, stage: str, at: int | None = None) -> str | None:
        """The version that a stage points at, None where there is none."""
        stack = self.stack(artifact, stage, at)
        return stack[-1] if stack else None

    def stages_of(self, artifact: str, version: str) -> list[str]:
        """The stages that point at a version."""
        return [stage for stage in STAGES if self.in_stage(artifact, stage) == version]

    def was_in(self, artifact: str, stage: str, version: str) -> bool:
        """Whether a version was ever promoted to a stage."""
        return any(
            event.kind in ("promotion", "rollback") and event.stage == stage and event.version == version
            for event in self._of(artifact)
        )

    def last_time(self, artifact: str) -> int:
        """The time of an artifact's last event, 0 where it has none."""
        return max((event.time for event in self._of(artifact)), default=0)

    def next_tag(self, artifact: str, stage: str, *, refused: bool = False) -> str:
        """The name of the next tag of a stage: whoever makes it first has it, which is what keeps two apart."""
        prefix = f"{REFUSED}/{artifact}/{stage}/" if refused else f"{artifact}#{stage}#"
        # GTO's `removal` counts in the same row: `strip-reader#prod!#4`.
        numbers = [
            int(event.tag.replace("!#", "#").removeprefix(prefix))
            for event in self._of(artifact)
            if event.tag.replace("!#", "#").removeprefix(prefix).isdecimal()
        ]
        return f"{prefix}{max(numbers, default=0) + 1}"

    def _of(self, artifact: str) -> list[Event]:
        return [event for event in self.events if event.artifact == artifact]


def tag_patterns(artifacts: Iterable[str]) -> list[str]:
    """The tags that concern these artifacts, as patterns with a star; refusals are one for all."""
    return [*(f"{name}{mark}*" for name in artifacts for mark in "@#"), f"{REFUSED}/*"]


def _event(tag: Tag, versions: dict[tuple[str, str], str]) -> Event | None:
    document = _document(tag.message)
    if tag.name.startswith(f"{REFUSED}/"):
        _, artifact, stage, _ = [*tag.name.split("/"), "", "", ""][:4]
        kind, version = "refusal", document.get("version", "")
    else:
        parsed = parse_name(tag.name, raise_on_fail=False)
        if not parsed or parsed["action"] not in _KINDS:
            return None
        kind, artifact, stage = _KINDS[parsed["action"]], parsed["name"], parsed.get("stage")
        # A stage's tag names no version: it is that of its commit, for GTO and for DVC.
        version = parsed.get("version") or versions.get((artifact, tag.revision), tag.revision[:7])
        if kind == "deprecation":
            version = ""
        if kind == "promotion" and document.get("kind") == "rollback":
            kind = "rollback"
    return Event(kind, artifact, version, stage, tag.time, tag.who, tag.revision, tag.name, document)


def _document(message: str) -> dict[str, Any]:
    try:
        document = json.loads(message)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}

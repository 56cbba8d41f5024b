"""Whether a version and the decision that put it into a stage are to be trusted: documents, and signatures by a key."""

from pathlib import Path

from pipeline.core.errors import RegistryError
from pipeline.events import signing
from pipeline.events.history import Event, History
from pipeline.records.registry import STAGES, Evidence, StageChange


def check_signature(event: Event, key: Path | None) -> None:
    """Check that a key signed what an event's tag says now: name, commit and document.

    Args:
        event: a version, a promotion, a rollback or a refusal.
        key: the public key's file; None where none is configured: then nothing is checked.

    Raises:
        ConfigurationError: the key cannot be used.
        RegistryError: there is no document or signature, or it is of something else: the message names what differs.
    """
    if key is None:
        return
    document = event.document
    if document is None or event.digest is None:
        raise RegistryError(f"{event.tag}: {event.problem}; expected a document that {key.name} signed")
    signing.check(document.signature, statement_of(event), key, event.tag)


def statement_of(event: Event) -> signing.Statement:
    """What a signature of an event has to state.

    Raises:
        RegistryError: its tag has no document.
    """
    document, digest = event.document, event.digest or ""
    if isinstance(document, Evidence):
        return signing.version_statement(document, tag=event.tag, revision=event.revision, digest=digest)
    if isinstance(document, StageChange):
        return signing.stage_statement(document, kind=event.kind, tag=event.tag, revision=event.revision, digest=digest)
    raise RegistryError(f"{event.tag}: {event.problem}")


def distrust(history: History, event: Event, key: Path | None) -> str | None:
    """Why a promotion or a rollback does not count; None where it does.

    Args:
        history: that the event is in.
        event: the promotion or rollback.
        key: the public key's file; where there is one, the version and every decision behind the event are signed.

    Raises:
        ConfigurationError: the key cannot be used.
    """
    if (reason := history.unchecked(event)) is not None or key is None:
        return reason
    try:
        check_signature(event, key)
        check_signature(history.version(event.artifact, event.version, withdrawn=True), key)
    except RegistryError as error:
        return str(error)
    if event.kind == "rollback" and event.stage != STAGES[0]:
        earlier = [each for each in history.before(event) if each.kind == "promotion"]
        reasons = [distrust(history, each, key) for each in earlier]
        if all(reason is not None for reason in reasons):
            return next(iter(reversed(reasons)), f"{event.version} was never in {event.stage} before it")
    return None


def placed(history: History, artifact: str, stage: str, key: Path | None) -> tuple[Event | None, str | None]:
    """The event that put the version of a stage there, and why that does not count; None and None for an empty stage.

    With a key, a version that is there again since another one was taken out by hand does not count either: nobody
    signed that.
    """
    event = history.placement(artifact, stage)
    if event is None:
        return None, None
    reason = distrust(history, event, key)
    if reason is None and key is not None:
        later = [each for each in history.removals(artifact, stage) if each.time >= event.time]
        if later:
            return event, f"{later[-1].tag}, which nobody signed, took another version out after it"
    return event, reason


def champion(history: History, artifact: str, stage: str, key: Path | None) -> str | None:
    """The version in a stage that a challenger is compared with: the last one there that a gate allowed.

    A version that was assigned by hand does not lower the bar.
    """
    for version in reversed(history.stack(artifact, stage)):
        placed = history.placement(artifact, stage, version)
        if placed is not None and distrust(history, placed, key) is None:
            return version
    return None

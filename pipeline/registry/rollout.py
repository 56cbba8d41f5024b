"""Versions in a running service: begun, ended and recorded by way of its rollout folder (`pipeline.rollout.store`)."""

import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.events import trust
from pipeline.events.history import Event
from pipeline.records.registry import STAGES, Stage
from pipeline.records.rollout import Bounds, Mode, Outcome, Rollout, RolloutState
from pipeline.registry import deployment, operations
from pipeline.registry.operations import Registry
from pipeline.rollout.follower import conclude
from pipeline.rollout.store import ROLLOUT_VARIABLE, Store
from pipeline.rollout.trial import Trial

BEGIN_SECONDS = 180.0
"""For the workers to load a model, and to change over."""
_POLL_SECONDS = 0.1


def begin(
    registry: Registry, event: Event, store: Store, stage: Stage, mode: Mode, share: float, bounds: Bounds
) -> Rollout:
    """Bring a version to a running service.

    Its files are held to the hashes in its tag, it is loaded and proved, and its signature is checked where a key is
    configured, before the service hears of it. A swap needs a decision that put the version into the stage; a canary
    one for the stage, or for the stage before it, and then a person decides what follows; a shadow, whose answers
    nobody gets, none.

    Args:
        registry: as it is now.
        event: the registration of the version.
        store: the rollout folder of the service.
        stage: that the service serves.
        mode: how the version is brought in.
        share: of the requests.
        bounds: of the comparison.

    Raises:
        RegistryError: the version may not, its files are gone or were changed, no service watches the folder, or
            another rollout is in progress there.
    """
    takes_over = _expect_allowed(registry, event, stage, mode)
    who = registry.repository.identity()
    if not store.folder.is_dir() or not store.workers():
        raise RegistryError(
            f"{store.folder}: no service follows this folder; start one with {ROLLOUT_VARIABLE}={store.folder}, or "
            "name its folder with --to"
        )
    made: list[Rollout] = []
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "model"
        with registry.opened(event) as version:
            deployment.write_version(version, source)

        def start(state: RolloutState) -> RolloutState:
            if state.rollout is not None:
                raise RegistryError(
                    f"{store.folder}: {state.rollout.who} began a {state.rollout.mode} of "
                    f"{state.rollout.candidate.artifact}@{state.rollout.candidate.version}, which goes on; "
                    "`registry rollout --abort` ends it"
                )
            placed = store.add_model(source, event.artifact)
            rollout = Rollout(
                id=secrets.token_hex(8),
                mode=mode,
                share=share,
                stage=stage,
                candidate=placed,
                takes_over=takes_over,
                running=False,
                began=round(time.time(), 3),
                who=who,
                bounds=bounds,
            )
            made.append(rollout)
            return state.model_copy(update={"rollout": rollout})

        store.change(start)
    return made[0]


def bounds_of(values: Mapping[str, float]) -> Bounds:
    """The bounds of a comparison, from a command's options.

    Raises:
        ConfigurationError: one of them is not possible; the message names it.
    """
    try:
        return Bounds.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = f"--{str(first['loc'][0]).replace('_', '-')}"
        raise ConfigurationError(f"{option}: {first['input']} found: {first['msg']}") from None


def wait(store: Store, rollout: Rollout, *, until_end: bool, seconds: float | None = BEGIN_SECONDS) -> Outcome | None:
    """Wait until a rollout has begun, or until it has ended.

    Args:
        store: the folder.
        rollout: in progress.
        until_end: whether to wait for its end.
        seconds: at most; None for as long as it takes.

    Returns:
        How it ended; None while it goes on.

    Raises:
        RegistryError: it did not get that far in time.
    """
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        state = store.read()
        if state.rollout is None or state.rollout.id != rollout.id:
            outcome = outcome_of(store, rollout.id)
            if outcome is None or outcome.result not in ("swapped", "passed"):
                return outcome
            # The workers change over one by one, each between two requests.
            served = {worker.models.get(rollout.candidate.task) for worker in store.workers()}
            if not rollout.takes_over or served <= {rollout.candidate.sha256}:
                return outcome
        elif state.rollout.running and not until_end:
            return None
        if end is not None and time.monotonic() > end:
            raise RegistryError(
                f"{store.folder}: not done within {seconds:g} seconds; `registry rollout --status` shows what the "
                "workers do, `registry rollout --abort` ends it"
            )
        time.sleep(_POLL_SECONDS)


def abort(registry: Registry, store: Store) -> Outcome:
    """End the rollout in progress: the model that was served before answers alone.

    Raises:
        RegistryError: none is in progress.
    """
    rollout = store.read().rollout
    if rollout is None:
        raise RegistryError(f"{store.folder}: no rollout is in progress; nothing was changed")
    trial = Trial(rollout.bounds)
    store.follow(rollout.id, trial)
    if not conclude(store, rollout, "aborted", f"by {registry.repository.identity()}", trial=trial):
        return abort(registry, store)
    outcome = outcome_of(store, rollout.id)
    assert outcome is not None
    return outcome


def outcome_of(store: Store, rollout: str) -> Outcome | None:
    """How a rollout ended; None where that is not known."""
    return next((outcome for outcome in store.outcomes() if outcome.rollout.id == rollout), None)


def record(registry: Registry, store: Store, note: Callable[[str], object]) -> list[Event]:
    """Record in the history what the service has decided since, oldest first.

    A version that a canary took back and that is still in the stage is rolled back there as well.

    Args:
        registry: as it is now.
        store: the folder of the service.
        note: called with a line on each outcome that cannot be recorded.

    Returns:
        The events that were made.
    """
    made: list[Event] = []
    for outcome in reversed(store.outcomes()):
        rollout = outcome.rollout
        try:
            event = operations.record_rollout(registry, outcome)
            if event is None:
                continue
            made.append(event)
            registry = registry.again()
            name, version = rollout.candidate.artifact, rollout.candidate.version
            if outcome.result != "rolled_back" or name is None or rollout.stage is None:
                continue
            if registry.history.in_stage(name, rollout.stage) == version:
                made.append(operations.rollback(registry, name, rollout.stage))
                registry = registry.again()
        except RegistryError as error:
            note(str(error))
    return made


def _expect_allowed(registry: Registry, event: Event, stage: Stage, mode: Mode) -> bool:
    """Whether a version may take over in a stage.

    Raises:
        RegistryError: it may not even be tried there.
    """
    history, name = registry.history, event.artifact
    registry.expect_sound(name)
    history.version(name, event.version)
    before = STAGES[max(0, STAGES.index(stage) - 1)]
    reasons = []
    for each in (stage, before):
        placed, reason = trust.placed(history, name, each, registry.verifying_key)
        if placed is not None and placed.version == event.version and reason is None:
            if each == stage or mode == "canary":
                return each == stage
        elif reason is not None and placed is not None and placed.version == event.version:
            reasons.append(f"; {placed.tag} does not count: {reason}")
    if mode == "shadow":
        return False
    expected = f"in {stage}" if mode == "swap" else f"in {stage} or {before}"
    raise RegistryError(
        f"{event.name} is not {expected} by a decision that holds{''.join(reasons)}; `registry promote {event.name} "
        f"{stage}` makes one, and --shadow compares any version"
    )

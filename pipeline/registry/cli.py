"""`registry`: versions of the packaged models, promoted through dev, staging and prod on evidence; docs/registry.md."""

import argparse
import contextlib
import datetime
import enum
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.events import numbering, trust
from pipeline.events.history import Event, format_time
from pipeline.events.seen import HistoryChanged
from pipeline.packaging import bento
from pipeline.project import command
from pipeline.project.terminal import printable, printable_json
from pipeline.records.base import Record
from pipeline.records.registry import (
    STAGES,
    DeploymentReport,
    Evidence,
    ListedVersion,
    Printed,
    Promotion,
    Rollback,
    RolloutBegun,
    StagesReport,
    VerificationResult,
    VersionReport,
)
from pipeline.records.rollout import Bounds, Mode
from pipeline.registry import deployment, evidence, operations, release, rollout, text, verification
from pipeline.registry.operations import Registry
from pipeline.rollout.store import ROLLOUT_VARIABLE, Store

VERSION = "NAME@VERSION, NAME#STAGE, or NAME for its latest version"
_DAY = 24 * 60 * 60
_SHOWN = 10
"""Lines of one kind on standard error: anyone who can push tags can push any number of bad ones."""


class Fetch(enum.Enum):
    """Whether a command fetches the tags of the shared repository first, and what happens where it cannot."""

    ALWAYS = "the command changes something: it stops without the shared repository"
    UNLESS_OFFLINE = "the command decides something: it stops without the shared repository, unless --offline is given"
    IF_POSSIBLE = "the command only reports: it goes on with the tags that are here"
    NEVER = "the command asks the shared repository itself"


@dataclass(frozen=True)
class Output:
    """What a command prints, and the exit code.

    Attributes:
        text: for people.
        value: for programs, with `--json`.
        code: the exit code.
    """

    text: str
    value: Printed
    code: int = 0


def main(arguments: list[str] | None = None) -> None:
    """Run one command in the clone whose top folder is the current one, and exit with its code."""
    chosen = _parser().parse_args(arguments)
    with command.one_line_errors():
        registry, code = _open(chosen)
        output = chosen.run(registry, chosen)
        if chosen.json:
            print(printable_json(json.dumps(_plain(output.value), indent=2, ensure_ascii=False)))
        else:
            print(printable(output.text, lines=True))
        sys.exit(output.code or code)


def _open(chosen: argparse.Namespace) -> tuple[Registry, int]:
    """The registry, with the tags of the shared repository, and the exit code of a command that reports.

    Standard error names what a report does not show: that the tags of the shared repository are not known, the tags
    that cannot be read, and what is wrong with the history. The latter is no success.

    Raises:
        RegistryError: the shared repository cannot be reached or lost a tag, and the command does more than report.
    """
    reason, code = "--offline", 0
    registry = None
    if not chosen.offline and chosen.fetches is not Fetch.NEVER:
        try:
            registry = Registry.open(Path(), fetch=True)
        except RegistryError as error:
            changed = isinstance(error, HistoryChanged)
            if chosen.fetches is Fetch.ALWAYS or (chosen.fetches is Fetch.UNLESS_OFFLINE and changed):
                raise
            if chosen.fetches is Fetch.UNLESS_OFFLINE:
                raise RegistryError(f"{error}; `--offline` goes on with what is known here") from None
            reason, code = str(error), RegistryError.exit_code if changed else 0
    if registry is None:
        registry = Registry.open(Path())
        if chosen.fetches is not Fetch.NEVER and (remote := registry.repository.remote()):
            _note(f"as of the last fetch from {remote} ({' '.join(reason.split())})")
    _notes("skipped", [f"{tag.name}: {tag.reason}" for tag in registry.skipped])
    if chosen.fetches is Fetch.IF_POSSIBLE and (problems := registry.problems()):
        _notes("history", problems)
        code = RegistryError.exit_code
    return registry, code


def _notes(subject: str, lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN]:
        _note(f"{subject}: {line}")
    if len(lines) > _SHOWN:
        _note(f"{subject}: and {len(lines) - _SHOWN:,} more")


def _note(line: str) -> None:
    print(printable(line), file=sys.stderr)


def _register(registry: Registry, chosen: argparse.Namespace) -> Output:
    event = operations.register(registry, chosen.name, bump=chosen.bump)
    recorded = event.evidence
    kept = (
        f"its files are in the remote storage {recorded.remote}"
        if recorded.remote
        else "no remote storage is configured, so its files are in this machine's cache only: see `dvc remote add -d`"
    )
    rendered = (
        f"{event.tag}: {recorded.strategy}, {recorded.sha256[:12]}, of {event.revision[:12]}\n{kept}\n"
        f"{_where_created(registry)}"
    )
    return Output(rendered, event.report())


def _list(registry: Registry, chosen: argparse.Namespace) -> Output:
    history = registry.history
    versions = [_listed(registry, event) for event in history.listed_versions()]
    return Output(text.render_versions(versions, history.deprecated()), versions)


def _listed(registry: Registry, event: Event) -> ListedVersion:
    history = registry.history
    recorded = event.document if isinstance(event.document, Evidence) else None
    stages = tuple(history.stages_of(event.artifact, event.version))
    return ListedVersion(
        **event.summary(),
        stages=stages,
        unchecked=_unchecked_stages(registry, event, stages),
        withdrawn=history.withdrawal(event.artifact, event.version) is not None,
        strategy=None if recorded is None else recorded.strategy,
        sha256=None if recorded is None else recorded.sha256,
        origin=None if recorded is None else recorded.origin,
        gate_accuracy=None if recorded is None else recorded.gate_accuracy,
    )


def _unchecked_stages(registry: Registry, event: Event, stages: Sequence[str]) -> dict[str, str]:
    """By stage that a version entered without a decision that holds, why."""
    key = registry.verifying_key
    reasons = {stage: trust.placed(registry.history, event.artifact, stage, key)[1] for stage in stages}
    return {stage: reason for stage, reason in reasons.items() if reason is not None}


def _show(registry: Registry, chosen: argparse.Namespace) -> Output:
    event = registry.find(chosen.version)
    stages = registry.history.stages_of(event.artifact, event.version)
    unchecked = _unchecked_stages(registry, event, stages)
    report = VersionReport(
        **event.summary(),
        evidence=event.document,
        problem=event.problem,
        unchecked="; ".join(f"{stage}: {reason}" for stage, reason in unchecked.items()) or None,
        stages=tuple(stages),
    )
    shown = [f"{stage} (unchecked: {unchecked[stage]})" if stage in unchecked else stage for stage in stages]
    return Output(text.render_version(event, shown), report)


def _gate(registry: Registry, chosen: argparse.Namespace) -> Output:
    event, stage = registry.find(chosen.version), operations.known_stage(chosen.stage)
    if stage == STAGES[0]:
        raise RegistryError(f"{stage} has no gate; expected one of {', '.join(STAGES[1:])}")
    registry.expect_sound(event.artifact)
    with registry.opened(event) as version:
        decision = operations.judge(registry, version, stage)
    return Output(text.render_decision(decision), decision, 0 if decision.passed else RegistryError.exit_code)


def _promote(registry: Registry, chosen: argparse.Namespace) -> Output:
    event, decision = operations.promote(registry, chosen.version, chosen.stage)
    before = event.document.replaces if isinstance(event.document, Promotion) else None
    replaced = f", where {before} was" if before else ""
    rendered = f"{event.tag}: {event.name} is in {event.stage}{replaced}\n{_where_created(registry)}"
    return Output(f"{text.render_decision(decision)}\n{rendered}" if decision else rendered, event.report())


def _rollback(registry: Registry, chosen: argparse.Namespace) -> Output:
    event = operations.rollback(registry, chosen.name, chosen.stage)
    lines = [f"{event.tag}: {event.name} is in {event.stage} again"]
    if isinstance(event.document, Rollback):
        undone = event.document.undone
        lines.append(
            f"undone: {undone.tag}, by which {undone.who} put {event.document.replaces} there at "
            f"{format_time(undone.time)} UTC"
        )
    return Output("\n".join([*lines, _where_created(registry)]), event.report())


def _history(registry: Registry, chosen: argparse.Namespace) -> Output:
    if chosen.name is not None:
        _ = registry.artifacts[chosen.name]
    events = [event for event in registry.history.events if chosen.name in (None, event.artifact)]
    unchecked = _unchecked(registry, events)
    reports = [event.report(unchecked.get(event.tag)) for event in reversed(events)]
    return Output(text.render_events(events, unchecked), reports)


def _unchecked(registry: Registry, events: Sequence[Event]) -> dict[str, str]:
    """By tag of a promotion or a rollback that does not count, why."""
    placed = [event for event in events if event.kind in ("promotion", "rollback")]
    reasons = {event.tag: trust.distrust(registry.history, event, registry.verifying_key) for event in placed}
    return {tag: reason for tag, reason in reasons.items() if reason is not None}


def _at(registry: Registry, chosen: argparse.Namespace) -> Output:
    first, last = _period(chosen.date)
    history = registry.history
    stages: dict[str, dict[str, str | None]] = {
        name: {stage: history.in_stage(name, stage, last) for stage in STAGES} for name in registry.artifacts
    }
    during = [event for event in history.events if first <= event.time <= last and event.stage]
    rendered = f"at {format_time(last)} UTC\n{text.render_stages(stages)}"
    if first < last and during:
        rendered += f"\n\non that day\n{text.render_events(during, _unchecked(registry, during))}"
    unchecked = _unchecked(registry, during)
    events = tuple(event.report(unchecked.get(event.tag)) for event in during)
    return Output(rendered, StagesReport(at=format_time(last), stages=stages, events=events))


def _verify(registry: Registry, chosen: argparse.Namespace) -> Output:
    if chosen.version:
        versions = [registry.find(chosen.version)]
    else:
        versions = [event for name in registry.artifacts for event in registry.history.versions(name)]
    rendered: list[str] = []
    value: dict[str, list[VerificationResult]] = {}
    for event in versions:
        value[event.name] = verification.verify(registry, event)
        rendered.append(text.render_results(event.name, value[event.name]))
    failed = sum(not result.holds for results in value.values() for result in results)
    summary = f"{len(versions)} version{'' if len(versions) == 1 else 's'} verified, " + (
        f"{failed} FAILED" if failed else "everything holds"
    )
    return Output("\n\n".join([*rendered, summary]), value, RegistryError.exit_code if failed else 0)


def _diff(registry: Registry, chosen: argparse.Namespace) -> Output:
    first, second = registry.find(chosen.first), registry.find(chosen.second)
    if first.artifact != second.artifact:
        raise RegistryError(
            f"{first.artifact} and {second.artifact} are two artifacts; expected two versions of one artifact"
        )
    difference = evidence.differences(first.evidence, second.evidence)
    return Output(text.render_difference(difference), difference)


def _deploy(registry: Registry, chosen: argparse.Namespace) -> Output:
    out = chosen.out or Path("deploy") / chosen.stage
    if chosen.bento is not None and chosen.bento.is_dir():
        raise ConfigurationError(f"{chosen.bento}: a folder; expected the name of a file to write the bento to")
    deployed = deployment.deploy(registry, chosen.stage, out, unchecked=chosen.unchecked)
    lines = [
        f"{out}/{registry.artifacts[name].task}: {name}@{each.version}, {each.placed.tag} of "
        f"{format_time(each.placed.time)} UTC by {each.placed.who}"
        for name, each in deployed.items()
    ]
    unchecked = {name: each.unchecked for name, each in deployed.items() if each.unchecked is not None}
    for name, reason in unchecked.items():
        _note(
            f"warning: {name}@{deployed[name].version} was deployed unchecked: no decision put it into {chosen.stage} "
            f"({reason})"
        )
    deprecated = {name: tag for name, tag in registry.history.deprecated().items() if name in registry.artifacts}
    lines += [f"{name}: left out, since it is deprecated by {tag}" for name, tag in deprecated.items()]
    built = None
    if chosen.bento is not None:
        built = bento.build_selected(registry.root / "bentofile.yaml", out, chosen.bento)
        lines.append(f"{chosen.bento}: {built}")
    return Output(
        "\n".join(lines),
        DeploymentReport(
            out=str(out),
            versions={name: each.version for name, each in deployed.items()},
            unchecked=unchecked,
            deprecated=deprecated,
            bento=built,
        ),
    )


def _release(registry: Registry, chosen: argparse.Namespace) -> Output:
    released = release.release(registry, chosen.stage, chosen.out)
    return Output(text.render_release(released, str(chosen.out)), released)


def _rollout(registry: Registry, chosen: argparse.Namespace) -> Output:
    stage = operations.known_stage(chosen.stage)
    store = Store(chosen.to or Path(os.environ.get(ROLLOUT_VARIABLE) or f"deploy/{stage}.rollout"))
    if chosen.to and not store.folder.is_dir():
        raise ConfigurationError(
            f"rollout: {store.folder}: no such folder; expected that of a running service, its {ROLLOUT_VARIABLE}"
        )
    if chosen.status:
        report = store.report()
        return Output(text.render_rollouts(report, str(store.folder)), report)
    recorded: list[Event] = []
    rolled = None
    if chosen.abort:
        outcome = rollout.abort(registry, store)
        recorded = rollout.record(registry, store, _note)
        rolled = outcome.rollout
    elif chosen.record:
        registry = registry if chosen.offline else registry.again()
        recorded = rollout.record(registry, store, _note)
        events = [event.report() for event in recorded]
        return Output("\n".join(f"{event.tag}: {text.detail(event)}" for event in recorded) or "nothing new", events)
    else:
        if chosen.version is None:
            raise ConfigurationError("rollout: no version found, expected VERSION, --status, --abort or --record")
        if not chosen.offline:
            # A version that was rolled back on another machine must not come back from here.
            registry = registry.again()
        mode: Mode = "swap" if chosen.canary is chosen.shadow is None else "canary" if chosen.canary else "shadow"
        bounds = rollout.bounds_of({name: getattr(chosen, name) for name in Bounds.model_fields})
        share = chosen.canary or chosen.shadow or 1.0
        rolled = rollout.begin(registry, registry.find(chosen.version), store, stage, mode, share, bounds)
        until_end = chosen.wait or mode == "swap"
        ended = rollout.wait(store, rolled, until_end=until_end, seconds=None if chosen.wait else rollout.BEGIN_SECONDS)
        if ended is None:
            line = f"{mode} of {registry.find(chosen.version).name}: running; `registry rollout --status` shows it"
            return Output(line, RolloutBegun(folder=str(store.folder), rollout=rolled, outcome=None, recorded=()))
        outcome = ended
        recorded = rollout.record(registry, store, _note)
    tags = tuple(event.tag for event in recorded)
    bad = outcome.result in ("failed", "rolled_back", "undecided")
    return Output(
        "\n".join([text.render_outcome(outcome), *(f"recorded: {tag}" for tag in tags)]),
        RolloutBegun(folder=str(store.folder), rollout=rolled, outcome=outcome, recorded=tags),
        RegistryError.exit_code if bad else 0,
    )


def _share(value: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (share := float(value)) <= 1:
            return share
    raise argparse.ArgumentTypeError(
        f"{value!r} found, expected a share of the requests above 0 and up to 1, as in 0.1"
    )


def _accept(registry: Registry, chosen: argparse.Namespace) -> Output:
    accepted = [operations.accept(registry, name) for name in dict.fromkeys(chosen.names)]
    return Output("\n".join(f"{each.name}: {each.detail}" for each in accepted), accepted)


def _where_created(registry: Registry) -> str:
    remote = registry.repository.remote()
    if remote:
        return f"created in {remote} first"
    return (
        "created in this clone only; `git config registry.remote origin` creates tags in origin first "
        "(docs/registry.md)"
    )


def _plain(value: Printed) -> JsonValue:
    if isinstance(value, Record):
        return value.as_json()
    if isinstance(value, Mapping):
        return {name: [record.as_json() for record in records] for name, records in value.items()}
    return [record.as_json() for record in value]


def _period(date: str) -> tuple[int, int]:
    """The first and the last second of a day, or twice that of a time; UTC where no zone is given."""
    try:
        moment = datetime.datetime.fromisoformat(date)
    except ValueError:
        raise ConfigurationError(
            f"{date}: expected a day or a time like 2026-11-24 or 2026-11-24T15:30, UTC where it names no zone"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    first = int(moment.timestamp())
    return first, first + _DAY - 1 if _is_day(date) else first


def _is_day(date: str) -> bool:
    try:
        datetime.date.fromisoformat(date)
    except ValueError:
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(prog="registry", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str,
        run: Callable[[Registry, argparse.Namespace], Output],
        description: str,
        *,
        fetches: Fetch = Fetch.IF_POSSIBLE,
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=description, description=description, allow_abbrev=False)
        added.add_argument("--json", action="store_true", help="print JSON")
        added.set_defaults(run=run, fetches=fetches, offline=False)
        if fetches in (Fetch.UNLESS_OFFLINE, Fetch.IF_POSSIBLE):
            offline = "do not ask the shared repository; use the tags that are here"
            added.add_argument("--offline", action="store_true", help=offline)
        return added

    register = add(
        "register", _register, "make the packaged model of HEAD a version, with its evidence", fetches=Fetch.ALWAYS
    )
    register.add_argument("name", metavar="NAME", help="an artifact of dvc.yaml, for instance strip-reader")
    register.add_argument("--bump", choices=numbering.BUMPS, default="minor", help="the part of the number to raise")
    add("list", _list, "list every version and the stages that point at it")
    show = add("show", _show, "show one version and everything that it records")
    show.add_argument("version", metavar="VERSION", help=VERSION)
    gate = add(
        "gate",
        _gate,
        "judge whether a version may enter a stage; change nothing",
        fetches=Fetch.UNLESS_OFFLINE,
    )
    promote = add(
        "promote", _promote, "point a stage at a version, if the version passes the gate", fetches=Fetch.ALWAYS
    )
    for added in (gate, promote):
        added.add_argument("version", metavar="VERSION", help=VERSION)
        added.add_argument("stage", metavar="STAGE", help=", ".join(STAGES))
    rollback = add(
        "rollback", _rollback, "return a stage to its former champion; twice goes two back", fetches=Fetch.ALWAYS
    )
    rollback.add_argument("name", metavar="NAME")
    rollback.add_argument("stage", metavar="STAGE", help=", ".join(STAGES))
    history = add("history", _history, "list every event, refusals included")
    history.add_argument("name", metavar="NAME", nargs="?")
    at = add("at", _at, "show what was in every stage on a day, or at a time")
    at.add_argument("date", metavar="DATE")
    verify = add("verify", _verify, "recompute every hash, signature and metric of one version, or of all")
    verify.add_argument("version", metavar="VERSION", nargs="?", help=VERSION)
    diff = add("diff", _diff, "show what differs between two versions")
    diff.add_argument("first", metavar="A", help=VERSION)
    diff.add_argument("second", metavar="B", help=VERSION)
    deploy = add(
        "deploy", _deploy, "write what is in a stage to a folder that can be served", fetches=Fetch.UNLESS_OFFLINE
    )
    deploy.add_argument("stage", metavar="STAGE", help=", ".join(STAGES))
    deploy.add_argument("--bento", type=Path, metavar="FILE", help="also build the service with these models")
    deploy.add_argument("--out", type=Path, metavar="FOLDER", help="deploy/STAGE by default")
    deploy.add_argument(
        "--unchecked", action="store_true", help="also deploy what was assigned by hand, without a decision"
    )
    released = add(
        "release",
        _release,
        "write what is in a stage to a folder that is small enough for git, for `make demo`",
        fetches=Fetch.UNLESS_OFFLINE,
    )
    released.add_argument("stage", metavar="STAGE", nargs="?", default=STAGES[-1], help="prod by default")
    released.add_argument("--out", type=Path, metavar="FOLDER", default=Path("release"), help="release by default")
    rolled = add(
        "rollout",
        _rollout,
        "bring a version to a running service: at once, beside the old one, or for a share of the requests",
    )
    rolled.add_argument("version", metavar="VERSION", nargs="?", help=VERSION)
    rolled.add_argument("--stage", metavar="STAGE", default=STAGES[-1], help="that the service serves; prod by default")
    rolled.add_argument(
        "--to", type=Path, metavar="FOLDER", help=f"of the service, its {ROLLOUT_VARIABLE}; deploy/STAGE.rollout"
    )
    how = rolled.add_mutually_exclusive_group()
    how.add_argument(
        "--shadow", type=_share, metavar="SHARE", nargs="?", const=1.0, help="compare beside; all requests by default"
    )
    how.add_argument("--canary", type=_share, metavar="SHARE", help="answer this share of the requests, as in 0.1")
    how.add_argument("--status", action="store_true", help="what is served, compared and decided; change nothing")
    how.add_argument("--abort", action="store_true", help="end the rollout in progress: the old version answers alone")
    how.add_argument("--record", action="store_true", help="record in the history what the service has decided")
    rolled.add_argument("--wait", action="store_true", help="wait until a shadow or a canary has ended")
    for name, field in Bounds.model_fields.items():
        option = f"--{name.replace('_', '-')}"
        rolled.add_argument(
            option, type=type(field.default), metavar="N", default=field.default, help=f"{field.default} by default"
        )
    accept = add(
        "accept",
        _accept,
        "accept that a tag vanished or was moved in the shared repository, and make it here what it is there",
        fetches=Fetch.NEVER,
    )
    accept.add_argument("names", metavar="TAG", nargs="+", help="the tag, or the object's id that a message names")
    return parser

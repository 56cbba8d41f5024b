"""`registry`: versions of the packaged models, promoted through dev, staging and prod on evidence; docs/registry.md."""

import argparse
import datetime
import enum
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.packaging import bento
from pipeline.project import command
from pipeline.registry import deployment, operations, text, verification
from pipeline.registry.history import STAGES, Event
from pipeline.registry.operations import Registry, moment

VERSION = "NAME@VERSION, NAME#STAGE, or NAME for its latest version"


class Fetch(enum.Enum):
    """When a command asks the shared repository first: whether `--offline` spares it, and whether it stops without."""

    ALWAYS = "it changes something, and stops where the shared repository cannot be reached"
    UNLESS_OFFLINE = "it decides something, and stops where the shared repository cannot be reached and must be"
    IF_IT_CAN = "it only tells, and goes on with what is known here"


def main(arguments: list[str] | None = None) -> None:
    """Run one command in the clone whose top folder is the current one, and exit with its code."""
    chosen = _parser().parse_args(arguments)
    with command.one_line_errors():
        told, value, code = chosen.run(_opened(chosen), chosen)
        print(json.dumps(value, indent=2, ensure_ascii=False) if chosen.json else told)
        sys.exit(code)


def _opened(chosen: argparse.Namespace) -> Registry:
    """The registry as the shared repository has it now; where it is as of the last fetch, standard error says so.

    Raises:
        RegistryError: the shared repository cannot be reached, and the command does more than tell.
    """
    why = "--offline"
    if not chosen.offline:
        try:
            return Registry.open(Path(), fetch=True)
        except RegistryError as error:
            if chosen.fetches is Fetch.ALWAYS:
                raise
            if chosen.fetches is Fetch.UNLESS_OFFLINE:
                raise RegistryError(f"{error}; `--offline` goes on with what is known here") from None
            why = str(error)
    registry = Registry.open(Path())
    if remote := registry.repository.remote():
        print(f"as of the last fetch from {remote} ({' '.join(why.split())})", file=sys.stderr)
    return registry


def _register(registry: Registry, chosen: argparse.Namespace) -> tuple[str, Any, int]:
    event = operations.register(registry, chosen.name, bump=chosen.bump)
    said = event.document
    kept = (
        f"its files are in the remote storage {said['remote']}"
        if said["remote"]
        else "no remote storage is configured, so its files are in this machine's cache only: see `dvc remote add -d`"
    )
    told = (
        f"{event.tag}: {said['strategy']}, {said['sha256'][:12]}, of {event.revision[:12]}\n{kept}\n{_shared(registry)}"
    )
    return told, _as_json(event), 0


def _list(registry: Registry, chosen: argparse.Namespace) -> tuple[str, Any, int]:
    journal = registry.journal
    value = [
        {
            **_as_json(event, evidence=False),
            "stages": journal.stages_of(event.artifact, event.version),
            "withdrawn": journal.withdrawal(event.artifact, event.version) is not None,
            **{key: event.document.get(key) for key in ("strategy", "sha256", "origin")},
        }
        for event in journal.listed()
    ]
    return text.listed(journal), value, 0


def _show(registry: Registry, chosen: argparse.Namespace) -> tuple[str, Any, int]:
    _, event = registry.find(chosen.version)
    stages = registry.journal.stages_of(event.artifact, event.version)
    return text.shown(event, stages), {**_as_json(event), "stages": stages}, 0


def _gate(registry: Registry, chosen: argparse.Namespace) -> tuple[str, Any, int]:
    artifact, event = registry.find(chosen.version)
    if chosen.stage == STAGES[0]:
        raise RegistryError(f"{chosen.stage} has no gate; expected one of {', '.join(STAGES[1:])}")
    decision = operations.judge(registry, artifact, event, operations.known_stage(chosen.stage))
    return text.decided(decision), decision.as_dict(), 0 if decision.passed else RegistryError.exit_code


def _promote(registry: Registry, chosen: argparse.Namespace) -> tuple[str, Any, int]:
    event, decision = operations.promote(registry, chosen.version, chosen.stage)
    replaced = f", where {event.document['replaces']} was" if event.document["replaces"] else ""
    told = f"{event.tag}: {event.artifact}@{event.version} is in {event.stage}{replaced}\n{_shared(registry)}"
    return (f"{text.decided(decision)}\n{told}" if decision else told), _as_json(event), 0


def _rollback(registry: Registry, chosen: argparse.Namespace) -> tuple[str, Any, int]:
    event = operations.rollback(registry, chosen.name, chosen.stage)
    said = event.document
    told = (
        f"{event.tag}: {event.artifact}@{event.version} is in {event.stage} again\n"
        f"undone: {said['undid']['tag']}, by which {said['undid']['who']} put {said['replaces']} there at "
        f"{moment(said['undid']['time'])} UTC\n{_shared(registry)}"
    )
    return told, _as_json(event), 0


def _history(registry: Registry, chosen: argparse.Namespace) -> tuple[str, Any, int]:
    if chosen.name is not None:
        _ = registry.artifacts[chosen.name]
    events = [event for event in registry.journal.events if chosen.name in (None, event.artifact)]
    return text.happened(events), [_as_json(event) for event in reversed(events)], 0


def _at(registry: Registry, chosen: argparse.Namespace) -> tuple[str, Any, int]:
    first, last = _moments(chosen.date)
    journal = registry.journal
    places = {name: {stage: journal.in_stage(name, stage, last) for stage in STAGES} for name in registry.artifacts}
    during = [event for event in journal.events if first <= event.time <= last and event.stage]
    told = f"at {moment(last)} UTC\n{text.placed(places)}"
    if first < last and during:
        told += f"\n\nthat day\n{text.happened(during)}"
    return told, {"at": moment(last), "stages": places, "events": [_as_json(event) for event in during]}, 0


def _verify(registry: Registry, chosen: argparse.Namespace) -> tuple[str, Any, int]:
    if chosen.version:
        versions = [registry.find(chosen.version)[1]]
    else:
        versions = [event for name in registry.artifacts for event in registry.journal.versions(name)]
    told, value, failed = [], {}, 0
    for event in versions:
        findings = verification.verify(registry.repository, registry.artifacts[event.artifact], event)
        name = f"{event.artifact}@{event.version}"
        told.append(text.found(name, findings))
        value[name] = [asdict(finding) for finding in findings]
        failed += sum(not finding.holds for finding in findings)
    summary = f"{len(versions)} version{'' if len(versions) == 1 else 's'} verified, " + (
        f"{failed} FAILED" if failed else "everything holds"
    )
    return "\n\n".join([*told, summary]), value, RegistryError.exit_code if failed else 0


def _diff(registry: Registry, chosen: argparse.Namespace) -> tuple[str, Any, int]:
    (artifact, first), (other, second) = (registry.find(each) for each in (chosen.first, chosen.second))
    if artifact != other:
        raise RegistryError(f"{artifact.name} and {other.name} are not one artifact; expected two versions of one")
    for event in (first, second):
        event.evidence("metrics")
    difference = text.differences(first, second)
    return text.compared(difference), difference, 0


def _deploy(registry: Registry, chosen: argparse.Namespace) -> tuple[str, Any, int]:
    out = chosen.out or Path("deploy") / chosen.stage
    if chosen.bento is not None and chosen.bento.is_dir():
        raise ConfigurationError(f"{chosen.bento}: a folder; expected the name of a file to write the bento to")
    deployed = deployment.deploy(registry, chosen.stage, out)
    told = [f"{out}/{registry.artifacts[name].task}: {name}@{deployed[name]}" for name in deployed]
    deprecated = {name: by.tag for name in registry.artifacts if (by := registry.journal.deprecation(name)) is not None}
    told += [f"{name}: left out, since it is deprecated by {deprecated[name]}" for name in deprecated]
    value = {"out": str(out), "versions": deployed, "deprecated": deprecated}
    if chosen.bento is not None:
        value["bento"] = bento.build_deployed(registry.root / "bentofile.yaml", out, chosen.bento)
        told.append(f"{chosen.bento}: {value['bento']}")
    return "\n".join(told), value, 0


def _shared(registry: Registry) -> str:
    remote = registry.repository.remote()
    if remote:
        return f"made in {remote} first"
    return "made in this clone only; `git config registry.remote origin` makes tags in origin first (docs/registry.md)"


def _as_json(event: Event, *, evidence: bool = True) -> dict[str, Any]:
    value = {**asdict(event), "time": moment(event.time).replace(" ", "T") + "Z"}
    document = value.pop("document")
    return {**value, "evidence": document} if evidence else value


def _moments(date: str) -> tuple[int, int]:
    """The first and the last second that a date names: of a day, or of a time, which is UTC where it says no zone."""
    try:
        moment = datetime.datetime.fromisoformat(date)
    except ValueError:
        raise ConfigurationError(
            f"{date}: expected a day or a time like 2026-11-24 or 2026-11-24T15:30, UTC where it says no zone"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    first = int(moment.timestamp())
    whole_day = re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", date)
    return first, first + 24 * 60 * 60 - 1 if whole_day else first


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="registry", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, run: Any, told: str, *, fetches: Fetch = Fetch.IF_IT_CAN) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=told, description=told, allow_abbrev=False)
        added.add_argument("--json", action="store_true", help="print JSON")
        added.set_defaults(run=run, fetches=fetches, offline=False)
        if fetches is not Fetch.ALWAYS:
            told = "do not ask the shared repository, and go on with what is known here"
            added.add_argument("--offline", action="store_true", help=told)
        return added

    told = "make the packaged model of HEAD a version, with its evidence"
    register = add("register", _register, told, fetches=Fetch.ALWAYS)
    register.add_argument("name", metavar="NAME", help="an artifact of dvc.yaml, as strip-reader")
    register.add_argument("--bump", choices=operations.BUMPS, default="minor", help="the part of the number to raise")
    add("list", _list, "every version, and the stages that point at it")
    add("show", _show, "one version and everything it records").add_argument("version", metavar="VERSION", help=VERSION)
    for name, run, told, fetches in (
        ("gate", _gate, "whether a version would get into a stage; changes nothing", Fetch.UNLESS_OFFLINE),
        ("promote", _promote, "point a stage at a version, if it passes the gate", Fetch.ALWAYS),
    ):
        added = add(name, run, told, fetches=fetches)
        added.add_argument("version", metavar="VERSION", help=VERSION)
        added.add_argument("stage", metavar="STAGE", help=", ".join(STAGES))
    told = "point a stage at the champion before; twice goes two back"
    rollback = add("rollback", _rollback, told, fetches=Fetch.ALWAYS)
    rollback.add_argument("name", metavar="NAME")
    rollback.add_argument("stage", metavar="STAGE", help=", ".join(STAGES))
    add("history", _history, "what happened, refusals too").add_argument("name", metavar="NAME", nargs="?")
    add("at", _at, "what was in every stage on a day, or at a time").add_argument("date", metavar="DATE")
    verify = add("verify", _verify, "recompute every hash, signature and metric of a version, or of all")
    verify.add_argument("version", metavar="VERSION", nargs="?", help=VERSION)
    diff = add("diff", _diff, "what differs between two versions")
    diff.add_argument("first", metavar="A", help=VERSION)
    diff.add_argument("second", metavar="B", help=VERSION)
    told = "write what is in a stage to a folder that the service can serve"
    deploy = add("deploy", _deploy, told, fetches=Fetch.UNLESS_OFFLINE)
    deploy.add_argument("stage", metavar="STAGE", help=", ".join(STAGES))
    deploy.add_argument("--bento", type=Path, metavar="FILE", help="build the service with these models, too")
    deploy.add_argument("--out", type=Path, metavar="FOLDER", help="deploy/STAGE where it is not said")
    return parser

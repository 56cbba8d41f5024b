"""What the registry says to people: plain tables of versions, events, decisions and differences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.registry import evidence
from pipeline.registry.gates import Decision
from pipeline.registry.history import STAGES, Event, Journal
from pipeline.registry.operations import moment
from pipeline.registry.verification import Finding


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces apart, the header first."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def listed(journal: Journal) -> str:
    """Every version of every artifact, the latest first, and which artifacts are left out since they are deprecated."""
    rows = [
        (
            event.artifact,
            event.version,
            (", ".join(journal.stages_of(event.artifact, event.version)) or "-")
            + (" (withdrawn)" if journal.withdrawal(event.artifact, event.version) else ""),
            event.document.get("strategy", "no evidence"),
            event.document.get("sha256", "-")[:12],
            event.document.get("origin", "-"),
            _accuracy(event),
            moment(event.time),
        )
        for event in journal.listed()
    ]
    header = ("artifact", "version", "stage", "strategy", "sha256", "origin", "gate", "registered (UTC)")
    told = [table(header, rows)] if rows else []
    told += [
        f"{name}: deprecated by {by.tag}, left out as `gto show` does; `registry history {name}` tells of it"
        for name in journal.artifacts
        if (by := journal.deprecation(name)) is not None
    ]
    return "\n".join(told) or (
        "no version is registered; `registry register NAME` makes the packaged model of NAME the first"
    )


def shown(event: Event, stages: Sequence[str]) -> str:
    """One version and what it records."""
    said = event.document
    lines = [
        ("version", f"{event.artifact}@{event.version}"),
        ("in", ", ".join(stages) or "no stage"),
        ("registered", f"{moment(event.time)} UTC by {event.who}"),
        ("revision", event.revision),
    ]
    if set(evidence.NEEDED) - set(said):
        return _pairs([*lines, ("evidence", "none: made by another command than `registry register`, or half-written")])
    lines += [
        ("model", f"{said['strategy']} for {said['task']}, {said['parameters']:,} parameters, {said['bytes']:,} bytes"),
        ("sha256", said["sha256"]),
        ("md5", said["md5"]),
        ("origin", f"{said['origin']}; pretrained weights: {said['pretrained'].replace('_', ' ')}"),
        ("trained on", said["trained_on"]),
        ("seed, budget", f"{said['params']['seed']}, {said['params']['budget']}"),
        ("remote storage", said.get("remote") or "none: its files are in this machine's cache only"),
        ("signed", "yes" if said.get("signed") else "no"),
        ("inputs", _values(said["signature"]["inputs"])),
        ("outputs", _values(said["signature"]["outputs"])),
        ("classes", ", ".join(said["signature"]["class_names"])),
        (
            "environment",
            ", ".join(f"{name} {value}" for name, value in said["environment"].items() if "lock" not in name),
        ),
    ]
    scores = [
        (
            suite,
            split,
            f"{values['n']:,}",
            f"{values['sequence_accuracy']:.4f}",
            f"{values['ci_low']:.4f} to {values['ci_high']:.4f}",
            f"{values['ece']:.4f}",
        )
        for suite, splits in said["metrics"].items()
        for split, values in splits.items()
    ]
    return _pairs(lines) + "\n\n" + table(("suite", "split", "n", "read whole", "95 % interval", "ece"), scores)


def decided(decision: Decision) -> str:
    """A decision, check by check."""
    against = f"against {decision.champion}" if decision.champion else "into an empty stage"
    rows = [
        ("passed" if check.passed else "FAILED", check.name, check.found, check.expected) for check in decision.checks
    ]
    verdict = "passes" if decision.passed else "does NOT pass"
    return "\n".join(
        [
            f"{decision.artifact}@{decision.version} for {decision.stage}, {against}",
            "",
            table(("", "check", "found", "expected"), rows),
            "",
            *decision.notes,
            f"{decision.artifact}@{decision.version} {verdict} the gate of {decision.stage}",
        ]
    )


def happened(events: Sequence[Event]) -> str:
    """Events, the latest first."""
    if not events:
        return "nothing has happened"
    rows = [
        (
            moment(event.time),
            event.artifact,
            event.kind,
            event.version or "-",
            event.stage or "-",
            event.who,
            _why(event),
        )
        for event in reversed(events)
    ]
    return table(("time (UTC)", "artifact", "event", "version", "stage", "who", "why"), rows)


def placed(places: Mapping[str, Mapping[str, str | None]]) -> str:
    """By artifact, the version in each stage."""
    rows = [(name, *(there[stage] or "-" for stage in STAGES)) for name, there in places.items()]
    return table(("artifact", *STAGES), rows)


def found(name: str, findings: Sequence[Finding]) -> str:
    """What a verification found."""
    rows = [("holds" if finding.holds else "FAILED", finding.what, finding.detail) for finding in findings]
    return f"{name}\n{table(('', 'what', 'detail'), rows)}"


def differences(first: Event, second: Event) -> dict[str, Any]:
    """What differs between the evidence of two versions of one artifact.

    Returns:
        `metrics`: by suite and split the share read whole of both and the difference; `rest`: every other value that
        differs, by its path, as a pair. What always differs, the revision and the hashes of files, is part of it.
    """
    metrics, rest = {}, {}
    for suite in {**first.document.get("metrics", {}), **second.document.get("metrics", {})}:
        for split in ("gate", "test"):
            here, there = (
                event.document["metrics"].get(suite, {}).get(split, {}).get("sequence_accuracy")
                for event in (first, second)
            )
            change = None if None in (here, there) else round(there - here, 6)
            metrics[f"{suite} {split}"] = {"first": here, "second": there, "difference": change}
    ours, theirs = (dict(_flat(event.document)) for event in (first, second))
    for key in sorted({**ours, **theirs}):
        if not key.startswith(("metrics.", "coverage.", "version", "signed")) and ours.get(key) != theirs.get(key):
            rest[key] = [ours.get(key), theirs.get(key)]
    return {"first": first.version, "second": second.version, "metrics": metrics, "rest": rest}


def compared(difference: Mapping[str, Any]) -> str:
    """The differences of two versions."""
    first, second = difference["first"], difference["second"]
    scores = [
        (name, _share(pair["first"]), _share(pair["second"]), _share(pair["difference"], "+.4f"))
        for name, pair in difference["metrics"].items()
    ]
    # Other readings follow from another model, and their hashes tell a person nothing.
    rest = [
        (key, _short(here), _short(there))
        for key, (here, there) in difference["rest"].items()
        if not key.startswith("files.predictions/")
    ]
    told = table(("read whole", first, second, "difference"), scores)
    return told + "\n\n" + (table(("value", first, second), rest) if rest else "nothing else differs")


def _why(event: Event) -> str:
    said, untold = event.document, "not by `registry`"
    if event.kind == "version":
        whole = not set(evidence.NEEDED) - set(said)
        return f"{said['strategy']}, {said['sha256'][:12]}" if whole else "no evidence"
    if event.kind == "rollback":
        return f"undid {said['undid']['tag']}, {said['replaces']}" if "undid" in said else untold
    if event.kind == "refusal":
        failed = [check["name"] for check in said.get("decision", {}).get("checks", ()) if not check["passed"]]
        return f"failed: {', '.join(failed)}"
    if event.kind == "promotion" and "replaces" in said:
        return f"replaces {said['replaces']}" if said["replaces"] else "into an empty stage"
    return untold


def _accuracy(event: Event) -> str:
    shares = [splits["gate"]["sequence_accuracy"] for splits in event.document.get("metrics", {}).values()]
    return f"{sum(shares) / len(shares):.4f}" if shares else "-"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _values(values: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{value['name']} {value['type'].removeprefix('tensor(').removesuffix(')')} "
        f"({', '.join(str(side) for side in value['shape'])})"
        for value in values
    )


def _pairs(lines: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in lines)


def _share(value: float | None, how: str = ".4f") -> str:
    return "-" if value is None else format(value, how)


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

"""The registry's text output: plain tables of versions, events, decisions, verifications and differences."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from pipeline.events.history import Event, format_time
from pipeline.project.terminal import printable
from pipeline.records.registry import (
    STAGES,
    Decision,
    Evidence,
    ListedVersion,
    Promotion,
    Refusal,
    Rollback,
    RolloutRecord,
    Tensor,
    VerificationResult,
    VersionDifference,
)
from pipeline.records.release import Release
from pipeline.records.rollout import Outcome, Placed, RolloutReport, Tally

WIDEST = 40
"""Characters of a value in a table of differences; longer values are cut."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces apart, below a header; a line break in a cell is escaped."""
    lines = [[printable(cell) for cell in line] for line in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def render_versions(versions: Sequence[ListedVersion], deprecated: Mapping[str, str]) -> str:
    """Every version, the latest of each artifact first.

    Args:
        versions: the versions.
        deprecated: by artifact that is left out, the tag that deprecated it.
    """
    rows = [
        (
            version.artifact,
            version.version,
            (", ".join(_stage(version, stage) for stage in version.stages) or "-")
            + (" (withdrawn)" if version.withdrawn else ""),
            version.strategy or "no evidence",
            (version.sha256 or "-")[:12],
            version.origin or "-",
            _share(version.gate_accuracy),
            version.time.replace("T", " ").removesuffix("Z"),
        )
        for version in versions
    ]
    header = ("artifact", "version", "stage", "strategy", "sha256", "origin", "gate", "registered (UTC)")
    lines = [table(header, rows)] if rows else []
    lines += [
        f"{name}: deprecated by {tag}, left out as `gto show` does; `registry history {name}` shows the event"
        for name, tag in deprecated.items()
    ]
    return "\n".join(lines) or (
        "no version is registered; `registry register NAME` makes the packaged model of NAME the first"
    )


def render_version(event: Event, stages: Sequence[str]) -> str:
    """One version and its evidence."""
    lines = [
        ("version", event.name),
        ("in", ", ".join(stages) or "no stage"),
        ("registered", f"{format_time(event.time)} UTC by {event.who}"),
        ("revision", event.revision),
    ]
    evidence = event.document
    if not isinstance(evidence, Evidence):
        reason = event.problem or "none"
        return _pairs([*lines, ("evidence", f"none that is valid: {reason}")])
    environment = [f"{name} {value}" for name, value in evidence.environment.items() if "lock" not in name]
    lines += [
        (
            "model",
            f"{evidence.strategy} for {evidence.task}, {evidence.parameters:,} parameters, {evidence.bytes:,} bytes",
        ),
        ("sha256", evidence.sha256),
        ("md5", evidence.md5),
        ("origin", f"{evidence.origin}; pretrained weights: {evidence.pretrained.replace('_', ' ')}"),
        ("trained on", evidence.trained_on),
        ("seed, budget", f"{evidence.params.get('seed')}, {evidence.params.get('budget')}"),
        ("remote storage", evidence.remote or "none: its files are in this machine's cache only"),
        ("signed", "yes" if evidence.signature else "no"),
        ("inputs", _tensors(evidence.interface.inputs)),
        ("outputs", _tensors(evidence.interface.outputs)),
        ("classes", ", ".join(evidence.interface.class_names)),
        ("environment", ", ".join(environment)),
    ]
    scores = [
        (
            suite,
            split,
            f"{measures.n:,}",
            f"{measures.sequence_accuracy:.4f}",
            f"{measures.ci_low:.4f} to {measures.ci_high:.4f}",
            f"{measures.ece:.4f}",
        )
        for suite, splits in evidence.metrics.items()
        for split, measures in (("gate", splits.gate), ("test", splits.test))
    ]
    if (shift := evidence.shift) is not None:
        wrong = f"accepted and wrong {shift.accepted_wrong:.4f}, {shift.worst:.4f} at worst ({shift.worst_on})"
        lines.append(("corrupted", f"accuracy {shift.accuracy:.4f}, {wrong}"))
    header = ("suite", "split", "n", "sequence accuracy", "95 % interval", "ece")
    return _pairs(lines) + "\n\n" + table(header, scores)


def render_decision(decision: Decision) -> str:
    """A decision, criterion by criterion."""
    against = f"against {decision.champion}" if decision.champion else "into an empty stage"
    rows = [
        ("passed" if criterion.passed else "FAILED", criterion.name, criterion.found, criterion.expected)
        for criterion in decision.criteria
    ]
    verdict = "passes" if decision.passed else "does NOT pass"
    return "\n".join(
        [
            f"{decision.artifact}@{decision.version} for {decision.stage}, {against}",
            "",
            table(("", "criterion", "found", "expected"), rows),
            "",
            *decision.notes,
            f"{decision.artifact}@{decision.version} {verdict} the gate of {decision.stage}",
        ]
    )


def render_events(events: Sequence[Event], unchecked: Mapping[str, str]) -> str:
    """Events, the latest first.

    Args:
        events: oldest first.
        unchecked: by tag of a promotion or rollback that does not count, why.
    """
    if not events:
        return "no events"
    rows = [
        (
            format_time(event.time),
            event.artifact,
            event.kind,
            event.version or "-",
            event.stage or "-",
            event.who,
            f"UNCHECKED: {unchecked[event.tag]}" if event.tag in unchecked else detail(event),
        )
        for event in reversed(events)
    ]
    return table(("time (UTC)", "artifact", "event", "version", "stage", "who", "detail"), rows)


def render_stages(stages: Mapping[str, Mapping[str, str | None]]) -> str:
    """By artifact, the version in each stage."""
    rows = [(name, *(versions[stage] or "-" for stage in STAGES)) for name, versions in stages.items()]
    return table(("artifact", *STAGES), rows)


def render_results(name: str, results: Sequence[VerificationResult]) -> str:
    """The results of a verification.

    Args:
        name: of the version.
        results: what was compared.
    """
    rows = [("holds" if result.holds else "FAILED", result.subject, result.detail) for result in results]
    return f"{name}\n{table(('', 'subject', 'detail'), rows)}"


def render_difference(difference: VersionDifference) -> str:
    """How two versions differ."""
    first, second = difference.first, difference.second
    scores = [
        (name, _share(metric.first), _share(metric.second), _share(metric.difference, "+.4f"))
        for name, metric in difference.metrics.items()
    ]
    # Another model gives other readings. A hash of each file of readings adds nothing.
    other = [
        (key, _short(ours), _short(theirs))
        for key, (ours, theirs) in difference.other.items()
        if not key.startswith("files.predictions/")
    ]
    rendered = table(("sequence accuracy", first, second, "difference"), scores)
    return rendered + "\n\n" + (table(("value", first, second), other) if other else "nothing else differs")


def render_rollouts(report: RolloutReport, folder: str) -> str:
    """What a service serves beside what is packaged, its workers, and the rollout in progress or the last ones.

    Args:
        report: of the service.
        folder: of its rollouts.
    """
    lines = [f"{folder}: {len(report.workers)} workers, revision {report.state.revision}"]
    lines += [
        f"worker {worker.pid}: revision {worker.revision}, "
        + ", ".join(f"{task} {sha256[:12]}" for task, sha256 in worker.models.items())
        + (f", PROBLEM: {worker.problem}" if worker.problem else "")
        for worker in report.workers
    ]
    lines += [
        f"{task}: {_placed(each.model)} in place of what is packaged" for task, each in report.state.models.items()
    ]
    if (rollout := report.state.rollout) is not None:
        share = "" if rollout.mode == "swap" else f" of {rollout.share:.0%} of the requests"
        phase = "running" if rollout.running else "loading"
        lines.append(f"{rollout.mode} of {_placed(rollout.candidate)}{share}: {phase}, {report.compared:,} compared")
        lines.append(_tallies(report.tallies))
    rows = [
        (
            format_time(int(outcome.ended)),
            outcome.rollout.mode,
            _placed(outcome.rollout.candidate),
            outcome.result,
            outcome.reason,
        )
        for outcome in report.outcomes
    ]
    lines.append(table(("ended (UTC)", "rollout", "candidate", "result", "reason"), rows) if rows else "no rollouts")
    return "\n".join(line for line in lines if line)


def render_outcome(outcome: Outcome) -> str:
    """How a rollout ended, and the evidence."""
    head = f"{outcome.rollout.mode} of {_placed(outcome.rollout.candidate)}: {outcome.result}: {outcome.reason}"
    return "\n".join(line for line in (head, _tallies(outcome.tallies)) if line)


def _placed(placed: Placed) -> str:
    name = f"{placed.artifact}@{placed.version}" if placed.artifact else placed.task
    return f"{name} ({placed.sha256[:12]})"


def _tallies(tallies: Sequence[Tally]) -> str:
    rows = [
        (
            each.name,
            f"{each.n:,}",
            f"{each.mean:.4f}",
            f"{each.tolerance:g}",
            f"{each.against:.3g}",
            f"{each.within:.3g}",
        )
        for each in tallies
    ]
    return table(("criterion", "n", "mean", "tolerated", "e-value against", "e-value within"), rows) if rows else ""


def detail(event: Event) -> str:
    """What happened in an event, in a few words."""
    match event.document:
        case Evidence(strategy=strategy, sha256=sha256):
            return f"{strategy}, {sha256[:12]}"
        case Rollback(undone=undone, replaces=replaces):
            return f"undid {undone.tag}, {replaces}"
        case Refusal(decision=decision):
            return f"failed: {', '.join(criterion.name for criterion in decision.failed)}"
        case RolloutRecord(outcome=outcome):
            compared = f", {outcome.compared:,} compared" if outcome.compared else ""
            return f"{outcome.rollout.mode}: {outcome.result}{compared}: {outcome.reason}"
        case Promotion(replaces=replaces):
            return f"replaces {replaces}" if replaces else "into an empty stage"
    return "no evidence" if event.kind == "version" else "not by `registry`"


def _tensors(tensors: Sequence[Tensor]) -> str:
    return ", ".join(
        f"{tensor.name} {tensor.type.removeprefix('tensor(').removesuffix(')')} "
        f"({', '.join(str(side) for side in tensor.shape)})"
        for tensor in tensors
    )


def _stage(version: ListedVersion, stage: str) -> str:
    return f"{stage} (unchecked)" if stage in version.unchecked else stage


def _pairs(lines: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in lines)


def _share(value: float | None, format_spec: str = ".4f") -> str:
    return "-" if value is None else format(value, format_spec)


def _short(value: JsonValue) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def render_release(release: Release, out: str) -> str:
    """What a release has and what it leaves out, and what to do next.

    Args:
        release: the release.
        out: its folder.
    """
    rows, left_out = [], []
    for task, each in release.tasks.items():
        listed = {f"{each.artifact}@{each.version}, {each.model.strategy}": each.model, **each.strategies}
        for name, model in listed.items():
            before, after = model.accuracies
            sizes = (f"{size / 1e6:.2f}" for size in (model.released.bytes, model.original.bytes))
            rows.append((task, name, model.weights, *sizes, f"{100 * after:.2f}", f"{100 * before:.2f}"))
        left_out += [f"{task}: {name} is left out: {reason}" for name, reason in each.left_out.items()]
    header = ("task", "model", "weights", "MB", "before", "% on valid", "before")
    return "\n".join([table(header, rows), *left_out, f"{out}: `git add {out}` and commit it; `make demo` serves it"])

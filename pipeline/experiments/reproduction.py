"""One run of the whole pipeline in the workspace."""

import csv
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.config import params
from pipeline.config.sections import FEATURES_FOLDER, PUBLIC
from pipeline.experiments import keeping, lanes, preflight, staleness
from pipeline.experiments.estimates import Estimates
from pipeline.project import dvc, workspace
from pipeline.project.progress import Progress
from pipeline.records.comparison import Candidate
from pipeline.records.features import FeaturesRecord
from pipeline.remote import weights
from pipeline.remote.downloads import Unreachable

LOGS = Path("reports/logs")
"""The log of every stage of the last runs in the workspace."""


def reproduce(settings: params.Params, jobs: int = 1) -> None:
    """Run what is stale, in the workspace. First fetch again the sources for which DVC cannot see a change.

    Raises:
        ConfigurationError: the result could not be kept; nothing ran.
        DataError: the result was not kept.
        Stopped: a stage or DVC failed.
    """
    preflight.expect_reproduction()
    estimates = Estimates.load(LOGS)
    progress = Progress(LOGS, sys.stdout, estimates.left)
    if again := [*(f"fetch@{name}" for name in _unsettled(settings)), *_without_weights(settings)]:
        progress.expect(again)
        dvc.follow("make repro", progress, "repro", "--force", "--single-item", *again)
    pending = staleness.examine().pending
    progress.expect(pending)
    if jobs > 1:
        lanes.run("make repro", progress, staleness.dependencies(pending), jobs)
    # With lanes, too: what DVC itself finds stale decides.
    dvc.follow("make repro", progress, "repro")
    estimates.save(LOGS, progress.ran)
    keeping.expect_kept("make repro", keeping.recorded(), staleness.upstream(""))
    _warn_of_the_stand_in(settings)
    print(f"{progress.summary()}. Logs: {LOGS}\n")
    print(results(settings, lambda path: Path(path).read_text(encoding="utf-8")))
    print("The report: reports/report.html. Serve the models: make serve")


def fetch(settings: params.Params, sources: Sequence[str]) -> None:
    """Fetch what was not fetched, or has to be again; what a remote has is not missing.

    Args:
        settings: of params.yaml.
        sources: the stages that fetch.

    Raises:
        Stopped: a stage or DVC failed.
    """
    progress = Progress(LOGS, sys.stdout)
    if again := [f"fetch@{name}" for name in _unsettled(settings)]:
        dvc.follow("make repro", progress, "repro", "--force", "--single-item", *again)
    dvc.follow("make repro", progress, "repro", "--allow-missing", "--single-item", *sources)


def _unsettled(settings: params.Params) -> list[str]:
    """Sources that `fetch` has to read again though none of its dependencies changed.

    The real data replaces the stand-in as soon as it is available, and DVC does not see a folder outside the project.
    """
    return [
        name for name in settings.sources if workspace.origin(name) == "embedded" or settings.origin_of(name) != PUBLIC
    ]


def _without_weights(settings: params.Params) -> list[str]:
    """Stages of features made of random weights though ImageNet's were asked for, which a mirror holds now."""
    stages = []
    for name, entry in settings.features.items():
        record = Path(FEATURES_FOLDER) / name / "features.json"
        if not record.exists() or FeaturesRecord.read(record).pretrained != "missing":
            continue
        try:
            weights.mirrored(entry.network)
        except Unreachable:
            continue
        stages.append(f"features@{name}")
    return stages


def _warn_of_the_stand_in(settings: params.Params) -> None:
    """Say on standard error which sources are the stand-in: the warning of the stage itself is in its log."""
    embedded = [name for name in settings.sources if workspace.origin(name) == "embedded"]
    if embedded:
        print(
            f"EMBEDDED STAND-IN: {' and '.join(embedded)} could not be reached, so the results are those of a few "
            "small pictures and say nothing about the real data. With a network, or with "
            f"{workspace.MIRROR_VARIABLE} set, the next run takes the real data.",
            file=sys.stderr,
        )


def results(settings: params.Params, read: Callable[[str], str]) -> str:
    """One line per task: its candidate, and the sequence accuracy of the candidate.

    Args:
        settings: of params.yaml.
        read: returns the content of a file of the run.
    """
    lines = []
    for task in settings.reported:
        if not settings.strategies_of(task):
            continue
        path = f"metrics/candidates/{task}.json"
        best = Candidate.parse(read(path), path).best
        if best is None:
            lines.append(f"{task}: no strategy can be deployed")
            continue
        origin = " (EMBEDDED STAND-IN)" if best.origin == "embedded" else ""
        valid = f"{100 * best.valid_sequence_accuracy:.2f} % on valid"
        rows = csv.DictReader(io.StringIO(read(f"metrics/leaderboard/{task}.csv")))
        test = [
            f"{row['suite']} {100 * float(row['sequence_accuracy']):.2f} %"
            for row in rows
            if row["strategy"] == best.strategy and row["split"] == "test"
        ]
        lines.append(f"{task}: {best.strategy}, sequence accuracy {valid}; on test {', '.join(test)}{origin}")
    return "\n".join(lines)

"""`make report`: the page of the stage `report` with what is known only at the moment. No DVC stage."""

import platform
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from pipeline.core.errors import RegistryError
from pipeline.core.files import digest, write_text
from pipeline.events.history import format_time
from pipeline.events.repository import Repository
from pipeline.experiments import machine
from pipeline.project import command, git
from pipeline.records.comparison import Candidate
from pipeline.records.evaluation import Evaluation
from pipeline.records.registry import STAGES, Evidence
from pipeline.registry.artifacts import Artifact
from pipeline.registry.operations import Registry
from pipeline.reports import facts
from pipeline.reports.report import PACKAGES

PAGE = Path("reports/report.html")
OUT = Path("reports/explorer.html")
LEADERBOARD = Path("metrics/leaderboard.csv")
_CPU = Path("/proc/cpuinfo")


def main() -> None:
    """Write reports/explorer.html: the page with commit, machine, changes of the leaderboard, and champions."""
    page = facts.read_page(PAGE)
    registry = Registry.open(Path())
    base, changes = _changes(registry.repository)
    rivals = [rival for artifact in registry.artifacts.values() for rival in _rivals(registry, artifact)]
    found = facts.Facts(
        rows=_rows(registry.repository),
        base=base,
        changes=changes,
        rivals=rivals,
        no_rivals=None if rivals else "No stage of the registry holds a version.",
        missing_docs=_missing_docs(),
    )
    write_text(OUT, facts.insert(page, found))
    print(OUT)


def _rows(repository: Repository) -> dict[str, str]:
    changed = repository.changed()
    state = f", and {len(changed)} changed files" if changed else ""
    commit = git.output("log", "-1", "--format=%h of %cs: %s", folder=repository.root)
    processor = "; ".join(check.message for check in machine.processor())
    installed = {name: version for name in PACKAGES if (version := _installed(name)) is not None}
    return {
        "commit": commit + state,
        "written": f"{format_time(int(time.time()))} UTC",
        "dvc.lock": f"SHA-256 {digest(Path('dvc.lock'))[:16]}",
        "machine": f"{platform.system()} {platform.machine()}, {_cpu()}; {processor}",
        "python": platform.python_version(),
        "installed": ", ".join(f"{name} {version}" for name, version in installed.items()),
    }


def _changes(repository: Repository) -> tuple[str | None, list[facts.Change]]:
    """What the leaderboard is compared with, in words, and how it differs.

    That is the committed leaderboard; where the workspace has the same, the one before in the history.
    """
    now = LEADERBOARD.read_text(encoding="utf-8")
    log = git.output("log", "-2", "--format=%H %cs", "--", str(LEADERBOARD), folder=repository.root)
    for line in log.splitlines():
        revision, _, day = line.partition(" ")
        try:
            before = repository.text(revision, str(LEADERBOARD))
        except RegistryError:
            # The commit that removed it.
            continue
        if before != now:
            return f"commit {revision[:7]} of {day}", facts.changes(before, now)
    return None, []


def _rivals(registry: Registry, artifact: Artifact) -> Iterator[facts.Rival]:
    """The champion of an artifact in the last stage that has one, and the candidate of its task, suite by suite."""
    history = registry.history
    placed = [(stage, version) for stage in reversed(STAGES) if (version := history.in_stage(artifact.name, stage))]
    path = Path(f"metrics/candidates/{artifact.task}.json")
    if not placed or not path.is_file():
        return
    stage, version = placed[0]
    event = history.version(artifact.name, version, withdrawn=True)
    champion = f"{event.name} in {stage}"
    best = Candidate.read(path).best
    evaluation = None if best is None else Evaluation.read(Path(artifact.evaluation(best.strategy)))
    evidence = event.document
    if not isinstance(evidence, Evidence):
        yield facts.Rival(f"{champion}: {event.problem}", "", None, best.strategy if best else None, None, same=False)
        return
    suites = dict.fromkeys([*evidence.metrics, *(evaluation.suites if evaluation else ())])
    for suite in suites:
        measured = evidence.metrics.get(suite)
        splits = evaluation.suites.get(suite) if evaluation else None
        yield facts.Rival(
            champion=champion,
            suite=suite,
            before=None if measured is None else measured.gate.sequence_accuracy,
            candidate=None if best is None else best.strategy,
            after=None if splits is None else splits["gate"].sequence_accuracy,
            same=evaluation is not None and evaluation.sha256 == evidence.sha256,
        )


def _missing_docs() -> list[str]:
    """The data sets with a validation report whose pages are not here."""
    reports = sorted(Path("reports/validation").glob("*/*.json"))
    return [report.stem for report in reports if not Path(f"reports/data_docs/{report.stem}/index.html").is_file()]


def _cpu() -> str:
    names = [line.partition(":")[2].strip() for line in _lines(_CPU) if line.startswith("model name")]
    return names[0] if names else platform.processor() or "processor unknown"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    command.run(main)

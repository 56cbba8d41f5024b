"""What models read of corrupted pictures and of other collections, as tables and as heat maps."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.corruptions.sets import IDENTITY
from pipeline.records.robustness import Robustness, ShiftScores
from pipeline.reports import markdown
from pipeline.reports.formats import cell, csv_text, percent

COLUMNS = (
    "task",
    "strategy",
    "suite",
    "corruption",
    "severity",
    "n",
    "accuracy",
    "accepted",
    "accepted_wrong",
    "confidence",
)
"""Of every set as CSV. Another collection has its name as suite, and no corruption."""
HEADINGS = (
    "task",
    "strategy",
    "accuracy, clean",
    "accuracy, corrupted",
    "accepted, clean",
    "accepted, corrupted",
    "accepted and wrong, mean",
    "accepted and wrong, worst",
    "worst on",
    "other collections: accuracy",
    "accepted and wrong",
)
"""Of the table in Markdown."""


@dataclass(frozen=True)
class HeatMap:
    """One strategy.

    Attributes:
        robustness: its record.
        columns: the suites, or the severities where the task has one suite with several of them.
        rows: for each corruption its name, and by column the scores; None where there is no such severity.
    """

    robustness: Robustness
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[ShiftScores | None, ...]], ...]


def heat_map(robustness: Robustness) -> HeatMap:
    """Arrange the scores of a strategy: a row for each corruption, the pictures as they are first."""
    cells = {(suite, name, severity): scores for suite, name, severity, scores in robustness.rows()}
    names = sorted({name for _, name, _ in cells}, key=lambda name: (name != IDENTITY, name))
    severities = sorted({severity for _, name, severity in cells if name != IDENTITY})
    suites = tuple(robustness.suites)
    if len(suites) == 1 and len(severities) > 1 and _has_several(robustness):
        rows = [(name, tuple(cells.get((suites[0], name, severity)) for severity in severities)) for name in names]
        rows[0] = (IDENTITY, (cells[suites[0], IDENTITY, 0], *(None for _ in severities[1:])))
        return HeatMap(robustness, tuple(f"severity {severity}" for severity in severities), tuple(rows))
    by_suite = {(suite, name): scores for (suite, name, _), scores in cells.items()}
    rows = [(name, tuple(by_suite.get((suite, name)) for suite in suites)) for name in names]
    return HeatMap(robustness, suites, tuple(rows))


def _has_several(robustness: Robustness) -> bool:
    """Whether a corruption has more than one severity, as those of CIFAR-10-C have."""
    return any(len(severities) > 1 for names in robustness.suites.values() for severities in names.values())


def table(found: Mapping[str, Robustness]) -> str:
    """Render every set of every strategy as CSV under `COLUMNS`."""
    rows = []
    for strategy, each in found.items():
        read = [*each.rows(), *((name, "", None, scores) for name, scores in each.collections.items())]
        for suite, corruption, severity, scores in read:
            values = (getattr(scores, column) for column in COLUMNS[5:])
            rows.append([each.task, strategy, suite, corruption, cell(severity), *(cell(value) for value in values)])
    return csv_text(COLUMNS, rows)


def markdown_table(found: Mapping[str, Robustness]) -> str:
    """Render the figures in short as Markdown, a row for each strategy: shares in per cent."""
    rows = []
    for above, (strategy, each) in zip([None, *found.values()], found.items(), strict=False):
        short, others = each.shift, each.collections
        rows.append(
            (
                "" if above and above.task == each.task else each.task,
                strategy + (" (stand-in)" if each.origin == "embedded" else ""),
                percent(short.clean_accuracy),
                percent(short.accuracy),
                percent(short.clean_accepted),
                percent(short.accepted),
                percent(short.accepted_wrong),
                percent(short.worst),
                short.worst_on,
                ", ".join(f"{name} {percent(scores.accuracy)}" for name, scores in others.items()),
                ", ".join(f"{name} {percent(scores.accepted_wrong)}" for name, scores in others.items()),
            )
        )
    return markdown.table(HEADINGS, rows)

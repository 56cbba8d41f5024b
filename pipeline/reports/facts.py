"""What is known only at the moment: the commit, the machine, and how the scores differ from earlier ones.

A stage writes the same bytes wherever it runs, so none of this is in its page. `make report` adds it to a copy.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from pipeline.core.errors import DataError
from pipeline.reports.templating import render

_BEGIN, _END = "<!-- facts -->", "<!-- /facts -->"


@dataclass(frozen=True)
class Change:
    """A row of the leaderboard that differs.

    Attributes:
        strategy, suite, split: which row.
        before, after: its sequence accuracies; None where there was, or is, no such row.
        beyond: whether the new one is outside the 95 % interval of the old one.
    """

    strategy: str
    suite: str
    split: str
    before: float | None
    after: float | None
    beyond: bool

    @property
    def difference(self) -> float | None:
        """After minus before."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True)
class Rival:
    """The candidate of a task and the champion of its artifact, on the gate split of one suite.

    Attributes:
        champion: artifact, version and stage, for instance `strip-reader@v0.1.0 in prod`.
        suite: the suite.
        before: the champion's sequence accuracy, as the registry recorded it; None where it did not read the suite.
        candidate: the strategy that is the candidate; None where there is none.
        after: its sequence accuracy; None where it does not read the suite.
        same: whether both are the same model file.
    """

    champion: str
    suite: str
    before: float | None
    candidate: str | None
    after: float | None
    same: bool

    @property
    def difference(self) -> float | None:
        """After minus before."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True)
class Facts:
    """What `make report` found.

    Attributes:
        rows: names and values: commit, time, machine, versions.
        base: what the leaderboard is compared with, in words; None where there is nothing.
        changes: rows of the leaderboard that differ from it.
        rivals: candidates and champions.
        no_rivals: why there are none; None where there are.
        missing_docs: the data sets whose Data Docs are missing here.
    """

    rows: Mapping[str, str]
    base: str | None
    changes: Sequence[Change]
    rivals: Sequence[Rival]
    no_rivals: str | None
    missing_docs: Sequence[str]


def placeholder() -> Markup:
    """What the page of the stage has in place of the facts."""
    return Markup(
        f'{_BEGIN}\n<p class="note"><code>make report</code> adds commit, machine, changes and champions to a copy of '
        f"this page, <code>reports/explorer.html</code>.</p>\n{_END}"
    )


def insert(page: str, facts: Facts) -> str:
    """The page of the stage with the facts.

    Raises:
        DataError: the page has no place for them.
    """
    before, found, rest = page.partition(_BEGIN)
    _, closed, after = rest.partition(_END)
    if not (found and closed):
        raise DataError(f"reports/report.html: no line `{_BEGIN}`; run `make repro` to make the page again")
    return f"{before}{_BEGIN}\n{render('facts.html', facts=facts)}{_END}{after}"


def changes(before: str, after: str) -> list[Change]:
    """The rows of two leaderboards, CSV, whose sequence accuracies differ, the largest difference first.

    Raises:
        DataError: a table lacks a column.
    """
    old, new = _rows(before), _rows(after)
    found = [_change(key, old.get(key), new.get(key)) for key in dict.fromkeys([*new, *old])]
    differing = [each for each in found if each.before != each.after]
    return sorted(differing, key=lambda each: -abs(each.difference or 1.0))


def read_page(path: Path) -> str:
    """The page that the stage wrote.

    Raises:
        DataError: it is not there.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; run `make repro` to make it")
    return path.read_text(encoding="utf-8")


def _rows(table: str) -> dict[tuple[str, str, str], Mapping[str, str]]:
    found: dict[tuple[str, str, str], Mapping[str, str]] = {}
    for row in csv.DictReader(io.StringIO(table)):
        missing = {"strategy", "suite", "split", "sequence_accuracy", "ci_low", "ci_high"} - set(row)
        if missing:
            raise DataError(f"metrics/leaderboard.csv: no column {', '.join(sorted(missing))}")
        found[row["strategy"], row["suite"], row["split"]] = row
    return found


def _change(key: tuple[str, str, str], old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> Change:
    before = None if old is None else float(old["sequence_accuracy"])
    after = None if new is None else float(new["sequence_accuracy"])
    beyond = old is not None and after is not None and not float(old["ci_low"]) <= after <= float(old["ci_high"])
    return Change(*key, before, after, beyond)

"""The tables of the metrics folder: the leaderboard, timings, training curves, confusions, and the summary."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.evaluation import confusion
from pipeline.evaluation.calibration import TARGET
from pipeline.records.comparison import Candidate, Score
from pipeline.records.evaluation import SplitScores
from pipeline.records.timing import EvaluationTiming, MemoryTiming, TrainingTiming
from pipeline.records.training import TrainingRecord
from pipeline.reports import markdown
from pipeline.reports.formats import INDISTINCT, cell, csv_text, percent

COLUMNS = (
    "strategy",
    "suite",
    "split",
    "origin",
    "n",
    "digit_accuracy",
    "slot_accuracy",
    "sequence_accuracy",
    "ci_low",
    "ci_high",
    "accuracy_power_n",
    "count_accuracy",
    "ap",
    "ap50",
    "ap75",
    "coverage_995",
    "accuracy_at_coverage",
    "ece",
    "parameters",
    "deployable",
    "pretrained",
)
"""Of the leaderboard as CSV."""
HEADINGS = (
    "suite",
    "strategy",
    "sequence accuracy",
    "95 % interval",
    "digit accuracy",
    "accuracy^n",
    "count accuracy",
    "AP",
    "AP50",
    "AP75",
    "coverage at 99.5 %",
    "accuracy of accepted",
    "ECE",
    "parameters",
)
"""Of the leaderboard in Markdown."""
NOTHING_ACCEPTED = "none accepted"
"""In place of the accuracy of accepted readings where there are none."""
BELOW = "▼"
"""Marks an accuracy of accepted readings below the target of their threshold."""
TIMINGS = (
    "strategy",
    "train_seconds",
    "evaluate_seconds",
    "ms_per_picture_batch_1",
    "ms_per_picture_batch_256",
    "memory_mb_loaded",
    "memory_mb_peak",
)
CURVES = ("loss", "exact_match", "val_loss", "val_exact_match")


def leaderboard(rows: Sequence[Score]) -> str:
    """Render rows as CSV under `COLUMNS`: floats with four decimals, an empty cell where there is no value."""
    return csv_text(COLUMNS, [[cell(getattr(row, column)) for column in COLUMNS] for row in rows])


def merged(tables: Iterable[Path]) -> str:
    """Join CSV files with equal headers into one.

    Raises:
        DataError: a file is missing, or its header differs from that of the first.
    """
    header = ""
    body: list[str] = []
    for path in tables:
        if not path.is_file():
            raise DataError(f"{path}: no such file; run `make repro` to make it")
        first, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if first != (header or first):
            raise DataError(f"{path}: expected the header {header.strip()}, found {first.strip()}")
        header, body = first, [*body, *lines]
    return header + "".join(body)


def leaderboard_markdown(rows: Sequence[Score], as_good: Mapping[str, Sequence[str]]) -> str:
    """Render the rows of test as a Markdown table: shares in per cent, the suite in its first row only.

    Args:
        rows: of the leaderboard.
        as_good: by suite, the strategies whose accuracy is marked: they cannot be told apart from its best one.
    """
    tests = [row for row in rows if row.split == "test"]
    return markdown.table(
        HEADINGS,
        [
            (
                "" if above and above.suite == row.suite else row.suite,
                row.strategy + (" (stand-in)" if row.origin == "embedded" else ""),
                percent(row.sequence_accuracy)
                + (f" {INDISTINCT}" if row.strategy in as_good.get(row.suite, ()) else ""),
                f"{percent(row.ci_low)} to {percent(row.ci_high)}",
                percent(row.digit_accuracy),
                percent(row.accuracy_power_n),
                percent(row.count_accuracy),
                percent(row.ap),
                percent(row.ap50),
                percent(row.ap75),
                percent(row.coverage_995),
                accepted_accuracy(row),
                cell(row.ece),
                f"{row.parameters:,}",
            )
            for above, row in zip([None, *tests], tests, strict=False)
        ],
    )


def accepted_accuracy(row: SplitScores) -> str:
    """The accuracy of the accepted readings in per cent, marked where it is below the target of the threshold."""
    if row.accuracy_at_coverage is None:
        return NOTHING_ACCEPTED
    return percent(row.accuracy_at_coverage) + (f" {BELOW}" if row.accuracy_at_coverage < TARGET else "")


def summary(candidates: Iterable[Candidate]) -> dict[str, float]:
    """By task, the sequence accuracy of its candidate on valid, with four decimals: what the candidate is chosen by.

    Experiments are compared by these numbers, so they are not those of test. A task without a candidate is left out.
    """
    return {
        candidate.task: round(candidate.best.valid_sequence_accuracy, 4)
        for candidate in candidates
        if candidate.best is not None
    }


def timings(folder: Path, task_of: Mapping[str, str]) -> str:
    """Render what `train-NAME.json`, `evaluate-NAME.json` and `cost-TASK.json` measured as CSV.

    A missing file leaves empty cells.

    Args:
        folder: of the files.
        task_of: the task of each strategy, in the order of the rows.
    """
    rows = []
    measured = {task: Path(folder) / f"cost-{task}.json" for task in task_of.values()}
    memory = {task: MemoryTiming.read(path).memory for task, path in measured.items() if path.is_file()}
    for strategy, task in task_of.items():
        taken = memory.get(task, {}).get(strategy)
        trained, evaluated = Path(folder) / f"train-{strategy}.json", Path(folder) / f"evaluate-{strategy}.json"
        train = TrainingTiming.read(trained) if trained.is_file() else None
        evaluate = EvaluationTiming.read(evaluated) if evaluated.is_file() else None
        rows.append(
            [
                strategy,
                cell(train and train.seconds, 1),
                cell(evaluate and evaluate.seconds, 1),
                cell(evaluate and evaluate.ms_per_picture_batch_1, 3),
                cell(evaluate and evaluate.ms_per_picture_batch_256, 3),
                cell(taken and taken.loaded_bytes / 1e6, 1),
                cell(taken and taken.peak_bytes / 1e6, 1),
            ]
        )
    return csv_text(TIMINGS, rows)


def curves(trainings: Iterable[TrainingRecord]) -> str:
    """Render the metrics of every epoch as CSV: strategy, task, epoch from 1 on, and `CURVES` with six decimals."""
    rows = [
        [training.strategy, training.task, str(epoch), *(cell(values.get(name), 6) for name in CURVES)]
        for training in trainings
        for epoch, values in enumerate(training.history, 1)
    ]
    return csv_text(("strategy", "task", "epoch", *CURVES), rows)


def confusions(tables: Iterable[Path]) -> str:
    """Join confusion matrices, CSV files, into one: the counts of a strategy's suites are added up.

    Raises:
        DataError: a file is missing, or its header is another one.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    for row in csv.DictReader(io.StringIO(merged(tables))):
        counts[tuple(row[column] for column in confusion.COLUMNS[:-1])] += int(row["count"])
    return csv_text(confusion.COLUMNS, [[*key, str(count)] for key, count in counts.items()])

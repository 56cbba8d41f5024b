"""Rows out of evaluations, and the candidate of each task: chosen on valid, reported on test."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.core.files import read_json
from pipeline.evaluation.scoring import COLUMNS, MEASURED, Score, rounded

SPLITS = ("valid", "test")
"""The splits that the leaderboard shows; `gate` is the registry's."""
TIMING_COLUMNS = ("strategy", "train_seconds", "evaluate_seconds", "ms_per_picture_batch_1", "ms_per_picture_batch_256")


def evaluations(folder: Path, strategies: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What `stages.evaluate` wrote of each of the strategies, by name.

    Raises:
        DataError: a strategy has not been evaluated.
    """
    found = {}
    for strategy in strategies:
        path = Path(folder) / f"{strategy}.json"
        if not path.is_file():
            raise DataError(f"{path}: no such file; `dvc repro evaluate@{strategy}` makes it")
        found[strategy] = read_json(path)
    return found


def scores(evaluations: Mapping[str, Mapping[str, Any]], suites: Sequence[str]) -> list[Score]:
    """The rows of the leaderboard: by suite in the order given, by split, then by falling sequence accuracy.

    Suites that are not among `suites` are left out; equal accuracies stand by fewer parameters, then by name.
    """
    rows = [
        Score(
            strategy=strategy,
            suite=suite,
            split=split,
            parameters=evaluation["parameters"],
            deployable=evaluation["deployable"],
            pretrained=evaluation["pretrained"],
            **{column: evaluation["suites"][suite][split][column] for column in MEASURED},
        )
        for strategy, evaluation in evaluations.items()
        for suite in suites
        if suite in evaluation["suites"]
        for split in SPLITS
    ]
    return sorted(
        rows,
        key=lambda row: (
            suites.index(row.suite),
            SPLITS.index(row.split),
            -row.sequence_accuracy,
            row.parameters,
            row.strategy,
        ),
    )


def table(rows: Sequence[Score]) -> str:
    """The rows as CSV under `COLUMNS`: shares with four decimals, nothing where there is no value."""
    return _csv(COLUMNS, [[_cell(value) for value in asdict(row).values()] for row in rows])


def markdown(rows: Sequence[Score]) -> str:
    """The rows of the test split as a Markdown table for the README: shares in per cent, each suite named once."""
    header = (
        "suite",
        "strategy",
        "read whole",
        "95 % interval",
        "single digits",
        "if independent",
        "right number",
        "mAP",
        "read at 99.5 %",
        "ECE",
        "parameters",
    )
    lines = [header, ("---",) * len(header)]
    tests = [row for row in rows if row.split == "test"]
    lines += [
        (
            "" if above and above.suite == row.suite else row.suite,
            row.strategy + (" (stand-in)" if row.origin == "embedded" else ""),
            _percent(row.sequence_accuracy),
            f"{_percent(row.ci_low)} to {_percent(row.ci_high)}",
            _percent(row.digit_accuracy),
            _percent(row.sequence_if_independent),
            _percent(row.count_accuracy),
            _percent(row.map50),
            _percent(row.coverage_995),
            _cell(row.ece),
            f"{row.parameters:,}",
        )
        for above, row in zip([None, *tests], tests, strict=False)
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def candidates(
    evaluations: Mapping[str, Mapping[str, Any]], suites_of: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """The best strategy of each task that can be deployed, by its mean valid sequence accuracy over the task's suites.

    A suite that a strategy cannot read counts as 0. Ties go to fewer parameters, then to the name.

    Args:
        evaluations: by strategy.
        suites_of: the suites of each task.

    Returns:
        By task: `strategy` (None when none can be deployed), `valid_sequence_accuracy` (the mean) and `suites` (its
        parts), `cannot_read`, `origin`, `parameters`, `deployable`, `coverage` (the threshold to serve with and what it
        gave), `runner_up`, and `others`: every other strategy of the task in the same terms, best first.
    """
    chosen = {}
    for task, suites in suites_of.items():
        standings = [
            _standing(strategy, evaluation, suites)
            for strategy, evaluation in evaluations.items()
            if evaluation["task"] == task
        ]
        if not standings:
            continue
        standings.sort(
            key=lambda standing: (-standing["valid_sequence_accuracy"], standing["parameters"], standing["strategy"])
        )
        ranked = [standing for standing in standings if standing["deployable"]]
        best = ranked[0] if ranked else {"strategy": None}
        coverage = {"coverage": evaluations[best["strategy"]]["coverage"]} if ranked else {}
        others = [standing for standing in standings if standing is not best]
        chosen[task] = {
            **best,
            **coverage,
            "runner_up": ranked[1]["strategy"] if ranked[1:] else None,
            "others": others,
        }
    return chosen


def summary(candidates: Mapping[str, Mapping[str, Any]], rows: Sequence[Score]) -> dict[str, Any]:
    """The few numbers for `dvc metrics show`: each task's candidate, its mean on valid, its suites on test."""
    return {
        task: {
            "candidate": candidate["strategy"],
            "origin": candidate["origin"],
            "valid": candidate["valid_sequence_accuracy"],
            "test": {
                row.suite: row.sequence_accuracy
                for row in rows
                if row.strategy == candidate["strategy"] and row.split == "test" and row.suite in candidate["suites"]
            },
        }
        for task, candidate in candidates.items()
        if candidate["strategy"] is not None
    }


def timings(folder: Path, strategies: Sequence[str]) -> str:
    """The wall-clock figures of `train-NAME.json` and `evaluate-NAME.json` as CSV; what is missing stays empty."""
    rows = []
    for strategy in strategies:
        trained, evaluated = (_optional(Path(folder) / f"{stage}-{strategy}.json") for stage in ("train", "evaluate"))
        rows.append(
            [
                strategy,
                _cell(trained.get("seconds"), 1),
                _cell(evaluated.get("seconds"), 1),
                _cell(evaluated.get("ms_per_picture_batch_1"), 3),
                _cell(evaluated.get("ms_per_picture_batch_256"), 3),
            ]
        )
    return _csv(TIMING_COLUMNS, rows)


def _standing(strategy: str, evaluation: Mapping[str, Any], suites: Sequence[str]) -> dict[str, Any]:
    readable = [suite for suite in suites if suite in evaluation["suites"]]
    parts = dict.fromkeys(suites, 0.0)
    parts |= {suite: evaluation["suites"][suite]["valid"]["sequence_accuracy"] for suite in readable}
    return {
        "strategy": strategy,
        "valid_sequence_accuracy": rounded(sum(parts.values()) / len(parts)),
        "suites": parts,
        "cannot_read": [suite for suite in suites if suite not in readable],
        "origin": evaluation["origin"],
        "parameters": evaluation["parameters"],
        "deployable": evaluation["deployable"],
    }


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _cell(value: Any, decimals: int = 4) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.{decimals}f}" if isinstance(value, float) else str(value)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()

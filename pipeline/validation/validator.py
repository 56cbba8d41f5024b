"""Validates a data set: runs the expectations over its tables, and reports what they found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import great_expectations as gx
import numpy as np
import pandas as pd
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.expectations.expectation import Expectation

from pipeline.core.files import replacing
from pipeline.records.data import Duplicates, ExpectationResult, ValidatedSplit, ValidationReport
from pipeline.validation import data_docs
from pipeline.validation.expectations import class_expectations, picture_expectations, remedy
from pipeline.validation.suite_spec import SuiteSpec
from pipeline.validation.table import Split, class_table, join

_NAMED = 5
"""Unexpected rows that a report names; Data Docs name more."""
_UNITS = {"pictures": "pictures", "classes": "split classes"}


def validate(splits: Sequence[Split], spec: SuiteSpec, docs: Path) -> ValidationReport:
    """Check the splits of a suite against its specification, and write Data Docs to the folder `docs`.

    Failures are in the report, not raised: the caller decides. Data Docs contain the time of the run.

    Args:
        splits: of the suite, in the order of their names in reports.
        spec: the suite's specification.
        docs: replaced by the pages of this run.
    """
    pictures, classes = join(splits), class_table(splits, spec)
    origin = str(splits[0].pictures["origin"].iloc[0]) if len(splits[0].pictures) else "unknown"
    tables = {
        "pictures": (pictures, picture_expectations(splits, spec, origin)),
        "classes": (classes, class_expectations(spec, origin)),
    }
    results = tuple(_run(tables, spec.suite, docs))
    duplicates = Duplicates(
        across_splits=int(pictures["duplicate_across_splits"].notna().sum()),
        within_splits=int(pictures["duplicate_within_split"].notna().sum()),
    )
    return ValidationReport(
        suite=spec.suite,
        task=spec.task,
        origin=origin,
        success=all(result.success for result in results),
        splits={
            split.name: ValidatedSplit(
                pictures=len(split.pictures),
                sha256=split.sha256,
                classes=classes.loc[classes["split"] == split.name].set_index("class")["count"].to_dict(),
            )
            for split in splits
        },
        expectations=results,
        duplicates=duplicates,
        notes=_notes(results, origin, duplicates),
    )


def failure_message(report: ValidationReport, spec: SuiteSpec) -> str:
    """One line about a failed validation: the first failure with its rows and what to do, the others by name."""
    first, *others = [result for result in report.expectations if not result.success]
    also = "; also failed: " + ", ".join(f'"{other.description}"' for other in others) if others else ""
    return f"{report.suite}: {format_result(first)}; {remedy(first.column, spec)}{also}"


def format_result(result: ExpectationResult) -> str:
    """One line about an expectation that does not hold for every row."""
    if not result.first:
        return f'"{result.description}": values of {result.lowest:g} to {result.highest:g} found'
    rows = ", ".join(f"{row} ({value})" for row, value in result.first)
    more = f" (+{result.unexpected - len(result.first)} more)" if result.unexpected > len(result.first) else ""
    unit = _UNITS[result.table]
    return f'"{result.description}": violated by {result.unexpected} of {result.checked} {unit}: {rows}{more}'


def _notes(results: Sequence[ExpectationResult], origin: str, duplicates: Duplicates) -> tuple[str, ...]:
    notes = [f"{format_result(result)}; allowed" for result in results if result.success and result.unexpected]
    if origin == "embedded":
        notes.append("the origin is the embedded stand-in: class balance is reported, not enforced")
    if origin == "cifar10":
        notes.append(
            "pictures that CIFAR-10 itself contains twice, under two ids, are reported, not refused: "
            f"{duplicates.across_splits} found in two splits"
        )
    return tuple(notes)


def _run(
    tables: Mapping[str, tuple[pd.DataFrame, list[Expectation]]], suite: str, docs: Path
) -> list[ExpectationResult]:
    results = []
    with replacing(docs) as folder:
        context = data_docs.create_context(folder)
        source = context.data_sources.add_pandas(suite)
        for table, (frame, expected) in tables.items():
            batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
            expectations = context.suites.add(gx.ExpectationSuite(f"{suite}-{table}", expectations=expected))
            definition = context.validation_definitions.add(
                gx.ValidationDefinition(name=f"{suite}-{table}", data=batch, suite=expectations)
            )
            # Without index columns the outcome names rows by the frame's own labels, which is 20 times faster.
            outcome = definition.run(
                batch_parameters={"dataframe": frame},
                result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False},
                run_id=RunIdentifier(run_name=suite),
            )
            results += [_result(table, frame, each) for each in outcome.results]
        data_docs.write_pages(context, folder)
    return results


def _result(table: str, frame: pd.DataFrame, outcome: ExpectationValidationResult) -> ExpectationResult:
    config, found = outcome.expectation_config, outcome.result
    assert config is not None, "Great Expectations sets it on every result"
    if outcome.exception_info.get("raised_exception"):
        raise RuntimeError(f"{config.type}: {outcome.exception_info['exception_message']}")
    values = frame[config.kwargs["column"]]
    numbers = values.dropna() if pd.api.types.is_numeric_dtype(values) else values.iloc[:0]
    rows = list(found.get("unexpected_index_list") or [])
    return ExpectationResult(
        table=table,
        expectation=config.type,
        column=config.kwargs["column"],
        description=config.description or "",
        success=bool(outcome.success),
        checked=int(found.get("element_count", len(frame))),
        unexpected=int(found.get("unexpected_count", 0)),
        first=tuple((str(row), _format_value(values.at[row])) for row in rows[:_NAMED]),
        lowest=float(numbers.min()) if len(numbers) else None,
        highest=float(numbers.max()) if len(numbers) else None,
    )


def _format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)

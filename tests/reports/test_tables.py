"""The tables of metrics/: cells, columns, and what is missing."""

import csv
import io

import evaluations
import pytest
from evaluations import SUITES

from pipeline.core.errors import DataError
from pipeline.evaluation import leaderboard
from pipeline.records.timing import EvaluationTiming, MemoryTiming, MemoryUse, TrainingTiming
from pipeline.records.training import TrainedModel, TrainingRecord
from pipeline.reports import tables
from pipeline.reports.formats import percent


@pytest.fixture(scope="module")
def found():
    """A good and a poor model, one that reads one suite only, and one that cannot be deployed."""
    return {
        "good": evaluations.evaluation(0.02),
        "poor": evaluations.evaluation(0.2),
        "partial": evaluations.evaluation(0.0, suites=("plain",)),
        "outside": evaluations.evaluation(0.0, deployable=False, pretrained="missing"),
    }


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def cells_of(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]


def test_the_columns_of_the_leaderboard_stay():
    assert ",".join(tables.COLUMNS) == (
        "strategy,suite,split,origin,n,digit_accuracy,slot_accuracy,sequence_accuracy,ci_low,ci_high,"
        "accuracy_power_n,count_accuracy,ap,ap50,ap75,coverage_995,accuracy_at_coverage,ece,parameters,deployable,"
        "pretrained"
    )


def test_cells_have_four_decimals_or_are_empty(found):
    text = tables.leaderboard(leaderboard.rows(found, SUITES))
    assert text.splitlines()[0] == ",".join(tables.COLUMNS)
    first = rows_of(text)[0]
    assert (first["sequence_accuracy"], first["ap"], first["deployable"]) == ("1.0000", "", "false")
    assert (first["n"], first["pretrained"]) == ("200", "missing")


def test_the_markdown_table_has_the_rows_of_test(found):
    rows = leaderboard.rows({"good": found["good"]}, SUITES)
    header, _, first, *others = cells_of(tables.leaderboard_markdown(rows, {}))
    test = next(row for row in rows if row.split == "test")
    assert tuple(header) == tables.HEADINGS
    assert len(others) == len(SUITES) - 1
    shown = dict(zip(header, first, strict=True))
    assert shown["strategy"] == "good"
    assert shown["sequence accuracy"] == f"{100 * test.sequence_accuracy:.2f}"
    assert shown["95 % interval"] == f"{100 * test.ci_low:.2f} to {100 * test.ci_high:.2f}"
    assert shown["accuracy^n"] == f"{100 * test.accuracy_power_n:.2f}"
    assert shown["count accuracy"] == f"{100 * test.count_accuracy:.2f}"
    assert (shown["AP"], shown["AP50"], shown["AP75"], shown["parameters"]) == ("", "", "", "1,000")


def test_the_markdown_table_has_the_suite_in_its_first_row_only(found):
    lines = cells_of(tables.leaderboard_markdown(leaderboard.rows(found, SUITES), {}))[2:]
    assert [line[0] for line in lines] == ["plain", "", "", "", "blanks", "", ""]


@pytest.mark.parametrize(
    ("share", "accuracy", "shown"),
    [
        pytest.param(0.8, 0.9981, ("80.00", "99.81"), id="reaches the target"),
        pytest.param(0.8, 0.995, ("80.00", "99.50"), id="is the target"),
        pytest.param(0.8, 0.99494, ("80.00", "99.49 ▼"), id="below the target"),
        pytest.param(0.0, None, ("0.00", "none accepted"), id="nothing accepted"),
    ],
)
def test_the_accuracy_of_what_is_accepted_stands_beside_coverage(found, share, accuracy, shown):
    row = leaderboard.rows({"good": found["good"]}, SUITES)[1]
    row = row.model_copy(update={"coverage_995": share, "accuracy_at_coverage": accuracy})
    header, _, first = cells_of(tables.leaderboard_markdown([row], {}))
    place = header.index("coverage at 99.5 %")
    assert header[place + 1] == "accuracy of accepted"
    assert tuple(first[place : place + 2]) == shown


def test_scores_of_the_stand_in_are_marked():
    rows = leaderboard.rows({"good": evaluations.evaluation(origin="embedded")}, SUITES)
    assert cells_of(tables.leaderboard_markdown(rows, {}))[2][1] == "good (stand-in)"


def test_what_cannot_be_told_apart_from_the_best_is_marked(found):
    rows = leaderboard.rows(found, SUITES)
    marked = cells_of(tables.leaderboard_markdown(rows, {"plain": ("poor",)}))[2:]
    assert [row[1] for row in marked if row[2].endswith(" ≈")] == ["poor"]


def test_tables_are_merged_under_one_header(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,y\n3,4\n")
    (tmp_path / "c.csv").write_text("y,x\n5,6\n")
    assert tables.merged([tmp_path / "a.csv", tmp_path / "b.csv"]) == "x,y\n1,2\n3,4\n"
    assert tables.merged([]) == ""
    with pytest.raises(DataError, match=r"c\.csv"):
        tables.merged([tmp_path / "a.csv", tmp_path / "c.csv"])
    with pytest.raises(DataError, match=r"d\.csv"):
        tables.merged([tmp_path / "a.csv", tmp_path / "d.csv"])


def test_the_summary_is_what_the_candidate_is_chosen_by(found):
    candidate = leaderboard.candidate("strips", found, SUITES)
    valid = [found["good"].suites[suite]["valid"].sequence_accuracy for suite in SUITES]
    assert tables.summary([candidate]) == {"strips": round(sum(valid) / 2, 4)}


def test_a_task_without_a_candidate_has_no_summary(found):
    candidate = leaderboard.candidate("strips", {"outside": found["outside"]}, SUITES)
    assert tables.summary([candidate]) == {}


def test_timings_that_are_missing_stay_empty(tmp_path):
    TrainingTiming(strategy="a", seconds=12.34).write(tmp_path / "train-a.json")
    EvaluationTiming(
        seconds=2.0,
        seconds_by_suite={"plain": 2.0},
        ms_per_picture_batch_1=1.23456,
        threads_batch_1=1,
        ms_per_picture_batch_256=0.5,
        threads_batch_256=2,
    ).write(tmp_path / "evaluate-a.json")
    used = MemoryUse(loaded_bytes=1_234_567, peak_bytes=2_000_000)
    MemoryTiming(task="mnist", memory={"a": used}).write(tmp_path / "cost-mnist.json")
    rows = tables.timings(tmp_path, {"a": "mnist", "b": "mnist", "c": "strips"}).splitlines()[1:]
    assert rows == ["a,12.3,2.0,1.235,0.500,1.2,2.0", "b,,,,,,", "c,,,,,,"]


def test_curves_have_a_row_for_each_epoch():
    record = evaluations.record("slice")
    history = ({"loss": 1.5, "val_loss": 1.25, "exact_match": 0.5, "val_exact_match": 2 / 3}, {"loss": 1.0})
    described = {name: getattr(record, name) for name in TrainedModel.model_fields}
    text = tables.curves([TrainingRecord(**described, history=history)])
    assert text == (
        "strategy,task,epoch,loss,exact_match,val_loss,val_exact_match\n"
        "slice,strips,1,1.500000,0.500000,1.250000,0.666667\n"
        "slice,strips,2,1.000000,,,\n"
    )


def test_shares_in_per_cent():
    assert (percent(0.12345), percent(0.5, 1), percent(None)) == ("12.35", "50.0", "")
    assert percent(None, missing="-") == "-"

"""Reports: equal for equal data, whatever the bounds; a failure in one line; pages that need no network."""

from noise_suites import composed_strips, failures, singles, spec, validate

from pipeline.records.data import ExpectationResult, ValidationReport
from pipeline.validation import validator


def test_moving_a_bound_that_the_data_meet_changes_no_report(tmp_path):
    one, other = (
        validate(singles(), spec("mnist", class_share=bounds, constant_share=share), tmp_path / "docs")
        for bounds, share in (((0.5, 2.0), 0.0), ((0.9, 1.1), 0.1))
    )
    assert one == other


def test_a_report_is_read_back_as_it_was_written(tmp_path):
    report = validate(singles(), spec("mnist"), tmp_path / "docs")
    report.write(tmp_path / "report.json")
    assert ValidationReport.read(tmp_path / "report.json") == report
    assert report.splits["gate"].classes == dict.fromkeys("0123456789", 6)


def test_a_failure_is_one_line_with_rows_remedy_and_the_other_failures(tmp_path):
    splits = singles()
    splits["train"].images[[3, 8]] = 77
    splits["valid"].labels[splits["valid"].labels == 7] = 1
    report = validate(splits, spec("mnist"), tmp_path / "docs")
    line = validator.failure_message(report, spec("mnist"))
    assert "\n" not in line
    assert line.startswith("mnist: ")
    for part in ("2 of 60", "train row 3 (0), train row 8 (0)", "validate.constant_share", "params.yaml"):
        assert part in line
    first, *others = [result.description for result in report.expectations if not result.success]
    assert first in line
    assert len(others) == 2
    assert all(other in line for other in others)
    assert set(failures(report)) == {"deviation", "count", "share"}


def test_a_result_names_five_rows_and_counts_the_others():
    result = ExpectationResult(
        table="pictures",
        expectation="expect_column_values_to_be_null",
        column="box_fault",
        description="every digit has a box",
        success=False,
        checked=100,
        unexpected=7,
        first=tuple((f"gate row {row}", "no box") for row in range(5)),
        lowest=None,
        highest=None,
    )
    line = validator.format_result(result)
    assert "7 of 100" in line
    assert "gate row 4 (no box) (+2 more)" in line
    of_column = result.model_copy(update={"first": (), "lowest": 0.0, "highest": 1.0})
    assert "0 to 1" in validator.format_result(of_column)


def test_the_pages_need_no_network_and_replace_those_of_an_earlier_run(tmp_path):
    docs = tmp_path / "docs"
    for _ in range(2):
        validate(composed_strips("clutter"), spec("clutter"), docs)
    results = sorted(page.relative_to(docs).as_posix() for page in docs.glob("validations/**/*.html"))
    assert len(results) == 2
    index = (docs / "index.html").read_text()
    assert all(f'href="{page}"' in index for page in results)
    pages = [page.read_text() for page in docs.rglob("*.html")]
    assert not any("logo-long.png?" in page for page in pages)
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]

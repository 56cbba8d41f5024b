"""Tables and heat maps of corrupted pictures."""

import csv
import io

import evaluations

from pipeline.reports import corruptions

STRIPS = evaluations.robustness()
ONE = {"identity": {0: evaluations.shifted(0.9)}, "fog": {s: evaluations.shifted(1 - s / 10) for s in range(1, 6)}}
PHOTOGRAPHS = evaluations.robustness("cnn", "cifar10", suites={"cifar10": ONE}, collections={}, origin="embedded")


def test_the_csv_has_a_row_for_every_set_and_collection():
    rows = list(csv.DictReader(io.StringIO(corruptions.table({"bands": STRIPS, "cnn": PHOTOGRAPHS}))))
    assert [row["strategy"] for row in rows] == ["bands"] * 7 + ["cnn"] * 6
    assert {(row["suite"], row["corruption"], row["severity"]) for row in rows} >= {
        ("plain", "identity", "0"),
        ("blanks", "stripe", "1"),
        ("optdigits", "", ""),
        ("cifar10", "fog", "5"),
    }
    stripe = next(row for row in rows if row["corruption"] == "stripe")
    assert (stripe["accuracy"], stripe["accepted_wrong"]) == ("0.4000", "0.3000")


def test_the_markdown_has_a_row_for_every_strategy():
    lines = corruptions.markdown_table({"bands": STRIPS, "other": STRIPS, "cnn": PHOTOGRAPHS}).splitlines()
    assert len(lines) == 2 + 3
    assert lines[2].startswith("| strips | bands | 98.00 | 60.00 | 90.00 | 55.00 | 17.50 | 30.00 | plain stripe 1 |")
    assert "optdigits 90.00 | optdigits 2.00 |" in lines[2]
    assert lines[3].startswith("|  | other |")
    assert lines[4].startswith("| cifar10 | cnn (stand-in) |")


def test_columns_are_suites_or_the_severities_of_one_suite():
    strips, photographs = corruptions.heat_map(STRIPS), corruptions.heat_map(PHOTOGRAPHS)
    assert strips.columns == evaluations.SUITES
    assert [name for name, _ in strips.rows] == ["identity", "fog", "stripe"]
    assert [cell.accuracy for cell in dict(strips.rows)["stripe"]] == [0.4, 0.4]
    assert photographs.columns == tuple(f"severity {number}" for number in range(1, 6))
    assert [cell and cell.accuracy for cell in dict(photographs.rows)["identity"]] == [0.9, None, None, None, None]
    assert [cell.accuracy for cell in dict(photographs.rows)["fog"]] == [0.9, 0.8, 0.7, 0.6, 0.5]

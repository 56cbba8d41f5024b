"""README.md and docs/ show what the committed run measured, and what they name exists."""

import csv
import re
from pathlib import Path

import pytest

from pipeline.commands.tables import PICTURES, SUITES, best_of_each_suite, commands
from pipeline.config import params
from pipeline.records.comparison import Candidate
from pipeline.records.manifest import Manifest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LEADERBOARD = (ROOT / "docs/leaderboard.md").read_text()
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "api" not in page.parts),
]
"""Those below docs/api are made by `make docs`, and not tracked."""
NOT_MEASURED = "No run has measured it yet: `make repro`, then `make tables`.\n"


def shown(page, name):
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", page, re.DOTALL).group(1)


def test_the_leaderboard_is_that_of_the_committed_run():
    table = shown(LEADERBOARD, "leaderboard")
    assert table == (ROOT / "metrics/leaderboard.md").read_text()
    assert "stand-in" not in table


def test_the_corruptions_are_those_of_the_committed_run():
    measured = ROOT / "metrics/corruptions.md"
    expected = measured.read_text() if measured.exists() else NOT_MEASURED
    assert shown((ROOT / "docs/robustness.md").read_text(), "corruptions") == expected


def test_the_readme_has_the_best_row_of_each_suite():
    with (ROOT / "metrics/leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = shown(README, "best")
    assert table == best_of_each_suite((ROOT / "metrics/leaderboard.md").read_text())
    found = re.findall(r"^\| (\w+) \| \w+(?: ≈ [\w, ]+)? \| ([\d.]+) \|", table, re.MULTILINE)
    tests = [row for row in rows if row["split"] == "test"]
    assert {suite for suite, _ in found} == {row["suite"] for row in tests}
    for suite, accuracy in found:
        best = max(float(row["sequence_accuracy"]) for row in tests if row["suite"] == suite)
        assert float(accuracy) == pytest.approx(100 * best, abs=0.01)


def test_what_cannot_be_told_apart_from_the_best_is_named_beside_it():
    leaderboard = """| suite | strategy | sequence accuracy | 95 % interval | digits |
| --- | --- | --- | --- | --- |
| plain | slice | 97.90 | 97 to 98 | 99 |
|  | ctc | 97.70 ≈ | 97 to 98 | 99 |
|  | sdnn | 97.60 ≈ | 97 to 98 | 99 |
|  | sliding | 90.10 | 89 to 91 | 97 |
| mnist | convnet | 99.72 | 99 to 99 | 99 |
"""
    rows = best_of_each_suite(leaderboard).splitlines()[2:]
    assert rows == ["| plain | slice ≈ ctc, sdnn | 97.90 | 97 to 98 |", "| mnist | convnet | 99.72 | 99 to 99 |"]


def test_the_readme_fits_on_one_screen():
    assert len(README.splitlines()) <= 60


def test_every_command_of_make_is_on_its_page():
    makefile = (ROOT / "Makefile").read_text()
    listed = shown((ROOT / "docs/commands.md").read_text(), "commands")
    assert listed == commands(makefile)
    named = set(re.findall(r"\w[\w-]*", re.search(r"^\.PHONY: (help .*)$", makefile, re.MULTILINE)[1]))
    assert {*re.findall(r"`make ([a-z-]+)`", listed)} >= named


def test_every_package_is_on_its_page():
    page = (ROOT / "docs/packages.md").read_text()
    packages = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert set(re.findall(r"^\| \[(\w+)\]\(\.\./pipeline/\1\) \|", page, re.MULTILINE)) == packages


def test_every_section_of_the_params_is_on_its_page():
    page = (ROOT / "docs/params.md").read_text()
    sections = re.findall(r"^([a-z_]+):", (ROOT / "params.yaml").read_text(), re.MULTILINE)
    assert re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE) == sections


def test_the_pictures_of_the_pages_are_those_that_the_command_writes():
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "docs/pictures").rglob("*.png")}
    assert there == {*PICTURES, SUITES}


def test_every_picture_is_drawn_by_a_stage():
    """Each is below an out of a stage of dvc.lock."""
    outs = re.findall(r"^    - path: (\S+)$", (ROOT / "dvc.lock").read_text(), re.MULTILINE)
    for drawn in PICTURES.values():
        assert any(drawn.startswith(f"{out}/") or drawn == out for out in outs), drawn


def test_metrics_and_manifests_come_from_one_run_on_the_real_data():
    with (ROOT / "metrics/leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["origin"] for row in rows} == {"cheques", "cifar10", "mnist"}
    lock = (ROOT / "dvc.lock").read_text()
    for task in params.load(ROOT / "params.yaml").package:
        best = Candidate.read(ROOT / f"metrics/candidates/{task}.json").best
        manifest = Manifest.read(ROOT / f"artifacts/{task}/manifest.json")
        assert best is not None
        assert manifest.strategy == best.strategy
        assert dict(manifest.metrics) == {
            row["suite"]: pytest.approx(float(row["sequence_accuracy"]), abs=5e-5)
            for row in rows
            if row["strategy"] == manifest.strategy and row["split"] == "test"
        }
        assert f"size: {manifest.model.bytes}" in lock


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_file(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target.replace("\\", "")).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_make_exist(page):
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = " ".join(re.findall(r"`[^`]+`|```.*?```", page.read_text(), re.DOTALL))
    assert set(re.findall(r"\bmake ([a-z-]+)\b", code)) <= targets

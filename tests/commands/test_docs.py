"""README.md and docs/ show what the committed run measured, and what they name exists."""

import csv
import re
from pathlib import Path

import pytest

from pipeline.commands.docs import PICTURES, SUITES
from pipeline.config import params
from pipeline.records.comparison import Candidate
from pipeline.records.manifest import Manifest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_leaderboard_is_that_of_the_committed_run():
    shown = re.search(r"<!-- leaderboard -->\n(.*?)<!-- /leaderboard -->", README, re.DOTALL).group(1)
    assert shown == (ROOT / "metrics/leaderboard.md").read_text()
    assert "stand-in" not in shown


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_a_file(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target.replace("\\", "")).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_make_exist(page):
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = " ".join(re.findall(r"`[^`]+`|```.*?```", page.read_text(), re.DOTALL))
    assert set(re.findall(r"\bmake ([a-z-]+)\b", code)) <= targets

"""What the README says is what the committed run measured, and what it names is there."""

import csv
import json
import re
from pathlib import Path

import pytest

from pipeline.commands.docs import PICTURES, SUITES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_leaderboard_is_that_of_the_committed_run():
    shown = re.search(r"<!-- leaderboard -->\n(.*?)<!-- /leaderboard -->", README, re.DOTALL).group(1)
    assert shown == (ROOT / "metrics/leaderboard.md").read_text()
    assert "stand-in" not in shown


def test_make_pages_makes_every_picture_that_the_pages_show():
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "docs/pictures").rglob("*.png")}
    assert there == {*PICTURES, SUITES}


def test_metrics_and_manifests_come_from_one_run_on_the_real_data():
    with (ROOT / "metrics/leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["origin"] for row in rows} == {"mnist", "cifar10"}
    candidates = json.loads((ROOT / "metrics/candidates.json").read_text())
    lock = (ROOT / "dvc.lock").read_text()
    for task in candidates:
        manifest = json.loads((ROOT / f"artifacts/{task}/manifest.json").read_text())
        assert manifest["strategy"] == candidates[task]["strategy"]
        assert manifest["metrics"] == {
            row["suite"]: pytest.approx(float(row["sequence_accuracy"]), abs=5e-5)
            for row in rows
            if row["strategy"] == manifest["strategy"] and row["split"] == "test"
        }
        assert f"size: {manifest['model']['bytes']}" in lock


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target.replace("\\", "")).exists(), f"{page.name}: {target}"


def test_commands_of_make_exist():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(
            re.findall(r"\bmake ([a-z-]+)\b", " ".join(re.findall(r"`[^`]+`|```.*?```", page.read_text(), re.DOTALL)))
        )
        assert named <= targets, f"{page.name} names {named - targets}"

"""`make report`: the commit, the changes since an earlier leaderboard, and the champion, in a copy of the page."""

import re

import pytest
from registry_fixtures import base, clock, lifted, lifted_base  # noqa: F401
from registry_project import ARTIFACT, STRATEGY, git

from pipeline.commands import report
from pipeline.core.errors import DataError
from pipeline.core.files import write_json, write_text
from pipeline.evaluation import leaderboard
from pipeline.records.evaluation import Evaluation
from pipeline.reports import facts, tables

SUITES = ("plain", "blanks")


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def committed(folder, message):
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


@pytest.fixture
def project(lifted, monkeypatch):  # noqa: F811
    """v0.3.0 of the artifact is in every stage; the leaderboard and the candidate are those of its evaluation."""
    monkeypatch.chdir(lifted)
    evaluation = Evaluation.read(lifted / f"metrics/evaluation/strips/{STRATEGY}.json")
    table = tables.leaderboard(leaderboard.rows({STRATEGY: evaluation}, SUITES))
    write_text(lifted / "metrics/leaderboard.csv", table)
    write_json(lifted / "dvc.lock", {"schema": "2.0"})
    leaderboard.candidate("strips", {STRATEGY: evaluation}, SUITES).write(lifted / "metrics/candidates/strips.json")
    write_text(lifted / "reports/report.html", f"<body>{facts.placeholder()}</body>")
    committed(lifted, "a <first> run")
    return lifted


def test_the_copy_names_the_commit_and_the_champion(project, capsys):
    report.main()
    assert capsys.readouterr().out.strip() == "reports/explorer.html"
    html = (project / "reports/explorer.html").read_text()
    assert "a &lt;first&gt; run" in html
    assert "No earlier leaderboard is committed." in html
    found = text_of(html)
    assert f"{ARTIFACT}@v0.3.0 in prod" in found
    assert "the same model" in found
    assert "+0.00" in found
    assert facts.placeholder() in (project / "reports/report.html").read_text(), "the stage's page stays as it is"


def test_the_leaderboard_is_compared_with_the_committed_one_and_then_with_the_one_before(project):
    table = project / "metrics/leaderboard.csv"
    before = table.read_text()
    first = before.splitlines()[1].split(",")
    first[tables.COLUMNS.index("sequence_accuracy")] = "0.1234"
    table.write_text("\n".join([before.splitlines()[0], ",".join(first), *before.splitlines()[2:]]) + "\n")
    commit = git(project, "rev-parse", "HEAD")[:7]
    for state in ("changed", "committed"):
        if state == "committed":
            committed(project, "another run")
        report.main()
        found = text_of((project / "reports/explorer.html").read_text())
        assert f"1 sequence accuracy differs from commit {commit}" in found, state
        assert "12.34" in found


def test_without_a_champion_the_copy_says_so(project):
    for stage in ("dev", "staging", "prod"):
        for tag in git(project, "tag", "--list", f"{ARTIFACT}#{stage}#*").split():
            git(project, "tag", "-d", tag)
    report.main()
    assert "No stage of the registry holds a version." in (project / "reports/explorer.html").read_text()


def test_without_the_page_of_the_stage_there_is_none(project):
    (project / "reports/report.html").unlink()
    with pytest.raises(DataError, match=r"report\.html"):
        report.main()

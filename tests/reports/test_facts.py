"""What `make report` adds to the page: changes of the leaderboard, champions, and where they go."""

import pytest

from pipeline.core.errors import DataError
from pipeline.reports import facts

HEADER = "strategy,suite,split,sequence_accuracy,ci_low,ci_high\n"
BEFORE = HEADER + "a,plain,test,0.9000,0.8900,0.9100\nb,plain,test,0.8000,0.7900,0.8100\nold,plain,test,0.5,0.4,0.6\n"
AFTER = HEADER + "a,plain,test,0.9050,0.8950,0.9150\nb,plain,test,0.8000,0.7900,0.8100\nnew,plain,test,0.7,0.6,0.8\n"


def made(**changes):
    values = {
        "rows": {"commit": "<b>"},
        "base": None,
        "changes": [],
        "rivals": [],
        "no_rivals": "none",
        "missing_docs": [],
    }
    return facts.Facts(**values | changes)


def test_changes_are_rows_that_differ_the_new_and_the_gone_first():
    found = facts.changes(BEFORE, AFTER)
    assert [(each.strategy, each.before, each.after) for each in found] == [
        ("new", None, 0.7),
        ("old", 0.5, None),
        ("a", 0.9, 0.905),
    ]
    assert found[2].difference == pytest.approx(0.005)
    assert not found[2].beyond


def test_a_change_beyond_the_old_interval_is_marked():
    after = AFTER.replace("0.9050", "0.9101")
    assert [each.beyond for each in facts.changes(BEFORE, after)] == [False, False, True]


def test_a_leaderboard_without_the_columns_is_an_error():
    with pytest.raises(DataError, match="sequence_accuracy"):
        facts.changes("strategy,suite,split\na,b,c\n", AFTER)


def test_facts_take_the_place_of_the_note_and_names_are_escaped():
    page = f"<p>before</p>{facts.placeholder()}<p>after</p>"
    rival = facts.Rival("strip-reader@v0.1.0 in prod", "plain", 0.98, "a<i>", 0.99, same=True)
    html = facts.insert(
        page, made(base="commit 1", changes=facts.changes(BEFORE, AFTER), rivals=[rival], no_rivals=None)
    )
    assert html.startswith("<p>before</p>")
    assert html.endswith("<p>after</p>")
    assert "make report" not in html
    assert "&lt;b&gt;" in html
    assert "a&lt;i&gt;" in html
    assert "3 sequence accuracies differ from commit 1" in html
    assert "+1.00" in html
    assert "the same model" in html
    # A second time, it takes the place of the first.
    assert facts.insert(html, made()) == facts.insert(page, made())


def test_without_a_difference_the_page_says_so():
    page = str(facts.placeholder())
    assert "No earlier leaderboard" in facts.insert(page, made())
    assert "equals that of commit 1" in facts.insert(page, made(base="commit 1"))


def test_a_page_without_the_place_or_without_a_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="facts"):
        facts.insert("<p></p>", made())
    with pytest.raises(DataError, match=r"report\.html"):
        facts.read_page(tmp_path / "report.html")

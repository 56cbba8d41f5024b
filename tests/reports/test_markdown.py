"""Markdown tables, and their places in a page."""

import pytest

from pipeline.core.errors import DataError
from pipeline.reports import markdown


def test_a_table_has_a_header_and_a_line_per_row():
    assert markdown.table(["a", "b"], [["1", ""], ["2", "3"]]) == "| a | b |\n| --- | --- |\n| 1 |  |\n| 2 | 3 |\n"


def test_a_table_replaces_the_one_of_its_name(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- one -->\n| old |\n| row |\n<!-- /one -->\nbelow <!-- two -->\n<!-- /two -->\n")
    markdown.replace_table(page, "one", "| new |\n")
    assert page.read_text() == "above\n<!-- one -->\n| new |\n<!-- /one -->\nbelow <!-- two -->\n<!-- /two -->\n"


@pytest.mark.parametrize("content", ["", "<!-- one -->", "<!-- /one -->\n<!-- one -->"])
def test_a_page_without_the_place_is_an_error_and_stays(tmp_path, content):
    page = tmp_path / "page.md"
    page.write_text(content)
    with pytest.raises(DataError, match="<!-- one -->"):
        markdown.replace_table(page, "one", "| new |\n")
    assert page.read_text() == content

"""Tables in Markdown, and the places in a page where a command writes one."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.files import write_text


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render a Markdown table.

    Args:
        header: the titles of the columns.
        rows: the cells of each row, as many as there are columns.
    """
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, ["---"] * len(header), *rows))


def replace_table(page: Path, name: str, table: str) -> None:
    """Write a table between the lines `<!-- NAME -->` and `<!-- /NAME -->` of a page, in place of the one there.

    Raises:
        DataError: the page has no such lines.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise DataError(f"{page}: expected a line `{begin}` and below it a line `{end}`")
    write_text(page, f"{before}{begin}\n{table.rstrip()}\n{end}{after}")

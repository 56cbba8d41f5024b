"""Tables in Markdown pages that a command writes, each between `<!-- NAME -->` and `<!-- /NAME -->`."""

from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.files import write_text


def put(page: Path, name: str, table: str) -> None:
    """Write a table in place of the one that stands under this name.

    Raises:
        DataError: the page has no place of this name.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise DataError(f"{page}: expected a line `{begin}` and below it a line `{end}`")
    write_text(page, f"{before}{begin}\n{table.rstrip()}\n{end}{after}")

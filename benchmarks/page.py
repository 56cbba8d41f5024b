"""The page that the benchmarks of serving write their tables into."""

from pathlib import Path

from pipeline.files import replacing

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def write(name: str, table: str) -> None:
    """Put a table between `<!-- NAME -->` and `<!-- /NAME -->`, in place of the one before."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = PAGE.read_text().partition(begin)
    with replacing(PAGE) as temporary:
        temporary.write_text(f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}")

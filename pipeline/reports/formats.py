"""Values and tables as text."""

import csv
import io
from collections.abc import Sequence

INDISTINCT = "≈"
"""Marks what cannot be told apart from the best of its suite."""


def percent(share: float | None, decimals: int = 2, missing: str = "") -> str:
    """A share as a percentage without its sign; `missing` where there is none."""
    return missing if share is None else f"{100 * share:.{decimals}f}"


def cell(value: object, decimals: int = 4) -> str:
    """A cell of a table: floats with so many decimals, booleans in lower case, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.{decimals}f}" if isinstance(value, float) else str(value)


def csv_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render a table as CSV with Unix line ends."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()

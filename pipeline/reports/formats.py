"""Values as text."""


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

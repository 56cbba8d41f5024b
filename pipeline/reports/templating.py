"""Jinja templates of this package, rendered alike."""

from pathlib import Path

import jinja2

from pipeline.reports.formats import percent

TEMPLATES = Path(__file__).parent / "templates"
READS = {
    "strips": "up to five handwritten digits side by side in a grey picture of 28 by 140 pixels, from left to right",
    "scenes": "one to eight handwritten digits anywhere in a grey picture of 112 by 112 pixels",
    "lines": "up to ten handwritten digits in a line of writing, cut out of a picture of any size and scaled to 32 by "
    "224 pixels",
    "mnist": "one handwritten digit in a grey picture of 28 by 28 pixels",
    "cifar10": "what a colour picture of 32 by 32 pixels shows, one of ten classes",
}
"""What the models of each task read."""
MISSING = "-"


def render(template: str, **context: object) -> str:
    """Render a file of `templates/`; a name that `context` lacks is an error, and HTML is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = lambda share, decimals=2: percent(share, decimals, MISSING)
    return environment.get_template(template).render(context)

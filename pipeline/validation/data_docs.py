"""Great Expectations without a project folder, and its pages (Data Docs) readable without a network."""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import great_expectations as gx
from great_expectations.data_context import EphemeralDataContext
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)

from pipeline.core.files import write_text

SITE = "pages"
"""The name of the site that a context writes."""
# Data Docs load their style sheets, their icons and the table of the first page from the network. This much makes them
# readable without; what the network brings comes later in the page and overrides it.
_STYLE = r"""<style>
body { font-family: sans-serif; padding: 0 1rem; }
td, th { border: 1px solid #ccc; padding: .25rem .6rem; text-align: left; vertical-align: top; }
table { border-collapse: collapse; }
.fa-check-circle::before { content: "\2713"; color: #1a7f37; }
.fa-times::before { content: "\2717"; color: #c0392b; }
</style>"""
_LOGO = re.compile(r'https://[^"\']*/logo-long\.png[^"\']*')


def create_context(folder: Path) -> EphemeralDataContext:
    """A context in memory. It leaves no `gx/` behind, sends no analytics, and writes its pages to `folder`."""
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={SITE: site},
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def write_pages(context: EphemeralDataContext, folder: Path) -> None:
    """Write the pages of all results of a context, readable without a network.

    Args:
        context: from `create_context(folder)`.
        folder: of the pages.

    Raises:
        OSError: a page cannot be written.
    """
    with _raised():
        context.build_data_docs(site_names=[SITE])
    _make_readable_offline(folder)


class _Errors(logging.Handler):
    """Keeps the exceptions that are being handled when something is logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if (error := sys.exc_info()[1]) is not None:
            self.found.append(error)


@contextlib.contextmanager
def _raised() -> Iterator[None]:
    """Raise the first error of building a page; Great Expectations logs it, with a traceback, and goes on without."""
    errors = _Errors()
    logger = logging.getLogger("great_expectations.render.renderer.site_builder")
    before = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [errors], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before
    if errors.found:
        raise errors.found[0]


def _make_readable_offline(folder: Path) -> None:
    """Add a style, the logo and plain links to the pages."""
    results = sorted(page.relative_to(folder).as_posix() for page in folder.glob("validations/**/*.html"))
    links = "".join(f'<li><a href="{page}">{page.split("/")[1]}</a></li>' for page in results)
    for page in folder.rglob("*.html"):
        # The page would request the logo, with the time, whenever it is opened; a copy is in the folder.
        logo = os.path.relpath(folder / "static/images/logo-long.png", page.parent)
        text = _LOGO.sub(logo, page.read_text(encoding="utf-8")).replace("</title>", f"</title>{_STYLE}", 1)
        if page == folder / "index.html":
            text = text.replace("<body>", f"<body><p>Results, as plain links:</p><ul>{links}</ul>", 1)
        write_text(page, text)

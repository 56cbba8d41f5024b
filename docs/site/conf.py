"""Settings of the docs site, which `make docs` builds with Sphinx from the Markdown pages of the project.

The source folder is the project, so that a link between README.md, docs/ and studies/ is the same on GitHub and on the
site. The pages know nothing of the site: `NAVIGATION` orders them, and `api_pages` writes those of the API.
"""

import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import api_pages  # noqa: E402  # The folder of this file is not a package.

HOME = "docs/index"
API = "docs/api/pipeline"
NAVIGATION = {
    "Start": ["docs/getting-started", "docs/notebook"],
    "Tutorials": [
        "docs/tutorials/own-pictures",
        "docs/new-strategy",
        "docs/tutorials/promotion",
        "docs/tutorials/wrong-reading",
    ],
    "How-to guides": [
        "docs/reading",
        "docs/data",
        "docs/experiments",
        "docs/cluster",
        "docs/validation",
        "docs/serving",
        "docs/deploying",
        "docs/monitoring",
        "docs/registry",
        "docs/rollout",
        "CONTRIBUTING",
    ],
    "Reference": ["docs/commands", "docs/params", "docs/scores", "docs/robustness", "docs/packages", API, "CHANGELOG"],
    "Explanation": [
        "docs/design",
        "docs/strategies",
        "docs/ingestion",
        "docs/confidence",
        "docs/convolution",
        "docs/normalization",
        "docs/augmentation",
        "docs/cifar10",
        "docs/transfer",
        "docs/performance",
        "docs/security",
    ],
    "Results": ["docs/leaderboard", *(f"studies/{name}" for name in ("contributions", "seeds", "cifar10", "textbook"))],
}
"""The pages of each section, in their order. Sphinx warns of a page that is in none."""
OTHERS = ["README"]
"""Pages that others link to, and that are in no section."""

ACCESSIBLE = {
    'class="caption" role="heading">': 'class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer"': '<aside aria-label="Pages" class="sidebar-drawer"',
    '<aside class="toc-drawer': '<aside aria-label="On this page" class="toc-drawer',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    "<pre>": '<pre tabindex="0">',
    '<div id="search-results">': '<h1>Search</h1><div id="search-results">',
}
"""Of the HTML of the theme: what is replaced, and by what."""

project = "digit-strips"
root_doc = HOME
extensions = ["myst_parser"]
include_patterns = [f"{page}.md" for pages in [[HOME], OTHERS, *NAVIGATION.values()] for page in pages]
include_patterns += ["docs/**.md", "studies/*.md"]
exclude_patterns = [path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("docs", "studies")]
# Annotations name a type by its short name, which several records use for an attribute.
suppress_warnings = ["ref.python"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "digit-strips"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_extra_path = [str(HERE / "extra")]


def _entry(page: str) -> str:
    return f"API of every module </{page}>\n" if page == API else f"/{page}\n"


def _navigate(app: Sphinx, name: str, content: list[str]) -> None:
    """Add the sections to the first page, and take the API's pages for links to the library's files."""
    if name == HOME:
        content[0] += "".join(
            f"\n```{{toctree}}\n:caption: {section}\n:hidden:\n\n" + "".join(map(_entry, pages)) + "```\n"
            for section, pages in NAVIGATION.items()
        )
    folder = (ROOT / name).parent

    def of_api(link: re.Match) -> str:
        target = (folder / link[1].replace("\\", "")).resolve()
        page = api_pages.page_of(target, ROOT)
        return link[0] if page is None else f"](/{page})"

    content[0] = re.sub(r"\]\(([^)#:]+)\)", of_api, content[0])


def _mark_orphans(app: Sphinx, doctree: nodes.document) -> None:
    if app.env.docname in OTHERS:
        app.env.metadata[app.env.docname]["orphan"] = True


def _make_accessible(app: Sphinx, error: Exception | None) -> None:
    """Complete what Furo leaves out: levels of headings, names of regions, and what scrolls can be reached by key."""
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for found, complete in ACCESSIBLE.items():
            text = text.replace(found, complete)
        page.write_text(text, encoding="utf-8")


def _reject_assets_from_elsewhere(app: Sphinx, error: Exception | None) -> None:
    """A page loads nothing from another host: it works offline, and tells nobody who reads it."""
    loading = re.compile(r'<(?:script|img|iframe|source|link)[^>]*\s(?:src|href)="(?:https?:)?//[^"]+')
    for page in Path(app.outdir).rglob("*.html"):
        for found in loading.findall(page.read_text(encoding="utf-8")):
            raise ExtensionError(f"{page.name}: loads from elsewhere: {found}")


def setup(app: Sphinx) -> None:
    """Write the API's pages before Sphinx looks for pages."""
    app.connect("builder-inited", lambda app: api_pages.write(ROOT / "pipeline", ROOT / "docs/api"))
    app.connect("source-read", _navigate)
    app.connect("doctree-read", _mark_orphans)
    app.connect("build-finished", _make_accessible)
    app.connect("build-finished", _reject_assets_from_elsewhere)

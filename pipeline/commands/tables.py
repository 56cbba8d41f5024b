"""`make tables`: copy what the run in the workspace measured and drew into README.md and docs/. Not a DVC stage."""

import re
from pathlib import Path

from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.plots import previews
from pipeline.project import command
from pipeline.reports import markdown
from pipeline.reports.formats import INDISTINCT
from pipeline.reports.tables import HEADINGS

PICTURES = {
    "docs/pictures/accuracy-strips.png": "reports/comparison/strips/accuracy.png",
    "docs/pictures/scenes.png": "reports/evaluation/scenes/faster_rcnn/scenes-examples.png",
    "docs/pictures/normalization.png": "reports/normalization/cifar10/before_after.png",
    "docs/pictures/whitening.png": "reports/normalization/cifar10/spectrum.png",
    "docs/pictures/augmentation.png": "previews/cifar10/all.png",
    **{
        f"docs/pictures/convolution/{name}.png": f"reports/convolution/{name}.png"
        for name in ("dropout", "kernels", "maps", "pooling", "samples", "shift", "strip", "worked")
    },
}
"""The pictures of the pages, and the files that the stages drew."""
SUITES = "docs/pictures/suites.png"
"""The picture of the suites, which no stage draws."""
STRIPS = 4
"""Strips of each suite on that picture."""
CAPTIONS = {
    "plain": "five digits",
    "blanks": "none to five digits",
    "jitter": "shifted, scaled, rotated, overlapping",
    "clutter": "jitter among patches and lines",
}


def best_of_each_suite(leaderboard: str) -> str:
    """Render the best row of each suite, of the leaderboard in Markdown, as a Markdown table of its first columns.

    Strategies that are marked, since they cannot be told apart from the best one, are named beside it.

    Args:
        leaderboard: as `pipeline.reports.tables` renders it: the best row of a suite is its first, and has its name.
    """
    _, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in leaderboard.splitlines())
    best: list[list[str]] = []
    for suite, strategy, accuracy, interval, *_ in rows:
        if suite:
            best.append([suite, strategy, accuracy, interval])
        elif accuracy.endswith(INDISTINCT):
            best[-1][1] += f"{', ' if INDISTINCT in best[-1][1] else f' {INDISTINCT} '}{strategy}"
    return markdown.table(("suite", "best strategy", *HEADINGS[2:4]), best)


def commands(makefile: str) -> str:
    """Render the commands of a Makefile, as `make` lists them, in a Markdown table."""
    listed = re.findall(r"^([a-z-]+):.*?##\s*(.+)$", makefile, re.MULTILINE)
    return markdown.table(("command", "what it does"), [(f"`make {name}`", text) for name, text in listed])


def main() -> None:
    """Write the tables into README.md and pages of docs/, and the pictures into docs/pictures/."""
    leaderboard = Path("metrics/leaderboard.md").read_text(encoding="utf-8")
    markdown.replace_table(Path("README.md"), "best", best_of_each_suite(leaderboard))
    markdown.replace_table(Path("docs/leaderboard.md"), "leaderboard", leaderboard)
    corrupted = Path("metrics/corruptions.md").read_text(encoding="utf-8")
    markdown.replace_table(Path("docs/robustness.md"), "corruptions", corrupted)
    markdown.replace_table(Path("docs/commands.md"), "commands", commands(Path("Makefile").read_text(encoding="utf-8")))
    for page, drawn in PICTURES.items():
        with replacing(Path(page)) as temporary:
            temporary.write_bytes(Path(drawn).read_bytes())
    rows = {
        f"{suite}: {caption}": ImageSet.load(Path(f"data/strips/{suite}/valid.npz")).images[:STRIPS]
        for suite, caption in CAPTIONS.items()
    }
    previews.contact_sheet(rows, Path(SUITES))


if __name__ == "__main__":
    command.run(main)

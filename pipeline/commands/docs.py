"""`make pages`: bring what README.md and docs/ show up to the run in the workspace. No DVC stage."""

from pathlib import Path

from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.plots import previews
from pipeline.project import command
from pipeline.reports import markdown

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
"""The pictures of the pages, and what the stages drew."""
SUITES = "docs/pictures/suites.png"
EACH = 4
"""Strips of a suite on that picture."""
STRIPS = {
    "plain": "five digits",
    "blanks": "none to five digits",
    "jitter": "shifted, scaled, turned, overlapping",
    "clutter": "jitter among patches and lines",
}


def main() -> None:
    """Write the leaderboard into README.md, and the pictures into docs/pictures/."""
    markdown.replace_table(Path("README.md"), "leaderboard", Path("metrics/leaderboard.md").read_text())
    for page, drawn in PICTURES.items():
        with replacing(Path(page)) as temporary:
            temporary.write_bytes(Path(drawn).read_bytes())
    shown = {
        f"{suite}: {what}": ImageSet.load(Path(f"data/strips/{suite}/valid.npz")).images[:EACH]
        for suite, what in STRIPS.items()
    }
    previews.contact_sheet(shown, Path(SUITES))


if __name__ == "__main__":
    command.run(main)

"""Find labels of a source that are probably wrong, and write a page of them for a person to judge."""

from pathlib import Path

from pipeline.analysis import suspects
from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.project import command
from pipeline.reports import sprites
from pipeline.reports.formats import csv_text
from pipeline.reports.templating import render

MOST = 300
"""Suspects on the page; the table has all of them."""
COLUMNS = ("rank", "part", "index", "place", "given", "predicted", "probability", "quality", "sha256", "label")


def main(source: str, data: Path, out: Path) -> str:
    """Write `index.html` and `suspects.csv` to the folder `out`; return how many labels look wrong."""
    settings = params.load(Path("params.yaml"))
    folds = settings.suspects[source].folds
    labelled = suspects.load(data.name, data)
    found = suspects.find(labelled, folds=folds, seed=settings.compose.seed)
    rows = [
        {
            "rank": rank,
            "part": str(labelled.part[each.row]),
            "index": int(labelled.index[each.row]),
            "place": int(labelled.place[each.row]),
            "given": labelled.class_names[int(labelled.labels[each.row])],
            "predicted": each.predicted,
            "probability": round(each.probability, 4),
            "quality": round(each.quality, 6),
            "sha256": str(labelled.sha256[each.row]),
            "label": str(labelled.published[each.row]),
        }
        for rank, each in enumerate(found, 1)
    ]
    shown = [
        row | {"picture": sprites.url(labelled.images[each.row][None])}
        for row, each in zip(rows[:MOST], found, strict=False)
    ]
    page = render(
        "suspects.html",
        source=source,
        origin=labelled.origin,
        n=len(labelled.labels),
        all=rows,
        shown=shown,
        folds=folds,
    )
    with replacing(out) as folder:
        folder.mkdir()
        (folder / "index.html").write_text(page, encoding="utf-8")
        table = csv_text(COLUMNS, [[str(row[column]) for column in COLUMNS] for row in rows])
        (folder / "suspects.csv").write_text(table, encoding="utf-8")
    return f"{len(rows):,} of {len(labelled.labels):,} labels look wrong"


if __name__ == "__main__":
    command.run(main)

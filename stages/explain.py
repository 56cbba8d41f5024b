"""Show what the most confident errors of every strategy of a task rest on: occlusion maps of its served form."""

from pathlib import Path

from pipeline.analysis import occlusion
from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.evaluation.inference import THREADS, suites_to_read
from pipeline.plots import explanations, galleries, style
from pipeline.plots.explanations import Explained
from pipeline.project import command
from pipeline.records.analysis import Explanation, Explanations
from pipeline.records.export import ExportRecord
from pipeline.reports import excerpts, failures
from pipeline.runtime.model import OnnxModel

MOST = 6
"""Pictures of a strategy, shared out evenly among its suites."""


def main(task: str, exports: Path, predictions: Path, data: Path, out: Path) -> str:
    """Write a sheet for every strategy of the task that misreads a picture of test, and what is on it.

    Strategies and suites that are not in params.yaml are left out. Returns the number of pictures.
    """
    settings = params.load(Path("params.yaml"))
    sheets = []
    images: dict[str, ImageSet] = {}
    with replacing(out) as folder:
        folder.mkdir()
        for strategy in settings.strategies_of(task):
            record = ExportRecord.read(exports / strategy / "export.json")
            model = OnnxModel.load(exports / strategy / record.model.file, threads=THREADS)
            suites = suites_to_read(record, settings.suites_of(task), data)
            shown, found = [], []
            for suite in suites:
                if suite not in images:
                    images[suite] = ImageSet.load(data / suite / f"{excerpts.SPLIT}.npz")
                read = excerpts.read(predictions / strategy / f"{suite}-{excerpts.SPLIT}.npz", images[suite])
                chosen = galleries.confident_errors(read, max(1, MOST // len(suites)))
                drops = occlusion.maps(model, record, images[suite].images[chosen])
                for index, drop in zip(chosen.tolist(), drops, strict=True):
                    one = failures.misread(read, index)
                    caption = f"{suite}: {one.prediction}, target {one.target}\nconfidence {one.confidence:.2f}"
                    shown.append(Explained(caption, images[suite].images[index], drop))
                    found.append((suite, one))
            if not shown:
                continue
            title = f"{strategy}: the most confident errors on test, and what covering a patch takes away"
            style.save(explanations.sheet(shown, title), folder / f"{strategy}.png")
            patch = occlusion.patch_of(model.shape)
            sheets.append(
                Explanation(
                    strategy=strategy,
                    picture=f"{strategy}.png",
                    suites=tuple(suite for suite, _ in found),
                    readings=tuple(one for _, one in found),
                    patch=patch,
                    stride=patch // 2,
                )
            )
        Explanations(task=task, split=excerpts.SPLIT, sheets=tuple(sheets)).write(folder / failures.EXPLANATIONS)
    return f"{sum(len(sheet.readings) for sheet in sheets)} pictures of {len(sheets)} strategies"


if __name__ == "__main__":
    command.run(main)

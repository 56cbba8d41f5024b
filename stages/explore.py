"""Take out of each suite of a task the pictures that a strategy misreads, with what every strategy reads of them."""

from pathlib import Path

from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.core.images import ImageSet
from pipeline.evaluation import leaderboard
from pipeline.project import command
from pipeline.reports import excerpts


def main(task: str, evaluation: Path, predictions: Path, data: Path, out: Path) -> str:
    """Write an excerpt of the test split of each reported suite that a strategy reads to the folder `out`.

    Strategies and suites that are not in params.yaml are left out. Returns how many pictures were taken of each suite.
    """
    settings = params.load(Path("params.yaml"))
    strategies = [name for name, strategy in settings.strategies.items() if strategy.task == task]
    evaluations = leaderboard.evaluations(evaluation, strategies)
    taken = []
    with replacing(out) as folder:
        folder.mkdir()
        for suite in settings.suites_of(task):
            readers = [name for name in strategies if suite in evaluations[name].suites]
            if not readers:
                continue
            pictures = ImageSet.load(data / suite / f"{excerpts.SPLIT}.npz")
            file = f"{suite}-{excerpts.SPLIT}.npz"
            read = {name: excerpts.read(predictions / name / file, pictures) for name in readers}
            excerpt = excerpts.excerpt(task, suite, read)
            excerpts.save(excerpt, folder)
            taken.append(f"{suite} {len(excerpt.pictures):,} of {len(pictures):,} pictures")
    return ", ".join(taken)


if __name__ == "__main__":
    command.run(main)

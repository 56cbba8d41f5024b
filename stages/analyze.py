"""Test which strategies of a task differ on the same test pictures, and find the slices that each reads worst."""

from dataclasses import replace
from pathlib import Path

from pipeline.analysis import significance as pairs
from pipeline.analysis import slices as parts
from pipeline.config import params
from pipeline.core.files import replacing, write_text
from pipeline.core.images import ImageSet
from pipeline.evaluation import leaderboard
from pipeline.project import command
from pipeline.reports import excerpts, failures
from pipeline.reports.formats import csv_text


def main(
    task: str, evaluation: Path, predictions: Path, data: Path, significance: Path, slices: Path, pictures: Path
) -> str:
    """Write the table of all pairs, the table of all slices, and the worst slices with pictures to the last three.

    Strategies and suites that are not in params.yaml are left out. Returns how many pairs and slices stand out.
    """
    settings = params.load(Path("params.yaml"))
    chosen, level = settings.analysis, 1 - settings.analysis.confidence
    evaluations = leaderboard.evaluations(evaluation, settings.strategies_of(task))
    compared, scored, read = [], [], {}
    for suite in settings.suites_of(task):
        readers = [name for name, each in evaluations.items() if suite in each.suites]
        if not readers:
            continue
        images = ImageSet.load(data / suite / f"{excerpts.SPLIT}.npz")
        divided, correct = parts.slices(images), {}
        for name in readers:
            scores = evaluations[name].suites[suite][excerpts.SPLIT]
            found = excerpts.read(predictions / name / f"{suite}-{excerpts.SPLIT}.npz", images)
            evaluated = replace(found, positional=scores.slots is not None)
            read[name, suite] = evaluated, divided, scores.threshold
            scored += parts.scores(name, suite, evaluated, divided, scores.threshold, chosen.slice_pictures)
            correct[name] = evaluated.correct
        compared += pairs.compare(
            suite, correct, confidence=chosen.confidence, resamples=chosen.resamples, seed=chosen.seed
        )
    scored = parts.corrected(scored)
    worst = failures.collect(task, excerpts.SPLIT, scored, read, level=level, least=chosen.slice_pictures)
    write_text(significance, csv_text(pairs.COLUMNS, [pairs.cells(each) for each in compared]))
    write_text(slices, csv_text(parts.COLUMNS, [parts.cells(row) for row in scored]))
    with replacing(pictures) as folder:
        folder.mkdir()
        failures.save(worst, folder)
    differ = sum(each.p_holm <= level for each in compared)
    return f"{differ} of {len(compared)} pairs differ, {len(worst.record.worst)} slices stand out"


if __name__ == "__main__":
    command.run(main)

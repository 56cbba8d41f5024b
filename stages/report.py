"""Merge what was recorded about every task into the tables of metrics/ and one page to explore."""

from pathlib import Path

from pipeline.config import params
from pipeline.config.sections import TASKS
from pipeline.core.files import replacing, write_json, write_text
from pipeline.plots import curves as charts
from pipeline.plots import style
from pipeline.project import command
from pipeline.reports import corruptions, data_docs, tables
from pipeline.reports import report as page
from pipeline.reports.overview import Overview


def main(
    metrics: Path,
    training: Path,
    timings: Path,
    validation: Path,
    sheets: Path,
    excerpts: Path,
    slices: Path,
    explanations: Path,
    lock: Path,
    leaderboard: Path,
    summary: Path,
    timings_table: Path,
    curves: Path,
    confusion: Path,
    corrupted: Path,
    pictures: Path,
    docs: Path,
    report: Path,
) -> None:
    """Read the folders `metrics` to `explanations` and the lock of packages; write `leaderboard` to `report`.

    Strategies and suites that are not in params.yaml are left out. `leaderboard` and `corrupted` are CSV; the same
    names with `.md` have the rows of test, and a row for each strategy, in Markdown. `pictures` is a folder for the
    training curves; `docs` is a page with links.
    """
    settings = params.load(Path("params.yaml"))
    task_of = {name: strategy.task for name, strategy in settings.strategies.items()}
    suites_of: dict[str, list[str]] = {task: settings.suites_of(task) for task in TASKS if task in task_of.values()}
    confidence = settings.analysis.confidence
    overview = Overview.load(task_of, suites_of, metrics=metrics, training=training, confidence=confidence)
    write_text(leaderboard, tables.merged(metrics / "leaderboard" / f"{task}.csv" for task in suites_of))
    write_text(leaderboard.with_suffix(".md"), tables.leaderboard_markdown(overview.rows, overview.as_good))
    write_json(summary, tables.summary(overview.candidates.values()))
    write_text(timings_table, tables.timings(timings, task_of))
    write_text(curves, tables.curves(overview.trainings.values()))
    counted = (sheets / task / name / f"{suite}-confusion.csv" for task, name, suite in overview.candidate_suites())
    write_text(confusion, tables.confusions(counted))
    write_text(corrupted, corruptions.table(overview.robustness))
    write_text(corrupted.with_suffix(".md"), corruptions.markdown_table(overview.robustness))
    with replacing(pictures) as folder:
        folder.mkdir()
        title = "Training (embedded stand-in)" if overview.stand_in else "Training"
        histories = {name: training.history for name, training in overview.trainings.items()}
        style.save(charts.curves(histories, title), folder / "curves.png")
    write_text(docs, data_docs.index({name: suite.task for name, suite in settings.suites.items()}, validation))
    looked_at = list(settings.suspects)
    sources = page.Sources(
        validation, sheets, excerpts, lock, slices, metrics / "cost", explanations, looked_at, confidence
    )
    write_text(report, page.report(overview, {"seed": settings.seed, "budget": settings.budget}, sources))


if __name__ == "__main__":
    command.run(main)

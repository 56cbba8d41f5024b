"""Compares the strategies of params.yaml: the leaderboard, each task's candidate, and one page that shows it all."""

from pathlib import Path

from pipeline.config import params
from pipeline.core.files import replacing, write_json, write_text
from pipeline.evaluation import leaderboard as board
from pipeline.plots import figures
from pipeline.project import command


def main(
    evaluation: Path,
    training: Path,
    timings: Path,
    validation: Path,
    sheets: Path,
    leaderboard: Path,
    candidates: Path,
    summary: Path,
    timings_table: Path,
    pictures: Path,
    report: Path,
) -> None:
    """Rank what `evaluate` scored, choose each task's candidate on valid, and write tables, pictures and the report.

    Reads the folders `evaluation` (scores), `training` (curves), `timings`, `validation` (was the data sound) and
    `sheets` (the pictures of each evaluation). Strategies and suites that are not in params.yaml are left out.
    """
    run = params.load(Path("params.yaml"))
    tasks = [task for task in params.TASKS if task in {strategy.task for strategy in run.strategies.values()}]
    suites_of = {task: run.suites_of(task) for task in tasks}
    evaluations = board.evaluations(evaluation, list(run.strategies))
    rows = board.scores(evaluations, [suite for suites in suites_of.values() for suite in suites])
    chosen = board.candidates(evaluations, suites_of)

    write_text(leaderboard, board.table(rows))
    write_text(leaderboard.with_suffix(".md"), board.markdown(rows))
    write_json(candidates, chosen)
    write_json(summary, board.summary(chosen, rows))
    write_text(timings_table, board.timings(timings, list(run.strategies)))
    note = " (embedded stand-in)" if any(row.origin == "embedded" for row in rows) else ""
    with replacing(pictures) as folder:
        curves = {strategy: figures.read_curves(training / strategy) for strategy in run.strategies}
        figures.save(figures.curves(curves, f"Training{note}"), folder / "curves.png")
        for task, suites in suites_of.items():
            mine = [row for row in rows if row.suite in suites]
            figures.save(figures.accuracies(mine, suites, task), folder / f"accuracy-{task}.png")
    page = report.report(
        rows=rows,
        candidates=chosen,
        evaluations=evaluations,
        suites_of=suites_of,
        settings={"seed": run.seed, "budget": run.budget},
        validation=validation,
        pictures=pictures,
        sheets=sheets,
    )
    write_text(report, page)


if __name__ == "__main__":
    command.run(main)

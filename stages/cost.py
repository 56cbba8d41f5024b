"""Count the multiply-adds of every strategy of a task in its served form, and measure the memory that it takes."""

from pathlib import Path

from pipeline.analysis import cost
from pipeline.config import params
from pipeline.core.files import write_text
from pipeline.project import command
from pipeline.records.export import ExportRecord
from pipeline.records.timing import MemoryTiming
from pipeline.reports.formats import csv_text


def main(task: str, exports: Path, out: Path, timings: Path) -> str:
    """Write the costs as CSV to `out`, and the memory, which differs from run to run, to `timings`.

    Strategies that are not in params.yaml are left out. Returns the fewest and the most multiply-adds.
    """
    found, memory = [], {}
    for strategy in params.load(Path("params.yaml")).strategies_of(task):
        record = ExportRecord.read(exports / strategy / "export.json")
        path = exports / strategy / record.model.file
        found.append(cost.cost(path, record))
        memory[strategy] = cost.memory(path)
    write_text(out, csv_text(cost.COLUMNS, [cost.cells(row) for row in found]))
    MemoryTiming(task=task, memory=memory).write(timings)
    counts = [row.multiply_adds / 1e6 for row in found]
    return f"{min(counts):,.1f} to {max(counts):,.1f} million multiply-adds" if counts else "no strategy"


if __name__ == "__main__":
    command.run(main)

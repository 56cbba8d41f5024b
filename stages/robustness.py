"""Read the corrupted pictures of a task with an exported model, and record what it reads and accepts of them."""

from pathlib import Path

from pipeline.config import params
from pipeline.corruptions import sets
from pipeline.evaluation import inference
from pipeline.evaluation import robustness as measuring
from pipeline.project import command
from pipeline.records.evaluation import Evaluation
from pipeline.records.export import ExportRecord


def main(strategy: str, export: Path, corrupted: Path, evaluation: Path, out: Path) -> str:
    """Read every corrupted set below `corrupted` of the reported suites that the model in `export` can read.

    `evaluation` has the threshold from which readings are accepted. Returns the shares in short.
    """
    record = ExportRecord.read(export / "export.json")
    threshold = measuring.threshold_of(record, Evaluation.read(evaluation))
    reported = params.load(Path("params.yaml")).suites_of(record.task)
    suites = inference.suites_to_read(record, reported, corrupted / sets.SUITES)
    read = measuring.robustness(export / record.model.file, record, threshold, suites, corrupted)
    read.write(out)
    short = read.shift
    return (
        f"{strategy}: accuracy {100 * short.accuracy:.1f} %, accepted and wrong {100 * short.accepted_wrong:.2f} %, "
        f"at worst {100 * short.worst:.1f} % ({short.worst_on})"
    )


if __name__ == "__main__":
    command.run(main)

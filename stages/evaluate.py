"""Read every suite that an exported model can read, with ONNX Runtime, and score the readings."""

from pathlib import Path

from pipeline.config import params
from pipeline.core.files import replacing, write_text
from pipeline.evaluation import inference, scores
from pipeline.evaluation.confusion import Confusion
from pipeline.plots import galleries
from pipeline.project import command
from pipeline.records.export import ExportRecord


def main(
    strategy: str,
    export: Path,
    data: Path,
    features: Path,
    predictions: Path,
    out: Path,
    pictures: Path,
    timings: Path,
) -> str:
    """Read valid, gate and test of each reported suite below `data` that the model in `export` can read.

    Writes the readings from left to right as `SUITE-SPLIT.npz`, their scores, the wall clock, and for each suite three
    pictures and the confusion of test. Returns the sequence accuracy on test.
    """
    record = ExportRecord.read(export / "export.json")
    reported = params.load(Path("params.yaml")).suites_of(record.task)
    suites = inference.suites_to_read(record, reported, data)
    results, timing = inference.read_suites(export / record.model.file, record, suites, data=data, features=features)
    evaluation = scores.evaluation(record, results)
    with replacing(predictions) as folder:
        for suite, splits in results.items():
            for split, evaluated in splits.items():
                evaluated.readings.save(folder / f"{suite}-{split}.npz")
    with replacing(pictures) as folder:
        for suite, splits in results.items():
            galleries.save_evaluation(folder, strategy, suite, splits)
            confusion = Confusion.of(splits["test"]).as_csv(record.task, strategy)
            write_text(folder / f"{suite}-confusion.csv", confusion)
    evaluation.write(out)
    timing.write(timings)
    shares = {suite: splits["test"].sequence_accuracy for suite, splits in evaluation.suites.items()}
    return "sequence accuracy on test " + ", ".join(f"{suite} {100 * share:.2f} %" for suite, share in shares.items())


if __name__ == "__main__":
    command.run(main)

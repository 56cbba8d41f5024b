"""Hold a data set against its expectations; training depends on what this writes."""

from pathlib import Path

from tqdm import tqdm

from pipeline.config import params, sections
from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import write_json
from pipeline.core.images import SPLITS, ImageSet
from pipeline.project import command
from pipeline.validation import expectations, table


def main(suite: str, data: Path, docs: Path, out: Path) -> None:
    """Write Data Docs in any case, and the report only when every expectation holds."""
    settings = params.load(Path("params.yaml"))
    if suite not in settings.suites:
        raise ConfigurationError(f"--suite {suite}: no such suite; there are {', '.join(settings.suites)}")
    wanted = settings.suites[suite]
    composed, strips = not isinstance(wanted, sections.SplitSuite), isinstance(wanted, sections.StripSuite)
    promise = expectations.Promise(
        suite=suite,
        task=wanted.task,
        class_share=tuple(settings.validate.class_share),
        constant_share=settings.validate.constant_share,
        digits=tuple(wanted.digits) if composed else None,
        jitter=strips and wanted.jitter,
        clutter=composed and wanted.clutter,
    )
    splits = [
        table.tabulate(split, ImageSet.load(data / f"{split}.npz"), wanted.task)
        for split in tqdm(SPLITS, desc=f"reading {suite}", unit="split", leave=False, disable=None)
    ]
    report = expectations.check(splits, promise, docs)
    if not report.success:
        raise DataError(f"{report.complaint()}; all results: {docs / 'index.html'}")
    for note in report.notes:
        print(f"{suite}: {note}")
    write_json(out, report.as_json())


if __name__ == "__main__":
    command.run(main)

"""The model card of a packaged model."""

from pipeline.core.errors import DataError
from pipeline.records.evaluation import Evaluation
from pipeline.records.manifest import Manifest
from pipeline.records.robustness import Robustness
from pipeline.reports.templating import READS
from pipeline.reports.templating import render as rendered


def render(manifest: Manifest, evaluation: Evaluation, robustness: Robustness) -> str:
    """Render a model card (Mitchell et al. 2019) as Markdown, with the front matter that model hubs read.

    Args:
        manifest: of the packaged model.
        evaluation: of the same model; gives the scores on valid and test.
        robustness: of the same model; gives those on corrupted pictures.

    Raises:
        DataError: the corrupted pictures were read by another model.
    """
    if robustness.sha256 != manifest.model.sha256:
        raise DataError(
            f"{manifest.strategy}: corrupted pictures were read by {robustness.sha256[:12]}, expected "
            f"{manifest.model.sha256[:12]}, the packaged model; `dvc repro robustness@{manifest.strategy}` reads them"
        )
    return rendered(
        "model_card.md", manifest=manifest, evaluation=evaluation, robustness=robustness, reads=READS[manifest.task]
    )

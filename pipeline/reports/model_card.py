"""The model card of a packaged model."""

from pipeline.records.evaluation import Evaluation
from pipeline.records.manifest import Manifest
from pipeline.reports.templating import READS
from pipeline.reports.templating import render as rendered


def render(manifest: Manifest, evaluation: Evaluation) -> str:
    """Render a model card (Mitchell et al. 2019) as Markdown, with the front matter that model hubs read.

    Args:
        manifest: of the packaged model.
        evaluation: of the same model; gives the scores on valid and test.
    """
    return rendered("model_card.md", manifest=manifest, evaluation=evaluation, reads=READS[manifest.task])

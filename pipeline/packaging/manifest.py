"""The manifest of a packaged model: its export, with the threshold and the scores that the comparison gives."""

from collections.abc import Mapping
from typing import Any

from pipeline.records.comparison import Candidate
from pipeline.records.evaluation import Evaluation
from pipeline.records.export import ExportRecord, ServedModel
from pipeline.records.manifest import Manifest


def manifest(export: ExportRecord, candidate: Candidate, evaluation: Evaluation) -> Manifest:
    """Describe the candidate of a task.

    Args:
        export: of its served form.
        candidate: of the comparison, with the coverage.
        evaluation: of the same strategy; gives sequence accuracy on test, by suite.

    Raises:
        ValueError: the candidate has no strategy that can be deployed.
    """
    if candidate.coverage is None:
        raise ValueError(f"{candidate.task}: no strategy can be deployed")
    served: Mapping[str, Any] = {name: getattr(export, name) for name in ServedModel.model_fields}
    metrics = {suite: splits["test"].sequence_accuracy for suite, splits in evaluation.suites.items()}
    return Manifest(**served, coverage=candidate.coverage, metrics=metrics)

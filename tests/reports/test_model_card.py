"""The model card: identity, scores, threshold and warnings."""

import re

import evaluations
import pytest

from pipeline.records.evaluation import Accepted, Coverage
from pipeline.records.export import ServedModel
from pipeline.records.manifest import Manifest
from pipeline.reports import model_card

EVALUATION = evaluations.evaluation(0.02)


def manifest(**changes):
    """The manifest of the evaluated model."""
    record = evaluations.record(parameters=1234567)
    served = {name: getattr(record, name) for name in ServedModel.model_fields}
    return Manifest(**served | {"coverage": EVALUATION.coverage, "metrics": {}} | changes)


def test_the_card_has_the_hash_the_scores_and_the_threshold():
    card = model_card.render(manifest(), EVALUATION)
    test = EVALUATION.suites["plain"]["test"]
    assert "ab" * 32 in card
    assert "1,234,567 parameters, 1.3 MB." in card
    assert f"| plain | 200 | {100 * test.sequence_accuracy:.2f} | {100 * test.ci_low:.2f} to" in card
    assert f"**{EVALUATION.coverage.threshold:.6f}**" in card
    assert "- Seed: 20.\n" in card
    assert "- Budget: 1.0.\n" in card
    assert card.startswith("---\nlibrary_name: onnx\n")
    assert "datasets: [mnist]" in card
    assert "stand-in" not in card
    assert "{" not in card
    assert not re.search(r"\n\n\n|[ \t]\n", card)


@pytest.mark.parametrize(
    ("changes", "described", "missing"),
    [
        pytest.param({}, "`classes`", "not a position", id="positions"),
        pytest.param({"positional": False}, "not a position", "`boxes`", id="digits in order"),
        pytest.param({"positional": False, "boxes": True}, "`boxes` (n, slots, 4)", "not a position", id="boxes"),
    ],
)
def test_the_card_says_what_slots_are(changes, described, missing):
    card = model_card.render(manifest(**changes), EVALUATION)
    assert described in card
    assert missing not in card


def test_the_card_of_a_model_of_lines_says_what_it_takes():
    card = model_card.render(manifest(task="lines", positional=False), EVALUATION)
    assert "Reads up to ten handwritten digits in a line of writing" in card
    assert "one ingested line" in card
    assert "the same size, bright ink" not in card
    assert not re.search(r"\n\n\n|[ \t]\n", card)


def test_the_card_warns_of_the_stand_in_of_missing_weights_and_of_a_missing_threshold():
    nothing = Accepted(share=None, accuracy=None)
    coverage = Coverage(target=0.995, threshold=None, valid=nothing, gate=nothing, test=nothing)
    card = model_card.render(manifest(origin="embedded", pretrained="missing", coverage=coverage), EVALUATION)
    assert "Measured on the embedded stand-in" in card
    assert "pretrained weights were not available" in card
    assert "No confidence threshold" in card
    assert "datasets:" not in card

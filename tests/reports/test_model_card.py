"""The model card: identity, scores, threshold and warnings."""

import re

import evaluations
import pytest

from pipeline.records.evaluation import Accepted, Coverage
from pipeline.records.export import ServedModel
from pipeline.records.manifest import Manifest
from pipeline.reports import model_card

EVALUATION = evaluations.evaluation(0.02)
ROBUSTNESS = evaluations.robustness()
COVERAGE = Coverage(
    target=0.995,
    level=0.9,
    threshold=0.75,
    valid=Accepted(share=0.6, accuracy=0.999),
    gate=Accepted(share=0.6, accuracy=0.999),
    test=Accepted(share=0.5, accuracy=0.9975),
)


def manifest(**changes):
    """The manifest of the evaluated model."""
    record = evaluations.record(parameters=1234567)
    served = {name: getattr(record, name) for name in ServedModel.model_fields}
    return Manifest(**served | {"coverage": COVERAGE, "metrics": {}} | changes)


def test_the_card_has_the_hash_the_scores_and_the_threshold():
    card = model_card.render(manifest(), EVALUATION, ROBUSTNESS)
    test = EVALUATION.suites["plain"]["test"]
    assert "ab" * 32 in card
    assert "1,234,567 parameters, 1.3 MB." in card
    assert f"| plain | 200 | {100 * test.sequence_accuracy:.2f} | {100 * test.ci_low:.2f} to" in card
    assert "**0.750000**" in card
    assert "with a confidence of 90 %" in card
    assert "On test it accepts 50.0 % of the pictures, and\n99.75 % of those are read correctly. " in card
    assert "- Seed: 20.\n" in card
    assert "- Budget: 1.0.\n" in card
    assert card.startswith("---\nlibrary_name: onnx\n")
    assert "datasets: [mnist]" in card
    assert "stand-in" not in card
    assert "{" not in card
    assert not re.search(r"\n\n\n|[ \t]\n", card)


def test_the_card_says_that_the_accuracy_of_what_is_accepted_is_below_the_target():
    below = COVERAGE.model_copy(update={"test": Accepted(share=0.5, accuracy=0.9942)})
    card = model_card.render(manifest(coverage=below), EVALUATION, ROBUSTNESS)
    assert "99.42 % of those are read correctly, which is **below the target**. Neither" in card


@pytest.mark.parametrize(
    ("changes", "described", "missing"),
    [
        pytest.param({}, "`classes`", "not a position", id="positions"),
        pytest.param({"positional": False}, "not a position", "`boxes`", id="digits in order"),
        pytest.param({"positional": False, "boxes": True}, "`boxes` (n, slots, 4)", "not a position", id="boxes"),
    ],
)
def test_the_card_says_what_slots_are(changes, described, missing):
    card = model_card.render(manifest(**changes), EVALUATION, ROBUSTNESS)
    assert described in card
    assert missing not in card


def test_the_card_of_a_model_of_lines_says_what_it_takes():
    card = model_card.render(manifest(task="lines", positional=False), EVALUATION, ROBUSTNESS)
    assert "Reads up to ten handwritten digits in a line of writing" in card
    assert "one ingested line" in card
    assert "the same size, bright ink" not in card
    assert not re.search(r"\n\n\n|[ \t]\n", card)


def test_the_card_warns_of_the_stand_in_of_missing_weights_and_of_a_missing_threshold():
    nothing = Accepted(share=0, accuracy=None)
    coverage = Coverage(target=0.995, level=0.9, threshold=None, valid=nothing, gate=nothing, test=nothing)
    card = model_card.render(
        manifest(origin="embedded", pretrained="missing", coverage=coverage), EVALUATION, ROBUSTNESS
    )
    assert "Measured on the embedded stand-in" in card
    assert "pretrained weights were not available" in card
    assert "No reading is accepted: the valid splits assure 99.5 % accuracy at no confidence threshold." in card
    assert "datasets:" not in card

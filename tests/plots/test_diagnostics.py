"""The panels of the diagnostics, with and without positions."""

import evaluations
import numpy as np
import pytest
from evaluations import readings, rows, singles, strips

from pipeline.core.images import STRIP_NAMES, ImageSet
from pipeline.evaluation.evaluated import Evaluated
from pipeline.plots.diagnostics import diagnostics


def test_without_positions_digits_are_compared_where_their_number_is_correct():
    pictures = ImageSet(np.zeros((3, 28, 84, 1), np.uint8), rows("12_", "3__", "45_"), STRIP_NAMES, "mnist")
    evaluated = Evaluated.of(readings(rows("_17", "33_", "45_"), [0.5] * 3), pictures, positional=False)
    confusion, _, lengths = diagnostics(evaluated, "free").axes
    cells = {text.get_position(): text.get_text() for text in confusion.texts}
    assert cells == {(1, 1): "1", (7, 2): "1", (4, 4): "1", (5, 5): "1"}
    assert "2 of 3 pictures" in confusion.get_xlabel()
    assert [tick.get_text() for tick in lengths.get_xticklabels()] == ["1", "2"]
    assert lengths.lines[0].get_ydata().tolist() == [0, 50]


@pytest.mark.parametrize(("pictures", "parts"), [(strips(40), 5), (singles(80), 10)], ids=["slots", "classes"])
def test_with_positions_the_last_panel_shows_slots_or_classes(pictures, parts):
    evaluated = Evaluated.of(evaluations.noisy(pictures), pictures)
    confusion, reliability, accuracies = diagnostics(evaluated, "title").axes
    assert sum(int(text.get_text()) for text in confusion.texts) == pictures.labels.size
    assert len(accuracies.get_xticklabels()) == parts
    assert f"{len(pictures)} pictures" in reliability.texts[0].get_text()

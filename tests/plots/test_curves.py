"""Training curves out of the history of a training."""

import pytest

from pipeline.plots.curves import curves


def test_every_metric_of_an_epoch_is_a_point():
    history = [{"loss": 1 / (epoch + 1), "val_exact_match": epoch / 3} for epoch in range(3)]
    drawn = curves({"slice": history, "untrained": []}, "Training")
    points = [
        list(line.get_ydata())
        for axis in drawn.axes
        if axis.get_visible()
        for line in axis.lines
        if len(line.get_ydata())
    ]
    assert points == [[1, 1 / 2, 1 / 3], pytest.approx([0, 100 / 3, 200 / 3])], "a loss, and a share in per cent"
    assert {axis.get_title("left") for axis in drawn.axes} == {"slice", "untrained", ""}


def test_many_strategies_take_several_rows():
    drawn = curves({f"strategy {number}": [{"loss": 1.0}] for number in range(7)}, "Training")
    assert sum(axis.get_visible() for axis in drawn.axes) == 2 * 7

"""Recomposed lines: the digits of labelled pictures in other orders, with the ids of the pictures."""

from dataclasses import replace

import numpy as np
import pytest
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.core.lines import LINE_SHAPE, Picture
from pipeline.data import recomposition, stand_in

IDS = list(range(50, 70))


@pytest.fixture(scope="module")
def pictures():
    return stand_in.lines().pictures[: len(IDS)]


@pytest.fixture(scope="module")
def recomposed(pictures):
    return recomposition.compose(pictures, IDS, lines=40, origin="embedded", seed=2)


def test_digits_are_of_the_pictures_that_their_ids_say(recomposed, pictures):
    assert (len(recomposed), recomposed.shape, recomposed.origin) == (40, LINE_SHAPE, "embedded")
    drawn = recomposed.labels < 10
    assert (recomposed.sources[~drawn] == -1).all()
    assert (recomposed.boxes[drawn][:, 2:] > recomposed.boxes[drawn][:, :2]).all()
    for row in range(len(recomposed)):
        for value, source in zip(recomposed.labels[row], recomposed.sources[row], strict=True):
            assert source == -1 or value in pictures[IDS.index(source)].digits
    assert len({tuple(row) for row in recomposed.labels.tolist()}) > 20


def test_one_seed_gives_one_set(recomposed, pictures):
    again = recomposition.compose(pictures, IDS, lines=40, origin="embedded", seed=2)
    other = recomposition.compose(pictures, IDS, lines=40, origin="embedded", seed=3)
    assert np.array_equal(again.images, recomposed.images)
    assert not np.array_equal(other.labels, recomposed.labels)


def test_a_picture_is_taken_apart_into_its_digits_and_its_paper():
    pixels = np.full((96, 200), 220, np.uint8)
    pixels[20:80, 30:38] = pixels[20:80, 120:128] = 40
    boxes = np.array([[30, 20, 38, 80], [120, 20, 128, 80]], np.float32)
    for picture in (pixels, 255 - pixels):
        layers = recomposition.take_apart(Picture("11.png", picture, np.array([1, 1], np.uint8), boxes), 7)
        assert [(digit.value, digit.source) for digit in layers.digits] == [(1, 7), (1, 7)]
        assert layers.ground.shape == (48, 100)
        assert layers.ground.max() < 30
        assert all(digit.ink.max() > 100 for digit in layers.digits)
        assert all(28 <= digit.ink.shape[0] <= 34 for digit in layers.digits)


def test_pictures_without_boxes_give_no_digits(pictures):
    without = [replace(picture, boxes=None) for picture in pictures]
    with refuses(DataError, "without boxes", "`recomposed: 0`"):
        recomposition.compose(without, IDS, lines=5, origin="embedded", seed=0)
    mixed = [*without[:1], *pictures[1:]]
    made = recomposition.compose(mixed, IDS, lines=30, origin="embedded", seed=0)
    assert IDS[0] not in made.sources

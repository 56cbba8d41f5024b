"""A hand: its digits have its height and slant, its signs are small."""

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipeline.data.handwriting import COMMA, DASH, DOLLAR, DOT, EQUALS, HASH, Hand

BAR = np.zeros((28, 28), np.uint8)
BAR[4:24, 12:16] = 255
EIGHT = np.zeros((28, 28), np.uint8)
EIGHT[4:24, 8:20] = 255
EIGHT[6:13, 10:18] = EIGHT[15:22, 10:18] = 0


@pytest.fixture
def hand():
    drawn = Hand.drawn(np.random.default_rng(0), 40, 40)
    upright = {"slant": 0.0, "wobble": 0.0, "aspect": 1.0, "level": 0.5, "thin": False, "zeros": 1.0, "ones": 1.0}
    return replace(drawn, **upright, crossed=False, hooked=False, opened=False, hanging=0.0)


def written(hand, cell, value, seed=1):
    return hand.digit(cell, value, np.random.default_rng(seed))


def test_digits_have_the_height_of_the_hand(hand):
    heights = [written(hand, BAR, 1, seed).shape[0] for seed in range(20)]
    assert 30 <= min(heights) <= max(heights) <= 48
    assert written(replace(hand, ones=0.5), BAR, 1).shape[0] < 0.6 * written(hand, BAR, 1).shape[0]


def test_slant_leans_to_the_right(hand):
    ink = written(replace(hand, slant=0.4), BAR, 1)
    columns = np.arange(ink.shape[1])
    top, bottom = ink[:6].sum(axis=0), ink[-6:].sum(axis=0)
    assert (top * columns).sum() / top.sum() - (bottom * columns).sum() / bottom.sum() > 0.25 * ink.shape[0]


@pytest.mark.parametrize(
    ("change", "value", "sign"), [({"thin": True}, 8, -1), ({"crossed": True}, 7, 1), ({"hooked": True}, 1, 1)]
)
def test_manners_add_and_take_away_ink(hand, change, value, sign):
    cell = BAR if value != 8 else EIGHT
    difference = written(replace(hand, **change), cell, value).sum() - written(hand, cell, value).sum()
    assert np.sign(difference) == sign


def test_an_open_eight_has_a_gap_in_its_upper_bow(hand):
    whole, opened = written(hand, EIGHT, 8), written(replace(hand, opened=True), EIGHT, 8)
    upper = slice(0, 6)
    assert opened[upper].sum() < 0.8 * whole[upper].sum()


@pytest.mark.parametrize("height", [18, 26, 42])
def test_no_pen_fills_the_bows_of_an_eight_or_breaks_its_strokes(height):
    random = np.random.default_rng(height)
    for seed in range(60):
        hand = replace(Hand.drawn(random, height, height), opened=False)
        ink = np.pad(written(hand, EIGHT, 8, seed) > 0.5, 1).astype(np.uint8)
        pieces, grounds = (
            cv2.connectedComponentsWithStats(part, connectivity=joined)[2][1:, cv2.CC_STAT_AREA]
            for part, joined in ((ink, 8), (1 - ink, 4))
        )
        # A hole of one or two pixels is not seen.
        assert ((pieces > 2).sum(), (grounds > 2).sum()) == (1, 3), f"{hand}"


def test_a_fine_pen_keeps_every_stroke(hand):
    # The horizontal stroke is faint and meets a strong one, as where a pen slides.
    cell = BAR.copy()
    cell[13:15, 4:12] = 150
    ink = written(replace(hand, thin=True, level=0.6), cell, 4)
    middle = ink[len(ink) // 2 - 5 : len(ink) // 2 + 5, 1 : ink.shape[1] // 3]
    assert (middle.max(axis=0) > 0.5).all()


def test_signs_are_drawn(hand):
    rng = np.random.default_rng(2)
    sizes = {kind: hand.sign(kind, rng).shape for kind in (DOT, COMMA, DASH, EQUALS, HASH, DOLLAR)}
    assert all(hand.sign(kind, rng).max() > 0.5 for kind in sizes)
    assert sizes[DOT][0] < sizes[COMMA][0] < sizes[HASH][0]
    assert sizes[DASH][0] < sizes[EQUALS][0] < sizes[DOLLAR][0]


def test_an_example_is_kept_in_half_of_the_cases(hand):
    rng, rows = np.random.default_rng(3), np.arange(1000)
    chosen = [hand.example(4, rows, rng) for _ in range(200)]
    kept = sum(one == other for one, other in itertools.pairwise(chosen))
    assert 70 < kept < 130

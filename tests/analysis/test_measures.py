"""Measures of shapes whose measures are known, because they are drawn here."""

import cv2
import numpy as np
import pytest

from pipeline.analysis import measures

WHOLE = np.array([[0, 0, 60, 60]], np.float32)


def stroke(start, end, width):
    """A straight stroke on a picture of 60×60."""
    picture = np.zeros((60, 60), np.uint8)
    return cv2.line(picture, start, end, 255, width, cv2.LINE_AA)


@pytest.mark.parametrize("width", [2, 3, 4, 7])
@pytest.mark.parametrize("upright", [True, False])
def test_the_thickness_of_a_bar_is_its_width(width, upright):
    bar = np.zeros((60, 60), np.uint8)
    bar[20 : 20 + width, 5:55] = 255
    bar = bar if upright else bar.T.copy()
    assert measures.thickness(bar, WHOLE)[0] == pytest.approx(width, rel=0.1)
    # Ink that is dimmer is no thinner.
    assert measures.thickness(bar // 3, WHOLE)[0] == pytest.approx(width, rel=0.1)


def test_the_thickness_of_a_ring_is_its_width_and_each_box_has_its_own():
    rows, columns = np.indices((60, 120))
    thin_ring = np.abs(np.hypot(rows - 29.5, columns - 29.5) - 20) <= 1.5
    thick_ring = np.abs(np.hypot(rows - 29.5, columns - 89.5) - 18) <= 3.5
    picture = (255 * (thin_ring | thick_ring)).astype(np.uint8)
    boxes = np.array([[0, 0, 60, 60], [60, 0, 120, 60], [55, 0, 65, 5]], np.float32)
    thin, thick, nothing = measures.thickness(picture, boxes)
    assert thin == pytest.approx(3, rel=0.2)
    assert thick == pytest.approx(7, rel=0.2)
    assert np.isnan(nothing)


def test_a_stroke_at_the_edge_ends_there():
    picture = np.zeros((60, 60), np.uint8)
    picture[:4] = 255
    assert measures.thickness(picture, WHOLE)[0] == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("degrees", [-30, -10, 0, 15, 40])
def test_the_slant_of_a_stroke_is_its_angle_from_upright(degrees):
    lean = 24 * np.tan(np.radians(degrees))
    leaning = stroke((round(30 - lean), 54), (round(30 + lean), 6), 3)
    assert measures.slant(leaning) == pytest.approx(degrees, abs=1.5)


def test_the_slant_of_a_round_shape_is_0_and_of_nothing_unknown():
    ring = cv2.circle(np.zeros((60, 60), np.uint8), (30, 30), 20, 255, 3)
    assert measures.slant(ring) == pytest.approx(0, abs=0.5)
    assert np.isnan(measures.slant(np.zeros((60, 60), np.uint8)))


def test_the_box_of_ink_is_tight_and_half_open():
    picture = np.zeros((60, 60), np.uint8)
    picture[10:13, 20:31] = 200
    picture[50, 50] = 31
    assert measures.ink_box(picture).tolist() == [20, 10, 31, 13]
    assert measures.ink_box(np.zeros((60, 60), np.uint8)).tolist() == [0, 0, 0, 0]
    assert measures.longer_side(measures.ink_box(picture)) == 11


def test_overlap_is_the_share_of_a_box_inside_another():
    boxes = np.array([[[0, 0, 10, 10], [8, 0, 28, 10], [9, 0, 10, 10], [0, 0, 0, 0]]], np.float32)
    shares = measures.overlap(boxes)[0]
    assert shares[:3].tolist() == pytest.approx([0.2, 0.1, 1.0])
    assert np.isnan(shares[3])
    assert np.isnan(measures.longer_side(boxes)[0, 3])


def test_brightness_and_contrast_of_a_half_lit_picture():
    half = np.zeros((1, 10, 10, 3), np.uint8)
    half[:, :5] = 200
    assert measures.brightness(half)[0] == pytest.approx(100)
    assert measures.contrast(half)[0] == pytest.approx(100)
    green = np.zeros((1, 4, 4, 3), np.uint8)
    green[..., 1] = 100
    assert measures.brightness(green)[0] == pytest.approx(58.7)
    assert measures.brightness(half[..., :1])[0] == pytest.approx(100)

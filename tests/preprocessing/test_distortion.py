"""Distortion of handwriting: nothing by default, repeatable, and each option does what it says."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.preprocessing.distortion import Distortion

SEED = tf.constant([3, 4])


def bars(n=64, side=28):
    """A vertical stroke of three pixels in the middle of each picture."""
    images = np.zeros((n, side, side, 1), np.uint8)
    images[:, 6:22, 13:16] = 200
    return tf.constant(images)


def varied(images, **options):
    out, targets = Distortion(**options)(images, "targets", SEED)
    assert targets == "targets"
    assert out.dtype == tf.uint8
    return out.numpy().astype(int)


def test_without_options_pictures_stay_as_they_are():
    np.testing.assert_array_equal(varied(bars()), bars().numpy())


def test_the_same_seed_gives_the_same_variants_and_another_seed_others():
    options = {"rotation_range": 10.0, "elastic": 0.6, "stroke": 0.5}
    np.testing.assert_array_equal(varied(bars(), **options), varied(bars(), **options))
    other, _ = Distortion(**options)(bars(), None, SEED + 1)
    assert (other.numpy() != varied(bars(), **options)).any()


def test_shifts_are_within_their_range_and_use_all_of_it():
    images = varied(bars(512), shift_range=3.0)
    x = (images[..., 0].sum(1) * np.arange(28)).sum(1) / images.sum((1, 2, 3)) - 14
    y = (images[..., 0].sum(2) * np.arange(28)).sum(1) / images.sum((1, 2, 3)) - 13.5
    for moved in (x, y):
        assert np.abs(moved).max() <= 3.05
        assert moved.min() < -2.5
        assert moved.max() > 2.5


def test_rotation_and_shear_turn_strokes_and_zoom_changes_their_length():
    heights = (varied(bars(512), zoom_range=0.2)[..., 0].max(2) >= 100).sum(1)
    assert heights.min() <= 14
    assert heights.max() >= 18
    rows = np.arange(28)
    for options in ({"rotation_range": 15.0}, {"shear_range": 15.0}):
        images = varied(bars(512), **options)[..., 0]
        middles = (images * rows).sum(2) / np.maximum(images.sum(2), 1)
        lean = np.degrees(np.arctan((middles[:, 20] - middles[:, 8]) / 12))
        assert np.abs(lean).max() == pytest.approx(15, abs=1.5), options


def test_elastic_displacement_has_the_deviation_that_was_asked_for():
    images = varied(bars(2000), elastic=0.8)
    middles = (images[..., 0] * np.arange(28)).sum(2) / np.maximum(images[..., 0].sum(2), 1)
    # Cubic interpolation of independent draws has less variance between the points of the grid than at them.
    assert 0.4 < (middles[:, 14] - 14).std() < 0.85
    assert np.abs(middles[:, 10] - middles[:, 11]).mean() < 0.35, "neighbours move alike"


def test_strokes_become_wider_narrower_or_stay():
    ink = varied(bars(512), stroke=0.9)[..., 0].sum((1, 2)) / bars(1).numpy().sum()
    assert (np.abs(ink - 1) < 1e-6).sum() == pytest.approx(256, abs=40)
    assert ink.min() < 0.6
    assert ink.max() > 1.4
    assert 0.9 < np.median(ink) < 1.1


def test_ink_at_the_border_fades_into_nothing():
    images = np.full((4, 28, 140, 1), 255, np.uint8)
    out = varied(tf.constant(images), shift_range=6.0)
    assert set(np.unique(out[:, 13:15, 60:80])) == {255}
    assert out[:, 0].min() == 0 or out[:, -1].min() == 0

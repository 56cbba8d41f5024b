"""Interpolation of batches, compared with SciPy's of each picture."""

import numpy as np
import pytest
from scipy import ndimage

from pipeline.corruptions.sampling import affine, sample

PICTURES = np.random.default_rng(0).random((3, 9, 13, 2))


@pytest.mark.parametrize(("border", "mode"), [("zero", "grid-constant"), ("mirror", "mirror"), ("reflect", "reflect")])
def test_every_picture_is_sampled_at_its_own_places(border, mode):
    rng = np.random.default_rng(1)
    rows, columns = rng.uniform(-5, 14, (3, 9, 13)), rng.uniform(-5, 18, (3, 9, 13))
    found = sample(PICTURES, rows, columns, border)
    for picture, row, column, each in zip(PICTURES, rows, columns, found, strict=True):
        for channel in range(2):
            expected = ndimage.map_coordinates(picture[..., channel], (row, column), order=1, mode=mode)
            assert np.allclose(each[..., channel], expected)


def test_the_identity_changes_nothing():
    eye = np.tile(np.eye(2), (3, 1, 1))
    assert np.allclose(affine(PICTURES, eye, np.zeros((3, 2)), "zero"), PICTURES)


def test_half_a_turn_is_about_the_centre():
    turned = affine(PICTURES, -np.tile(np.eye(2), (3, 1, 1)), np.zeros((3, 2)), "zero")
    assert np.allclose(turned, PICTURES[:, ::-1, ::-1])


def test_offsets_are_x_and_y():
    moved = affine(PICTURES, np.tile(np.eye(2), (3, 1, 1)), np.tile([2.0, -1.0], (3, 1)), "zero")
    assert np.allclose(moved[:, 1:, :-2], PICTURES[:, :-1, 2:])
    assert not moved[:, 0].any()

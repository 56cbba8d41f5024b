"""The synthetic shifts: valid pictures, of the same size, changed, and the same for the same seed."""

import numpy as np
import pytest

from pipeline.confidence.shifts import KINDS, shifted


def pictures(shape):
    """A bright square on a dark ground with a gradient, so that every shift has something to change."""
    images = np.zeros(shape, np.uint8)
    height, width = shape[1:3]
    images[:, height // 4 : -height // 4, width // 4 : -width // 4] = 200
    return images + (np.arange(width, dtype=np.uint8) % 40)[None, None, :, None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(12, 28, 28, 1), (12, 28, 140, 1), (12, 32, 32, 3)])
def test_a_shift_changes_pictures_and_depends_on_the_seed_alone(kind, shape):
    images = pictures(shape)
    before = images.copy()
    changed = shifted(kind, images, 5)
    assert (changed.dtype, changed.shape) == (np.uint8, shape)
    assert np.array_equal(images, before)
    assert (changed != images).any(axis=(1, 2, 3)).mean() > 0.5
    assert np.array_equal(changed, shifted(kind, images, 5))
    assert not np.array_equal(changed, shifted(kind, images, 6))


def test_strengths_differ_from_picture_to_picture():
    images = np.repeat(pictures((1, 28, 28, 1)), 20, axis=0)
    assert len({each.tobytes() for each in shifted("levels", images, 0)}) > 10

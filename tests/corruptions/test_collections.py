"""Digits of another collection in MNIST's form, and as strips."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.datasets import load_digits

from pipeline.core.images import STRIP_SHAPE
from pipeline.corruptions.collections import OPTDIGITS, collections, optdigits


def test_a_digit_has_twenty_rows_and_its_mass_in_the_middle():
    digits = optdigits()
    assert digits.images.shape == (1797, 28, 28, 1)
    assert digits.labels[:, 0].tolist() == load_digits().target.tolist()
    rows = digits.images[..., 0].any(axis=2).sum(axis=1)
    assert np.all(rows <= 20)
    assert np.median(rows) >= 18
    centres = np.array([ndimage.center_of_mass(image[..., 0].astype(float)) for image in digits.images])
    assert np.mean(np.abs(centres - 13.5) <= 0.51) > 0.95
    assert digits.images.max(axis=(1, 2, 3)).min() > 200


def test_strips_hold_every_digit_once():
    strips = collections("strips", "mnist", seed=5)[OPTDIGITS]
    assert strips.shape == STRIP_SHAPE
    assert len(strips) == 1797 // 5
    assert len(np.unique(strips.sources)) == strips.sources.size


@pytest.mark.parametrize(("task", "origin"), [("cifar10", "cifar10"), ("lines", "mnist"), ("mnist", "embedded")])
def test_no_collection_for_other_tasks_or_where_models_trained_on_it(task, origin):
    assert collections(task, origin, seed=5) == {}

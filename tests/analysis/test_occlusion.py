"""Occlusion maps of a model that is known to look at one bar, and of what a patch covers."""

import evaluations
import numpy as np
import pytest
from onnx_models import band_model, draw

from pipeline.analysis import occlusion
from pipeline.core.images import BLANK
from pipeline.core.readings import Readings
from pipeline.runtime.model import OnnxModel


def test_the_patch_covers_every_pixel_with_the_mean_level():
    image = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30, 1)
    pictures, corners = occlusion.covered(image, 8, 4)
    assert (corners.min(axis=0).tolist(), corners.max(axis=0).tolist()) == ([0, 0], [12, 22])
    changed = pictures != image
    assert changed.any(axis=0).mean() > 0.98, "but where a pixel has the mean level already"
    for picture, (row, column) in zip(pictures, corners, strict=True):
        inside = picture[row : row + 8, column : column + 8]
        assert np.unique(inside).tolist() == [round(image.mean())]
        assert np.array_equal(
            np.delete(picture, range(row, row + 8), axis=0), np.delete(image, range(row, row + 8), axis=0)
        )


def test_colours_are_covered_channel_by_channel():
    image = np.zeros((16, 16, 3), np.uint8) + np.array([10, 100, 200], np.uint8)
    assert np.array_equal(occlusion.covered(image, 8, 8)[0][0], image)


def test_what_a_reading_rests_on_is_warm_and_the_rest_is_cold():
    """A model of strips whose bar says the class: only where the bar is covered, confidence goes."""
    model = OnnxModel.of(band_model((28, 140, 1), 5, 11), "bands")
    image = draw([3, BLANK, BLANK, BLANK, 7])
    (found,) = occlusion.maps(model, evaluations.record(), image[None])
    bar = image[..., 0] > 0
    assert found.shape == (28, 140)
    assert found[bar].mean() > 0.01
    assert found[:, 40:100].max() < found[bar].mean() / 2
    assert np.unravel_index(found.argmax(), found.shape)[1] // 28 in (0, 4)


def test_another_reading_loses_all_confidence_and_a_surer_one_gains():
    image = np.zeros((8, 16, 1), np.uint8)
    image[:, :8] = 200

    def read(pictures):
        left = pictures[:, 0, 0, 0].astype(int)
        classes = np.where(left > 150, 1, 2).astype(np.uint8)[:, None]
        sure = np.where(pictures[:, 0, 15, 0] > 50, 0.9, 0.6).astype(np.float32)
        return Readings(np.eye(3, dtype=np.float32)[classes], classes, sure)

    found = occlusion.drops(read, image, None, 8, 8)
    assert np.allclose(found[:, :8], 0.6), "the class changes, so that all of 0.6 is lost"
    assert np.allclose(found[:, 8:], -0.3), "confidence rises from 0.6 to 0.9"


def test_a_model_that_takes_regions_gets_those_of_the_whole_picture():
    model = OnnxModel.of(band_model((28, 28, 1), 1, 10, regions=4), "regions")
    image = draw([5], (28, 28, 1))
    record = evaluations.record(slots=1, boxes=False)
    (found,) = occlusion.maps(model, record, image[None])
    assert found.max() == found[image[..., 0] > 0].max() > 0


@pytest.mark.parametrize(
    ("shape", "patch"), [((28, 140, 1), 8), ((32, 224, 1), 8), ((112, 112, 1), 16), ((32, 32, 3), 8)]
)
def test_large_pictures_have_a_larger_patch(shape, patch):
    assert occlusion.patch_of(shape) == patch

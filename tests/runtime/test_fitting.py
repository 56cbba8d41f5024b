"""Pictures of any size brought to a model of one size, and boxes back in the pixels of the picture."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.core.decoding import NOTHING_TO_SEE, Picture, PictureError
from pipeline.core.fitting import FITTED, LIGHT_ON_DARK, fit_grey
from pipeline.core.images import SCENE_SHAPE, STRIP_SHAPE
from pipeline.runtime.fitting import fit

DIGIT_SHAPE = (28, 28, 1)
CIFAR_SHAPE = (32, 32, 3)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG")
    return file.getvalue()


def paper(height, width, *, paper=250, ink=20, box=(0, 0, 0, 0)):
    """uint8 (height, width) with one bar of ink."""
    picture = np.full((height, width), paper, np.uint8)
    x0, y0, x1, y1 = box
    picture[y0:y1, x0:x1] = ink
    return picture


@pytest.mark.parametrize(
    ("task", "shape"),
    [("strips", STRIP_SHAPE), ("scenes", SCENE_SHAPE), ("mnist", DIGIT_SHAPE), ("cifar10", CIFAR_SHAPE)],
)
def test_a_picture_of_the_model_s_size_is_read_as_it_is(task, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    fitted = fit(png(pixels), task, shape)
    np.testing.assert_array_equal(fitted.picture.pixels, pixels)
    assert FITTED not in fitted.picture.notes
    assert (fitted.size, fitted.scale, fitted.corner) == (shape[:2], 1.0, (0.0, 0.0))


@pytest.mark.parametrize(("light", "dark"), [(250, 20), (240, 100)])
@pytest.mark.parametrize("inverted", [False, True])
def test_ink_of_either_polarity_becomes_light_on_dark(light, dark, inverted):
    picture = paper(280, 1400, paper=light, ink=dark, box=(300, 60, 330, 220))
    fitted = fit_grey(Picture(255 - picture if inverted else picture), "strips", STRIP_SHAPE)
    pixels = fitted.picture.pixels[..., 0]
    assert pixels[14, 31] > 230
    assert pixels[:, :25].max() < 10, "the paper is black"
    assert (LIGHT_ON_DARK in fitted.picture.notes) == inverted
    assert FITTED in fitted.picture.notes


@pytest.mark.parametrize("size", [(280, 1400), (300, 700), (900, 1000), (90, 1234)])
@pytest.mark.parametrize(("task", "shape"), [("strips", STRIP_SHAPE), ("scenes", SCENE_SHAPE)])
def test_the_whole_picture_is_scaled_and_boxes_go_back_to_where_the_ink_is(size, task, shape):
    height, width = size
    box = (width // 4, height // 4, width // 4 + width // 10, 3 * height // 4)
    fitted = fit_grey(Picture(paper(*size, box=box)), task, shape)
    rows, columns = np.nonzero(fitted.picture.pixels[..., 0] > 100)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
    # A pixel of the model's picture has this many of the picture that was sent.
    assert fitted.in_picture(found[None])[0] == pytest.approx(box, abs=1.5 / fitted.scale)
    assert fitted.in_picture(np.array([[-9, -9, 999, 999]], np.float32))[0] == pytest.approx((0, 0, width, height))


@pytest.mark.parametrize("place", [(30, 40), (300, 200), (5, 330)])
def test_a_digit_is_cut_out_scaled_to_20_pixels_and_centred_by_its_mass(place):
    left, top = place
    picture = paper(500, 600)
    # An L: its centre of mass is not the middle of its box.
    picture[top : top + 120, left : left + 20] = 20
    picture[top + 100 : top + 120, left : left + 80] = 20
    fitted = fit_grey(Picture(picture), "mnist", DIGIT_SHAPE)
    pixels = fitted.picture.pixels[..., 0].astype(float)
    rows, columns = np.nonzero(pixels > 100)
    assert rows.max() + 1 - rows.min() == pytest.approx(20, abs=1)
    for axis in (0, 1):
        mass = pixels.sum(axis=axis)
        assert (mass * (np.arange(28) + 0.5)).sum() / mass.sum() == pytest.approx(14, abs=0.75)
    found = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    assert fitted.in_picture(found)[0] == pytest.approx((left, top, left + 80, top + 120), abs=1.5 / fitted.scale)


@pytest.mark.parametrize("task", ["strips", "mnist"])
@pytest.mark.parametrize("noise", [0, 3])
def test_paper_without_ink_has_nothing_to_see(task, noise):
    picture = 240 + np.random.default_rng(0).integers(-noise, noise + 1, (300, 400)).astype(np.int16)
    fitted = fit_grey(Picture(picture.astype(np.uint8)), task, STRIP_SHAPE if task == "strips" else DIGIT_SHAPE)
    assert NOTHING_TO_SEE in fitted.picture.notes


def test_a_colour_picture_is_cut_to_its_square_in_the_middle():
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[:, 32:96] = (200, 100, 50)
    fitted = fit(png(picture), "cifar10", CIFAR_SHAPE)
    assert fitted.picture.pixels.shape == CIFAR_SHAPE
    assert (fitted.picture.pixels == (200, 100, 50)).all()
    assert fitted.in_picture(np.array([[0, 0, 32, 32]], np.float32))[0] == pytest.approx((32, 0, 96, 64))


def test_grey_pixels_for_a_model_of_colours_are_rejected():
    with pytest.raises(PictureError, match="3 channels"):
        fit(np.zeros((50, 50), np.uint8), "cifar10", CIFAR_SHAPE)


def test_any_tiny_or_thin_picture_is_fitted():
    for shape in ((1, 1), (1, 4000), (3000, 2), (2, 2)):
        for task, model in (("strips", STRIP_SHAPE), ("scenes", SCENE_SHAPE), ("mnist", DIGIT_SHAPE)):
            pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            assert fit_grey(Picture(pixels), task, model).picture.pixels.shape == model

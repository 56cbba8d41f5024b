"""Single corruptions against what their specification says of single pixels."""

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage import color

from pipeline.corruptions import blurs, geometry, levels, noise, strokes, weather


def rng(seed=0):
    return np.random.default_rng(seed)


def point(height=29, width=29, row=14, column=14):
    pictures = np.zeros((1, height, width, 1))
    pictures[0, row, column] = 1
    return pictures


def test_shot_noise_counts_photons():
    noisy = noise.shot(np.full((1, 200, 200, 1), 0.6), rng(), photons=3)
    assert np.allclose(noisy * 3, np.rint(noisy * 3))
    assert noisy.mean() == pytest.approx(0.6, abs=0.01)
    assert noisy.var() == pytest.approx(0.6 / 3, abs=0.01)


def test_impulse_noise_touches_its_share_of_the_pixels_and_no_other():
    pictures = np.full((1, 200, 200, 1), 0.4)
    noisy = noise.impulse(pictures, rng(), amount=0.17)
    hit = noisy != pictures
    assert hit.mean() == pytest.approx(0.17, abs=0.01)
    assert set(np.unique(noisy[hit])) == {0, 1}
    assert noisy[hit].mean() == pytest.approx(0.5, abs=0.02)


def test_speckle_is_in_proportion_and_gaussian_is_not():
    pictures = np.stack([np.full((100, 100, 1), 0.2), np.full((100, 100, 1), 0.8)])
    speckled, gaussian = noise.speckle(pictures, rng(), deviation=0.1), noise.gaussian(pictures, rng(), deviation=0.1)
    assert (speckled - pictures).std(axis=(1, 2, 3)) == pytest.approx([0.02, 0.08], rel=0.05)
    assert (gaussian - pictures).std(axis=(1, 2, 3)) == pytest.approx([0.1, 0.1], rel=0.05)


def test_glass_exchanges_pixels_of_grey_pictures_and_copies_those_of_colour():
    pictures = rng().integers(0, 255, (2, 12, 12, 1)) / 255
    exchanged = blurs.glass(pictures, rng(1), sigma=0, reach=2, rounds=2)
    copied = blurs.glass(pictures, rng(1), sigma=0, reach=2, rounds=2, copies=True)
    assert np.array_equal(np.sort(exchanged.ravel()), np.sort((np.floor(pictures * 255) / 255).ravel()))
    assert not np.array_equal(np.sort(copied.ravel()), np.sort(pictures.ravel()))


def test_glass_of_mnist_c_blurs_down_the_columns_alone():
    blurred = blurs.glass(point(), rng(), sigma=0.7, reach=1, rounds=0, vertical=True)
    assert blurred[0, 13, 14, 0] > 0
    assert blurred[0, 14, 13, 0] == 0


def test_motion_blur_is_half_a_gaussian_along_its_angle():
    blurred = blurs.motion(point(), rng(), radius=5, sigma=3, angles=(0, 0))[0, ..., 0]
    weights = np.exp(-(np.arange(11) ** 2) / 18)
    assert np.allclose(blurred[14, 14 - np.arange(11)], weights / weights.sum(), atol=1 / 255)
    assert not np.delete(blurred, 14, axis=0).any()
    falling = blurs.motion(point(), rng(), radius=5, sigma=3, angles=(-90, -90))[0, ..., 0]
    assert falling[14 + 3, 14] > 0


def test_a_lens_weighs_to_one_and_keeps_an_even_picture():
    assert blurs.lens(1.5, 0.1).sum() == pytest.approx(1)
    assert (blurs.lens(1, 0.2) > 0.05).sum() == 5
    even = np.full((2, 12, 12, 3), 0.3)
    assert np.allclose(blurs.defocus(even, rng(), radius=1.5, softness=0.1), even)


def test_zoom_blur_is_scipys_zoom_of_the_middle():
    pictures = rng().random((2, 32, 32, 3))
    for factor in (1.01, 1.13, 1.75):
        crop = int(np.ceil(32 / factor))
        first = (32 - crop) // 2
        large = ndimage.zoom(pictures[:, first : first + crop, first : first + crop], (1, factor, factor, 1), order=1)
        cut = (large.shape[1] - 32) // 2
        assert np.allclose(blurs.enlarged(pictures, factor), large[:, cut : cut + 32, cut : cut + 32])
    assert np.allclose(blurs.zoom(pictures, rng(), factors=[1.0]), pictures)


def test_plasma_is_rougher_the_slower_it_decays():
    smooth, rough = (weather.plasma(4, 64, decay, rng()) for decay in (3, 1.4))
    assert smooth.min(axis=(1, 2)) == pytest.approx([0] * 4)
    assert smooth.max(axis=(1, 2)) == pytest.approx([1] * 4)
    assert np.abs(np.diff(rough, axis=1)).mean() > 2 * np.abs(np.diff(smooth, axis=1)).mean()


def test_fog_keeps_the_brightest_value_as_its_bound():
    pictures = rng().random((3, 28, 140, 1)) * 0.7
    foggy = weather.fog(pictures, rng(), strength=3.0, decay=1.4, smallest=256)
    assert np.all(foggy <= pictures.max(axis=(1, 2, 3), keepdims=True) + 1e-9)
    assert foggy.mean() > pictures.mean() * 0.9


@pytest.mark.parametrize("mud", [True, False])
def test_spatter_leaves_pixels_without_liquid_alone(mud):
    pictures = np.full((2, 32, 32, 3), 0.2)
    kept = {"mean": 0.65, "deviation": 0.3, "sigma": 1, "threshold": 0.69, "amount": 0.5, "mud": mud}
    covered = weather.spatter(pictures, rng(), **kept)
    changed = np.any(covered != pictures, axis=-1)
    assert 0.02 < changed.mean() < 0.9
    assert np.all(covered[~changed] == 0.2)
    assert np.all(weather.spatter(pictures, rng(), **kept | {"threshold": 5.0}) == pictures), "there is no liquid"


def test_snow_whitens_and_adds_flakes():
    pictures = np.full((2, 32, 32, 3), 0.3)
    kept = {"mean": 0.1, "deviation": 0.2, "zoom": 1, "radius": 8, "sigma": 3, "kept": 0.95}
    white = 0.95 * 0.3 + 0.05 * (0.3 * 1.5 + 0.5)
    assert np.allclose(weather.snow(pictures, rng(), threshold=9.0, **kept), white, atol=1e-6)
    assert weather.snow(pictures, rng(), threshold=0.6, **kept).max() > white + 0.05


def test_translate_moves_by_whole_pixels_in_both_directions():
    moved = geometry.translate(np.tile(point(28, 28), (40, 1, 1, 1)), rng(), pixels=3)
    found = {tuple(place) for place in np.argwhere(moved[..., 0])[:, 1:]}
    assert found == {(14 + down, 14 + right) for down in (-3, 3) for right in (-3, 3)}


@pytest.mark.parametrize(("shape", "across"), [((28, 28), 28), ((28, 140), 140), ((32, 224), 224), ((112, 112), 112)])
def test_the_ends_of_a_turned_picture_move_as_far_as_those_of_a_digit(shape, across):
    height, width = shape
    bar = np.zeros((1, height, width, 1))
    bar[:, (height - 1) // 2 : height // 2 + 1] = 1
    turned = geometry.rotate(bar, rng(), angle=0.4)[0, ..., 0]
    middle = np.arange(height) - (height - 1) / 2
    ends = [(turned[:, column] @ middle) / turned[:, column].sum() for column in (1, width - 2)]
    assert np.abs(ends) == pytest.approx(np.sin(0.4) * 28 / across * (width - 1) / 2, rel=0.35)
    assert np.sign(ends[0]) == -np.sign(ends[1])


def test_scale_shrinks_about_the_centre():
    square = np.zeros((1, 28, 28, 1))
    square[:, 4:24, 4:24] = 1
    small = geometry.scale(square, rng(), factor=1 / 0.7)[0, ..., 0]
    assert small.sum() == pytest.approx((20 * 0.7) ** 2, rel=0.02)
    assert np.allclose(small, small[::-1, ::-1])


def test_shear_leans_to_either_side_and_keeps_the_middle_row():
    bar = np.zeros((20, 29, 29, 1))
    bar[:, :, 14] = 1
    sheared = geometry.shear(bar, rng(), angle=0.4)[..., 0]
    assert np.allclose(sheared[:, 14], bar[:, 14, :, 0])
    tops = set(sheared[:, 4].argmax(axis=1) - 14)
    assert tops in ({-4, 4}, {-3, 3}, {-4, 3}, {-3, 4})


def test_an_elastic_map_of_no_strength_and_no_jump_changes_nothing():
    pictures = rng().random((2, 32, 32, 3))
    assert np.allclose(geometry.elastic(pictures, rng(), strength=0, sigma=0, jump=0), pictures)


def test_brightness_and_saturation_are_those_of_hsv():
    pictures = rng().random((2, 8, 8, 3))
    before = color.rgb2hsv(pictures)
    bright = color.rgb2hsv(np.clip(levels.brightness(pictures, rng(), added=0.3), 0, 1))
    assert np.allclose(bright[..., 2], np.clip(before[..., 2] + 0.3, 0, 1))
    vivid = color.rgb2hsv(levels.saturate(pictures, rng(), factor=0.3, added=0))
    assert np.allclose(vivid[..., 1], before[..., 1] * 0.3)
    assert np.allclose(levels.brightness(pictures[..., :1], rng(), added=0.5), pictures[..., :1] + 0.5)


def test_contrast_keeps_the_mean_of_every_channel():
    pictures = rng().random((2, 8, 8, 3))
    flat = levels.contrast(pictures, rng(), kept=0.15)
    assert np.allclose(flat.mean(axis=(1, 2)), pictures.mean(axis=(1, 2)))
    assert np.allclose(flat.std(axis=(1, 2)), 0.15 * pictures.std(axis=(1, 2)))


def test_pixelate_has_as_many_different_columns_as_are_kept():
    columns = np.tile(np.arange(32) * 8 / 255, (1, 32, 1))[..., None] * np.ones(3)
    coarse = levels.pixelate(columns, rng(), kept=0.65)
    assert len(np.unique(coarse[0, 0, :, 0])) == int(32 * 0.65)


def test_jpeg_is_that_of_its_quality():
    picture = cv2.GaussianBlur(rng().random((32, 32, 3)), (0, 0), 2)[None]
    distances = [np.abs(levels.jpeg(picture, rng(), quality=each) - picture).mean() for each in (95, 40)]
    assert 0 < distances[0] < distances[1]


def test_a_stroke_fades_by_a_logarithm_and_stays_between_its_ends():
    drawn = strokes.segment(9, 12, (np.array([2.0]), np.array([4.0])), (np.array([9.0]), np.array([4.0])))[0]
    assert not drawn[:, :2].any()
    assert not drawn[:, 9:].any()
    assert drawn[4, 5] == 1
    assert drawn[3, 5] == drawn[5, 5] == pytest.approx(1 + np.log(1 - 1 / 2.3))
    assert drawn[2, 5] == 0
    none = strokes.segment(9, 12, (np.array([5.0]), np.array([4.0])), (np.array([5.0]), np.array([8.0])))
    assert not none.any()


def test_a_dotted_line_has_two_columns_in_four():
    dotted = strokes.dotted_line(np.zeros((5, 28, 28, 1)), rng())[..., 0]
    columns = dotted.any(axis=1)
    assert not columns[:, np.arange(28) // 2 % 2 == 0].any()
    assert columns[:, 2:26][:, np.arange(2, 26) // 2 % 2 == 1].all()


def test_a_zigzag_goes_up_and_down_by_two_pixels_around_its_line():
    drawn = strokes.zigzag(np.zeros((30, 28, 140, 1)), rng())[..., 0]
    inside = [each for each in drawn if not each[[0, 1, 2, -3, -2, -1]].any()]
    assert inside
    for each in inside:
        assert each[:, 5:134].any(axis=0).all()
        assert not each[:, :2].any()
        rows = each[:, 4:130].argmax(axis=0)
        assert 3 <= rows.max() - rows.min() <= 10


def test_canny_draws_the_outline_alone():
    square = np.zeros((1, 28, 28, 1))
    square[:, 8:20, 8:20] = 1
    edges = strokes.canny_edges(square, rng())[0, ..., 0]
    assert set(np.unique(edges)) == {0, 1}
    assert not edges[11:17, 11:17].any()
    assert edges[:, 14].sum() == 2

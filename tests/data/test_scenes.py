"""Scenes: what holds for every one, whatever the seed and the digits."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, DIGIT, DIGIT_NAMES, INK, ImageSet
from pipeline.core.ingestion import INK_LEVEL
from pipeline.core.lines import Picture, PictureSet
from pipeline.data import drawing, scenes


def digits(count, seed=0):
    """Strokes with an edge as soft as a pen's, 12 to 20 pixels long, no two alike, with labels that go round."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, DIGIT, DIGIT, 1), np.uint8)
    for image in images:
        height, width = rng.integers(12, 21), rng.integers(3, 19)
        y, x = rng.integers(4, 25 - height), rng.integers(4, 25 - width)
        image[y : y + height, x : x + width, 0] = 120
        image[y + 1 : y + height - 1, x + 1 : x + width - 1, 0] = rng.integers(150, 256, (height - 2, width - 2))
    labels = (np.arange(count) % 10).astype(np.uint8)[:, None]
    return ImageSet(images, labels, DIGIT_NAMES, "embedded", sources=np.arange(count, dtype=np.int32)[:, None])


def composed(source, seed=3, **changes):
    return scenes.compose(source, **{"rounds": 1, "fewest": 1, "most": 8, "clutter": False, **changes}, seed=seed)


@given(seed=st.integers(0, 2**32 - 1), clutter=st.booleans())
@settings(max_examples=15, deadline=None)
def test_boxes_are_in_the_picture_in_order_and_hardly_overlap(seed, clutter):
    found = composed(digits(150, seed=seed % 7), seed=seed, clutter=clutter)
    filled = found.labels != BLANK
    assert filled.any(axis=1).all()
    assert (np.diff(filled.astype(int), axis=1) <= 0).all(), "unused slots are the last"
    assert not found.boxes[~filled].any()
    x0, y0, x1, y1 = np.moveaxis(found.boxes, -1, 0)
    assert x0.min() >= 0
    assert y0.min() >= 0
    assert x1.max() <= 112
    assert y1.max() <= 112
    longer = np.maximum(x1 - x0, y1 - y0)[filled]
    assert longer.min() >= 14
    assert longer.max() <= 42
    area = (x1 - x0) * (y1 - y0)
    for row, here in enumerate(filled):
        middles = (x0 + x1)[row, here] / 2
        assert (np.diff(middles) >= 4).all()
        for b in range(here.sum()):
            for a in range(b):
                across = min(x1[row, a], x1[row, b]) - max(x0[row, a], x0[row, b])
                along = min(y1[row, a], y1[row, b]) - max(y0[row, a], y0[row, b])
                common = max(across, 0) * max(along, 0)
                assert common <= 0.3 * min(area[row, a], area[row, b])
                assert common <= 0.15 * (area[row, a] + area[row, b] - common)


def test_boxes_are_the_tight_ink_of_digits_that_are_alone():
    found = composed(digits(300), most=1)
    assert len(found) == 300, "a digit that is alone always finds a place"
    np.testing.assert_array_equal(found.boxes[:, 0], drawing.ink_boxes(found.images[..., 0]))


def test_without_clutter_all_ink_is_in_the_boxes():
    found = composed(digits(300))
    y, x = np.arange(112)[:, None], np.arange(112)
    for image, boxes in zip(found.images[..., 0], found.boxes, strict=True):
        within = np.zeros((112, 112), bool)
        for x0, y0, x1, y1 in boxes:
            within |= (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        assert not (image >= INK)[~within].any()


def test_slots_name_the_digits_that_are_there():
    """Every digit is of one brightness of its own, so the picture tells which digit is where."""
    source = digits(200)
    value = np.arange(200, dtype=np.uint8)[:, None, None, None] + 56
    source = replace(source, images=np.where(source.images > 0, value, 0).astype(np.uint8))
    found = composed(source, most=3)
    x0, y0, x1, y1 = np.moveaxis(found.boxes.astype(int), -1, 0)
    alone = (found.labels != BLANK).sum(axis=1) == 1
    assert alone.sum() > 10
    for row in np.flatnonzero(alone):
        cut = found.images[row, y0[row, 0] : y1[row, 0], x0[row, 0] : x1[row, 0]]
        assert cut.max() == found.sources[row, 0] + 56
    filled = found.sources >= 0
    np.testing.assert_array_equal(filled, found.labels != BLANK)
    np.testing.assert_array_equal(found.labels[filled], found.sources[filled] % 10)


def test_a_round_uses_every_digit_once_and_drops_an_incomplete_scene():
    one, two = (composed(digits(400), rounds=rounds) for rounds in (1, 2))
    used = one.sources[one.sources >= 0]
    assert len(set(used)) == len(used)
    assert len(used) > 400 - 8 - 8
    assert np.bincount(two.sources[two.sources >= 0]).max() == 2
    assert (two.sources >= 0).sum() > 2 * (400 - 8 - 8)


def test_every_number_of_digits_is_as_frequent():
    counts = (composed(digits(2_000)).labels != BLANK).sum(axis=1)
    share = np.bincount(counts, minlength=9)[1:] / len(counts)
    assert share == pytest.approx([1 / 8] * 8, abs=0.06)


def test_a_scene_keeps_at_least_the_fewest_digits():
    counts = (composed(digits(400), fewest=8).labels != BLANK).sum(axis=1)
    assert set(counts) == {8}


def test_sizes_and_places_cover_their_ranges():
    found = composed(digits(1_500))
    x0, y0, x1, y1 = np.moveaxis(found.boxes[found.labels != BLANK], -1, 0)
    longer = np.maximum(x1 - x0, y1 - y0)
    assert np.histogram(longer, bins=[14, 21, 28, 35, 43])[0].min() > 0.15 * len(longer)
    for low, high in ((x0, x1), (y0, y1)):
        assert low.min() == 0
        assert high.max() == 112
        assert np.histogram((low + high) / 2, bins=[0, 37, 75, 112])[0].min() > 0.15 * len(longer)


def test_neighbours_touch():
    """Half of the pairs; without trying on purpose one pair of nine would."""
    first, second = composed(digits(1_000), fewest=2, most=2).boxes[:, :2].transpose(1, 0, 2)
    common = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    assert 0.4 < (common >= 0).all(axis=1).mean() < 0.7


def test_a_digit_without_ink_is_left_out():
    source = digits(60)
    source.images[::2] = 0
    found = composed(source, most=2)
    used = found.sources[found.sources >= 0]
    assert len(used)
    assert (used % 2 == 1).all()
    assert (found.labels != BLANK).any(axis=1).all()


def test_small_digits_keep_thin_strokes():
    """A line one pixel wide is as bright wherever it falls, though interpolation at 1 / 0.7 pixels alone could see
    0.57 to 1 of it, where 0.7 is right."""
    count = 400
    column, size = np.arange(count) % 9 + 9, np.linspace(14.5, 18, count)
    cells = np.zeros((count, DIGIT, DIGIT), np.uint8)
    cells[:, 4:24, [4, 22]] = 255
    cells[np.arange(count), 4:24, column] = 255
    drawn = scenes.draw_at_size(cells, size, np.zeros(count)).astype(float)
    scale = size / 20
    centre = 23.5 + (column - 13) * scale
    near = np.abs(np.arange(48) - centre[:, None]) < 2
    np.testing.assert_allclose((drawn[:, 24] * near).sum(axis=1) / 255, scale, atol=0.12)


def test_clutter_records_the_digits_that_patches_were_cut_from():
    plain, cluttered = (composed(digits(400), clutter=clutter) for clutter in (False, True))
    assert cluttered.sources.shape[1] == 8 + scenes.PATCHES
    np.testing.assert_array_equal(cluttered.sources[:, :8], plain.sources)
    np.testing.assert_array_equal(cluttered.boxes, plain.boxes)
    assert (cluttered.images >= plain.images).all()
    counts = (cluttered.sources[:, 8:] >= 0).sum(axis=1)
    assert set(counts) == set(range(9))
    assert (cluttered.images != plain.images).any(axis=(1, 2, 3)).mean() > 0.9


@pytest.mark.parametrize("clutter", [False, True])
def test_the_same_seed_gives_the_same_bytes(tmp_path, clutter):
    prints = []
    for number, seed in enumerate((1, 1, 2)):
        path = tmp_path / f"{number}.npz"
        composed(digits(60), seed=seed, clutter=clutter).save(path)
        prints.append(hashlib.sha256(path.read_bytes()).hexdigest())
    first, again, other = prints
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("source", "found", "expected"),
    [
        (digits(7), "7 digits", "at least 8"),
        (replace(digits(9), images=np.zeros((9, 32, 32, 1), np.uint8)), "(32, 32, 1)", "(28, 28, 1)"),
        (replace(digits(9), sources=None), "without ids", "compose"),
    ],
    ids=["seven", "another-size", "no-ids"],
)
def test_digits_that_no_scene_can_be_composed_of_are_refused(source, found, expected):
    with refuses(DataError, found, expected):
        composed(source)


def test_real_digits_keep_their_bounds(embedded):
    for found in embedded["scenes/scenes"].values():
        filled = found.labels != BLANK
        x0, y0, x1, y1 = np.moveaxis(found.boxes[filled], -1, 0)
        longer = np.maximum(x1 - x0, y1 - y0)
        assert longer.min() >= 14
        assert longer.max() <= 42


def picture(boxes, name="a.png", size=(100, 300), ink=30, paper=220, digits=None):
    """A picture of one filled box for each digit."""
    pixels = np.full(size, paper, np.uint8)
    for x0, y0, x1, y1 in boxes:
        pixels[y0:y1, x0:x1] = ink
    values = np.arange(len(boxes)) % 10 if digits is None else digits
    return Picture(name, pixels, np.array(values, np.uint8), np.array(boxes, np.float32))


def labelled(*pictures):
    return scenes.labelled(PictureSet(pictures, "folder:mine"))


@pytest.mark.parametrize(
    ("size", "zoom"),
    [((224, 224), 0.5), ((100, 300), 112 / 300), ((300, 100), 112 / 300), ((56, 40), 2), ((112, 112), 1)],
)
def test_the_boxes_of_a_labelled_scene_are_scaled_with_its_picture(size, zoom):
    height, width = size
    box = (width // 2, height // 2, width // 2 + 12, height // 2 + 24)
    scene = labelled(picture([box], size=size))
    # Sides of a picture become whole pixels.
    assert np.allclose(scene.boxes[0, 0], np.array(box) * zoom, atol=0.5)
    y, x = np.nonzero(scene.images[0, ..., 0] >= 120)
    assert np.allclose((x.min(), y.min(), x.max() + 1, y.max() + 1), scene.boxes[0, 0], atol=1)
    assert not scene.images[0, round(height * zoom) :].any()
    assert not scene.images[0, :, round(width * zoom) :].any()
    assert scene.images.shape == (1, 112, 112, 1)


def test_a_labelled_scene_is_light_on_dark_whatever_the_polarity_of_its_picture():
    boxes = [(40, 20, 52, 60), (150, 30, 160, 70)]
    dark, light = picture(boxes), picture(boxes, ink=225, paper=35)
    found = labelled(dark, light)
    assert np.array_equal(found.images[0], found.images[1])
    assert np.median(found.images[0]) == 0
    assert abs(int(found.images[0].max()) - INK_LEVEL) < 10


def test_shaded_paper_is_removed_and_faint_ink_gets_the_level_of_ingested_lines():
    faint = picture([(40, 20, 52, 60), (150, 30, 160, 70)], ink=170)
    shaded = np.rint(faint.pixels * np.linspace(0.8, 1, 300)).astype(np.uint8)
    (found,) = labelled(replace(faint, pixels=shaded)).images[..., 0]
    for x0, y0, x1, y1 in faint.boxes * 112 / 300:
        assert abs(int(found[int(y0 + y1) // 2, int(x0 + x1) // 2]) - INK_LEVEL) < 25
    assert (found >= INK).mean() < 0.03


def test_the_digits_of_a_labelled_scene_are_in_the_order_of_their_centres():
    boxes = [(150, 30, 160, 70), (20, 10, 100, 24), (40, 40, 52, 80)]
    found = labelled(picture([(9, 9, 30, 40)]), picture(boxes, digits=[7, 8, 9]))
    # The wide box starts first and ends last, its centre is in the middle.
    assert found.labels[1].tolist() == [9, 8, 7, *[BLANK] * 5]
    assert np.array_equal(found.boxes[1, 0], np.array(boxes[2], np.float32) * np.float32([112 / 300, 37 / 100] * 2))
    assert found.sources.tolist() == [[0, *[-1] * 7], [1, 1, 1, *[-1] * 5]]
    assert not found.boxes[1, 3:].any()
    assert (found.origin, found.class_names[BLANK]) == ("folder:mine", "blank")


def test_all_pictures_that_no_labelled_scene_can_be_made_of_are_named_together():
    sound = picture([(9, 9, 30, 40)], name="sound.png")
    eight = [(5 + 30 * slot, 20, 15 + 30 * slot, 60) for slot in range(8)]
    empty = picture([(40, 20, 52, 60), (150, 30, 160, 70)], name="empty.png", digits=[3, 4])
    empty.pixels[:, 140:] = 220
    with refuses(
        DataError,
        "folder:mine: 5 to correct: ",
        "table.png: no boxes found",
        "nine.png: 9 digits found, expected 1 to 8",
        "stacked.png: the centres of digits 2 and 3 (1 and 2) are 3.7 px apart along x",
        "empty.png: no ink in the box of digit 2 (4)",
        "blank.png: no ink in the box of digit 1 (0)",
    ):
        labelled(
            sound,
            replace(sound, name="table.png", boxes=None),
            picture([*eight, (250, 20, 260, 60)], name="nine.png"),
            picture([(9, 5, 20, 40), (100, 5, 110, 40), (110, 50, 120, 90)], name="stacked.png"),
            empty,
            replace(sound, name="blank.png", pixels=np.full((100, 300), 220, np.uint8)),
        )
    assert labelled(sound, picture(eight, name="eight.png")).labels[1].tolist() == list(range(8))

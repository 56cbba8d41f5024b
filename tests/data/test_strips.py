"""Splits and strips: what is promised of every suite, whatever the seed and the digits."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, DIGIT, DIGIT_NAMES, INK, SPLITS, ImageSet
from pipeline.data import drawing, strips

SIZES = {"train": 50_000, "valid": 5_000, "gate": 5_000, "test": 10_000}


def digits(count, seed=0):
    """Blobs of ink inside the middle 20×20 pixels, no two alike, with labels that go round."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, DIGIT, DIGIT, 1), np.uint8)
    for image in images:
        y, x = rng.integers(4, 14, 2)
        height, width = rng.integers(3, 11, 2)
        image[y : y + height, x : x + width, 0] = rng.integers(INK, 256, (height, width))
    labels = (np.arange(count) % 10).astype(np.uint8)[:, None]
    return ImageSet(images, labels, DIGIT_NAMES, "embedded", sources=np.arange(count, dtype=np.int32)[:, None])


def composed(source, seed=3, **settings):
    defaults = {"rounds": 1, "fewest": 5, "most": 5, "jitter": False, "clutter": False}
    return strips.compose(source, **{**defaults, **settings}, seed=seed)


def fingerprint(pictures, path):
    pictures.save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_plain_uses_every_digit_once_and_lays_it_into_its_cell():
    source = digits(50)
    strips = composed(source)
    assert strips.images.shape == (10, 28, 140, 1)
    assert sorted(strips.sources.ravel()) == list(range(50))
    for row in range(10):
        for slot in range(5):
            cell = strips.images[row, :, slot * 28 : (slot + 1) * 28]
            index = strips.sources[row, slot]
            np.testing.assert_array_equal(cell, source.images[index])
            assert strips.labels[row, slot] == source.labels[index, 0]


def test_rounds_use_every_digit_as_often():
    strips = composed(digits(50), rounds=3)
    assert np.bincount(strips.sources.ravel()).tolist() == [3] * 50


def test_blanks_hold_every_number_of_digits_anywhere():
    strips = composed(digits(2_000), fewest=0)
    filled = strips.labels != BLANK
    assert set(filled.sum(axis=1)) == {0, 1, 2, 3, 4, 5}
    assert filled.mean(axis=0) == pytest.approx([0.5] * 5, abs=0.1)
    assert (strips.sources[~filled] == -1).all()
    cells = strips.images.reshape(-1, 28, 5, 28).transpose(0, 2, 1, 3)
    assert not cells[~filled].any()
    assert cells[filled].any(axis=(1, 2)).all()


@given(seed=st.integers(0, 2**32 - 1), fewest=st.integers(0, 5), clutter=st.booleans())
@settings(max_examples=15, deadline=None)
def test_jitter_keeps_ink_in_the_picture_and_neighbours_apart(seed, fewest, clutter):
    strips = composed(digits(100, seed=seed % 7), seed=seed, fewest=fewest, jitter=True, clutter=clutter)
    filled = strips.labels != BLANK
    x0, y0, x1, y1 = np.moveaxis(strips.boxes, -1, 0)
    assert (strips.boxes[~filled] == 0).all()
    assert ((x1 > x0) & (y1 > y0))[filled].all()
    assert x0.min() >= 0
    assert y0.min() >= 0
    assert x1.max() <= 140
    assert y1.max() <= 28
    for row in range(len(strips)):
        left, right = x0[row, filled[row]], x1[row, filled[row]]
        assert (np.diff(left) > 0).all(), "slots run from left to right"
        assert (right[:-1] - left[1:] <= strips.OVERLAP).all()


def test_jitter_draws_the_whole_digit():
    """Ink may be scaled by 0.7 at most: what a jittered strip shows is never less than that of any digit."""
    source = digits(200)
    strips = composed(source, jitter=True)
    before = (source.images >= INK).any(axis=(1, 3)).sum(axis=1)
    width = strips.boxes[..., 2] - strips.boxes[..., 0]
    assert (width >= np.floor(before[strips.sources] * 0.7 * 0.85)).all()


def test_clutter_records_whose_patches_it_laid():
    strips = composed(digits(200), jitter=True, clutter=True)
    assert strips.sources.shape == (40, 5 + strips.PATCHES)
    donors = strips.sources[:, 5:]
    assert (donors == -1).any()
    assert (donors >= 0).any()
    assert donors.max() < 200


def test_varied_strips_run_from_tame_to_wild():
    """Of full jitter hardly a strip keeps all five digits as they were; where strength varies, many a one does."""
    source = digits(2_000)
    before = drawing.ink_boxes(source.images[..., 0])
    kept = []
    for vary in (False, True):
        strips = composed(source, jitter=True, vary=vary)
        cell = before[strips.sources]
        size, was = (boxes[..., 2:] - boxes[..., :2] for boxes in (strips.boxes, cell))
        shift = np.abs(strips.boxes[..., 1] - cell[..., 1]).max(axis=1)
        kept.append((np.abs(size - was).max(axis=(1, 2)) <= 1) & (shift <= 1))
        assert (~kept[-1]).mean() > 0.4
    assert kept[0].mean() < 0.02
    assert kept[1].mean() > 0.1


def test_half_of_the_varied_strips_are_full_and_half_carry_no_clutter():
    strips, plain = (
        composed(digits(5_000), fewest=0, jitter=True, vary=True, clutter=clutter) for clutter in (True, False)
    )
    share = np.bincount((strips.labels != BLANK).sum(axis=1), minlength=6) / len(strips)
    assert share == pytest.approx([1 / 12] * 5 + [7 / 12], abs=0.06)
    np.testing.assert_array_equal(strips.boxes, plain.boxes)
    marked = (strips.images != plain.images).any(axis=(1, 2, 3))
    assert 0.4 < marked.mean() < 0.52
    assert (strips.sources[~marked, 5:] >= 0).mean() < 0.05


@pytest.mark.parametrize("jitter", [False, True])
def test_the_same_seed_gives_the_same_bytes(tmp_path, jitter):
    first, again, other = (
        fingerprint(
            composed(digits(60), seed=seed, fewest=0, jitter=jitter, clutter=jitter, vary=jitter), tmp_path / f"{i}.npz"
        )
        for i, seed in enumerate([1, 1, 2])
    )
    assert first == again
    assert first != other


def test_the_encoding_of_five_groups_of_eleven():
    assert np.flatnonzero(strips.encode(np.array([[9, 7, 5, 4, 10]], np.uint8))[0]).tolist() == [9, 18, 27, 37, 54]


@given(labels=st.lists(st.lists(st.integers(0, 10), min_size=5, max_size=5), min_size=1, max_size=20))
def test_the_encoding_can_be_read_back(labels):
    encoded = strips.encode(np.array(labels, np.uint8))
    assert encoded.sum() == 5 * len(labels)
    assert encoded.reshape(-1, 5, 11).argmax(axis=-1).tolist() == labels


def test_official_sizes_are_taken_as_they_are():
    pool, test = digits(600), digits(100, seed=1)
    sizes = {"train": 500, "valid": 50, "gate": 50, "test": 100}
    splits = strips.divide({"pool": pool, "test": test}, sizes, seed=1)
    assert {name: len(split) for name, split in splits.items()} == sizes
    np.testing.assert_array_equal(splits["test"].images, test.images)


@given(count=st.integers(40, 400), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_other_sizes_keep_the_proportions_and_lose_nothing(count, seed):
    splits = strips.divide({"pool": digits(count)}, SIZES, seed=seed)
    assert list(splits) == list(SPLITS)
    assert sorted(np.concatenate([split.sources[:, 0] for split in splits.values()])) == list(range(count))
    for name, split in splits.items():
        assert len(split) == pytest.approx(count * SIZES[name] / 70_000, abs=1)


@pytest.mark.parametrize("seed", range(20))
def test_small_pools_are_divided_evenly_class_by_class(seed):
    labels = np.repeat(np.arange(10, dtype=np.uint8), 30)[:, None]
    pool = ImageSet(np.zeros((300, 28, 28, 1), np.uint8), labels, DIGIT_NAMES, "folder:mine")
    for name, split in strips.divide({"pool": pool}, SIZES, seed=seed).items():
        share = np.bincount(split.labels[:, 0], minlength=10) / len(split)
        # Within a picture of its even share.
        assert np.abs(share - 0.1).max() <= 1 / len(split) + 1e-9, name


def test_ids_tell_files_of_a_source_apart():
    splits = strips.divide({"pool": digits(120), "test": digits(10, seed=1)}, SIZES, seed=1)
    assert not set(splits["test"].sources[:, 0]) & set(splits["train"].sources[:, 0])


@pytest.mark.parametrize(
    ("source", "expected"),
    [(digits(4), "4 digits found, expected at least 5"), (digits(9).take(slice(0, 0)), "0 digits found")],
)
def test_too_few_digits(source, expected):
    with pytest.raises(DataError, match=expected):
        composed(source)


def test_too_small_a_pool():
    with pytest.raises(DataError, match="3 pictures cannot be divided"):
        strips.divide({"pool": digits(3)}, SIZES, seed=1)

"""Splits: of the sizes that were asked for, disjoint, complete, and even by class."""

import hashlib

import numpy as np
import pytest
from digit_blobs import blobs
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.core.images import DIGIT_NAMES, SPLITS, ImageSet
from pipeline.data import splits

SIZES = {"train": 50_000, "valid": 5_000, "gate": 5_000, "test": 10_000}


def test_official_sizes_are_taken_as_they_are():
    pool, test = blobs(600), blobs(100, seed=1)
    sizes = {"train": 500, "valid": 50, "gate": 50, "test": 100}
    divided = splits.divide({"pool": pool, "test": test}, sizes, seed=1)
    assert {name: len(split) for name, split in divided.items()} == sizes
    np.testing.assert_array_equal(divided["test"].images, test.images)


@given(count=st.integers(40, 400), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_other_sizes_keep_the_proportions_and_lose_nothing(count, seed):
    divided = splits.divide({"pool": blobs(count)}, SIZES, seed=seed)
    assert list(divided) == list(SPLITS)
    assert sorted(np.concatenate([split.sources[:, 0] for split in divided.values()])) == list(range(count))
    for name, split in divided.items():
        assert len(split) == pytest.approx(count * SIZES[name] / 70_000, abs=1)


@pytest.mark.parametrize("seed", range(20))
def test_small_pools_are_divided_evenly_class_by_class(seed):
    labels = np.repeat(np.arange(10, dtype=np.uint8), 30)[:, None]
    pool = ImageSet(np.zeros((300, 28, 28, 1), np.uint8), labels, DIGIT_NAMES, "folder:mine")
    for name, split in splits.divide({"pool": pool}, SIZES, seed=seed).items():
        share = np.bincount(split.labels[:, 0], minlength=10) / len(split)
        # Within a picture of its even share.
        assert np.abs(share - 0.1).max() <= 1 / len(split) + 1e-9, name


def test_ids_distinguish_the_sets_of_a_source():
    divided = splits.divide({"pool": blobs(120), "test": blobs(10, seed=1)}, SIZES, seed=1)
    assert divided["test"].sources[0, 0] == splits.SOURCE_STRIDE * splits.RAW_SETS.index("test")
    assert not set(divided["test"].sources[:, 0]) & set(divided["train"].sources[:, 0])


def test_sets_that_are_all_splits_are_taken_as_they_are():
    sets = {name: blobs(12, seed=number) for number, name in enumerate(SPLITS)}
    divided = splits.divide(sets, SIZES, seed=1)
    assert all(divided[name].images is sets[name].images for name in SPLITS)


def test_a_pool_that_is_too_small_or_missing_is_refused():
    with refuses(DataError, "3 pictures", "at least 4"):
        splits.divide({"pool": blobs(3)}, SIZES, seed=1)
    with refuses(DataError, "train, valid, gate", "pool.npz"):
        splits.divide({"test": blobs(3)}, SIZES, seed=1)


def test_named_pictures_are_divided_by_the_digests_of_their_names():
    names = [f"{number}.png" for number in range(40)]
    sizes = {"train": 20, "valid": 5, "gate": 5, "test": 10}
    divided = splits.by_name(names, sizes)
    assert {split: len(rows) for split, rows in divided.items()} == sizes
    order = [row for split in SPLITS for row in divided[split]]
    digests = [hashlib.sha256(names[row].encode()).hexdigest() for row in order]
    assert digests == sorted(digests)
    turned = splits.by_name(names[::-1], sizes)
    for split in SPLITS:
        assert [names[row] for row in divided[split]] == [names[::-1][row] for row in turned[split]]


def test_another_number_of_named_pictures_keeps_the_shares():
    sizes = {"train": 488, "valid": 80, "gate": 80, "test": 160}
    divided = splits.by_name([str(number) for number in range(81)], sizes)
    assert [len(rows) for rows in divided.values()] == [49, 8, 8, 16]


def test_named_pictures_that_cannot_be_divided_are_refused():
    sizes = {"train": 488, "valid": 80, "gate": 80, "test": 160}
    with refuses(DataError, "2 pictures are called a.png"):
        splits.by_name(["a.png", "b.png", "a.png"], sizes)
    with refuses(DataError, "3 pictures cannot be divided"):
        splits.by_name(["a.png", "b.png", "c.png"], sizes)
    with refuses(DataError, "0 pictures cannot be divided"):
        splits.by_name([], sizes)

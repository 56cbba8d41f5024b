"""Strips: what holds for every suite, whatever the seed and the digits."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from digit_blobs import blobs
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.core.images import BLANK, INK
from pipeline.data import drawing, strips


def composed(source, seed=3, **settings):
    defaults = {"rounds": 1, "fewest": 5, "most": 5, "jitter": False, "clutter": False}
    return strips.compose(source, **{**defaults, **settings}, seed=seed)


def fingerprint(pictures, path):
    pictures.save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_plain_uses_every_digit_once_and_puts_it_into_its_cell():
    source = blobs(50)
    made = composed(source)
    assert made.images.shape == (10, 28, 140, 1)
    assert sorted(made.sources.ravel()) == list(range(50))
    for row in range(10):
        for slot in range(5):
            cell = made.images[row, :, slot * 28 : (slot + 1) * 28]
            index = made.sources[row, slot]
            np.testing.assert_array_equal(cell, source.images[index])
            assert made.labels[row, slot] == source.labels[index, 0]


def test_rounds_use_every_digit_as_often():
    made = composed(blobs(50), rounds=3)
    assert np.bincount(made.sources.ravel()).tolist() == [3] * 50


def test_blanks_hold_every_number_of_digits_anywhere():
    made = composed(blobs(2_000), fewest=0)
    filled = made.labels != BLANK
    assert set(filled.sum(axis=1)) == {0, 1, 2, 3, 4, 5}
    assert filled.mean(axis=0) == pytest.approx([0.5] * 5, abs=0.1)
    assert (made.sources[~filled] == -1).all()
    cells = made.images.reshape(-1, 28, 5, 28).transpose(0, 2, 1, 3)
    assert not cells[~filled].any()
    assert cells[filled].any(axis=(1, 2)).all()


@given(seed=st.integers(0, 2**32 - 1), fewest=st.integers(0, 5), clutter=st.booleans())
@settings(max_examples=15, deadline=None)
def test_jitter_keeps_ink_in_the_picture_and_neighbours_apart(seed, fewest, clutter):
    made = composed(blobs(100, seed=seed % 7), seed=seed, fewest=fewest, jitter=True, clutter=clutter)
    filled = made.labels != BLANK
    x0, y0, x1, y1 = np.moveaxis(made.boxes, -1, 0)
    assert (made.boxes[~filled] == 0).all()
    assert ((x1 > x0) & (y1 > y0))[filled].all()
    assert x0.min() >= 0
    assert y0.min() >= 0
    assert x1.max() <= 140
    assert y1.max() <= 28
    for row in range(len(made)):
        left, right = x0[row, filled[row]], x1[row, filled[row]]
        assert (np.diff(left) > 0).all(), "slots are in order from left to right"
        assert (right[:-1] - left[1:] <= strips.OVERLAP).all()


def test_jitter_draws_the_whole_digit():
    """Ink may be scaled by 0.7 at most: what a jittered strip shows is never less than that of any digit."""
    source = blobs(200)
    made = composed(source, jitter=True)
    before = (source.images >= INK).any(axis=(1, 3)).sum(axis=1)
    width = made.boxes[..., 2] - made.boxes[..., 0]
    assert (width >= np.floor(before[made.sources] * 0.7 * 0.85)).all()


def test_clutter_records_the_digits_that_patches_were_cut_from():
    made = composed(blobs(200), jitter=True, clutter=True)
    assert made.sources.shape == (40, 5 + strips.PATCHES)
    donors = made.sources[:, 5:]
    assert (donors == -1).any()
    assert (donors >= 0).any()
    assert donors.max() < 200


def test_varied_strips_run_from_tame_to_wild():
    """With full jitter hardly a strip keeps all five digits as they were; with a varying strength many do."""
    source = blobs(2_000)
    before = drawing.ink_boxes(source.images[..., 0])
    kept = []
    for vary in (False, True):
        made = composed(source, jitter=True, vary=vary)
        cell = before[made.sources]
        size, was = (boxes[..., 2:] - boxes[..., :2] for boxes in (made.boxes, cell))
        shift = np.abs(made.boxes[..., 1] - cell[..., 1]).max(axis=1)
        kept.append((np.abs(size - was).max(axis=(1, 2)) <= 1) & (shift <= 1))
        assert (~kept[-1]).mean() > 0.4
    assert kept[0].mean() < 0.02
    assert kept[1].mean() > 0.1


def test_half_of_the_varied_strips_are_full_and_half_carry_no_clutter():
    made, plain = (
        composed(blobs(5_000), fewest=0, jitter=True, vary=True, clutter=clutter) for clutter in (True, False)
    )
    share = np.bincount((made.labels != BLANK).sum(axis=1), minlength=6) / len(made)
    assert share == pytest.approx([1 / 12] * 5 + [7 / 12], abs=0.06)
    np.testing.assert_array_equal(made.boxes, plain.boxes)
    marked = (made.images != plain.images).any(axis=(1, 2, 3))
    assert 0.4 < marked.mean() < 0.52
    assert (made.sources[~marked, 5:] >= 0).mean() < 0.05


@pytest.mark.parametrize("jitter", [False, True])
def test_the_same_seed_gives_the_same_bytes(tmp_path, jitter):
    first, again, other = (
        fingerprint(
            composed(blobs(60), seed=seed, fewest=0, jitter=jitter, clutter=jitter, vary=jitter), tmp_path / f"{i}.npz"
        )
        for i, seed in enumerate([1, 1, 2])
    )
    assert first == again
    assert first != other


def test_the_targets_are_five_groups_of_eleven():
    assert np.flatnonzero(strips.to_multi_hot(np.array([[9, 7, 5, 4, 10]], np.uint8))[0]).tolist() == [
        9,
        18,
        27,
        37,
        54,
    ]


@given(labels=st.lists(st.lists(st.integers(0, 10), min_size=5, max_size=5), min_size=1, max_size=20))
def test_the_targets_can_be_decoded(labels):
    encoded = strips.to_multi_hot(np.array(labels, np.uint8))
    assert encoded.sum() == 5 * len(labels)
    assert encoded.reshape(-1, 5, 11).argmax(axis=-1).tolist() == labels


@pytest.mark.parametrize(
    ("source", "found", "expected"),
    [
        (blobs(4), "4 digits", "at least 5"),
        (blobs(9).take(slice(0, 0)), "0 digits", "at least 5"),
        (replace(blobs(9), images=np.zeros((9, 32, 32, 1), np.uint8)), "(32, 32, 1)", "(28, 28, 1)"),
        (replace(blobs(9), sources=None), "without ids", "compose"),
    ],
    ids=["four", "none", "another-size", "no-ids"],
)
def test_digits_that_no_strip_can_be_composed_of_are_refused(source, found, expected):
    with refuses(DataError, found, expected):
        composed(source)

"""The stand-in: small real pictures in the form of the public ones, with splits that share nothing."""

import itertools

import numpy as np
import pytest
from skimage.data import astronaut, brick

from pipeline.core.images import SPLITS
from pipeline.core.ingestion import ingest
from pipeline.core.lines import LINE_SLOTS
from pipeline.data import sources, stand_in


def test_digits_have_the_form_of_mnist():
    pool = stand_in.digits()["pool"]
    assert (pool.images.shape, pool.images.dtype, pool.labels.shape) == ((1797, 28, 28, 1), np.uint8, (1797, 1))
    assert pool.origin == "embedded"
    assert np.bincount(pool.labels[:, 0]).min() > 100
    assert not pool.images[:, :4].any()
    assert pool.images.max() == 255
    assert 10 < pool.images.mean() < 100
    assert pool.images.tobytes() == stand_in.digits()["pool"].images.tobytes()


def test_patches_have_the_form_of_cifar10_and_no_two_are_equal():
    sets = stand_in.patches()
    assert tuple(sets) == SPLITS
    for each in sets.values():
        assert (each.shape, each.images.dtype, each.origin) == ((32, 32, 3), np.uint8, "embedded")
        assert set(each.labels[:, 0]) == set(range(10))
        assert each.images.std(axis=(1, 2, 3)).min() >= 4
    assert len(sets["train"]) > 1000
    patches = [patch.tobytes() for each in sets.values() for patch in each.images]
    assert len(patches) == len(set(patches))
    again = stand_in.patches()
    assert all(each.images.tobytes() == again[name].images.tobytes() for name, each in sets.items())


def test_lines_are_pictures_of_digits_with_boxes_inside(monkeypatch):
    monkeypatch.setattr(stand_in, "LINES", 30)
    lines = stand_in.lines()
    assert (len(lines), lines.origin) == (30, "embedded")
    assert len({line.name for line in lines}) == len({line.pixels.tobytes() for line in lines}) == len(lines)
    for line in lines:
        assert 1 <= len(line.digits) == len(line.boxes) <= LINE_SLOTS
        height, width = line.pixels.shape
        assert (line.boxes >= 0).all()
        assert (line.boxes <= [width, height, width, height]).all()
        assert (np.diff(line.boxes[:, [0, 2]].mean(axis=1)) > 0).all()
        assert len(ingest(line.pixels, one_line=True).lines) == 1
    assert set(np.concatenate([line.digits for line in lines])) == set(range(10))
    assert sources.sha256(stand_in.lines()) == sources.sha256(lines)


@pytest.mark.parametrize(("photograph", "label"), [(astronaut, 0), (brick, 1)])
def test_splits_come_from_disjoint_bands_of_a_photograph(photograph, label):
    """Each split's patches are found again in the photograph: its bands share no row."""
    whole = photograph()
    whole = whole if whole.ndim == 3 else np.stack([whole] * 3, axis=-1)
    corners = {
        np.ascontiguousarray(whole[y : y + 32, x : x + 32]).tobytes(): (y, x)
        for y, x in itertools.product(range(0, whole.shape[0], 32), range(0, whole.shape[1], 32))
    }
    bands = []
    for each in stand_in.patches().values():
        found = [corners[patch.tobytes()] for patch in each.images[each.labels[:, 0] == label]]
        bands.append((min(y for y, _ in found), max(y for y, _ in found) + 32))
    assert all(upper[1] <= lower[0] for upper, lower in itertools.pairwise(bands))


def test_bands_of_a_wide_photograph_are_along_its_longer_side():
    y, x = np.mgrid[:100, :700]
    cut = stand_in.cut_in_bands(np.stack([x & 255, x >> 8, y], axis=-1).astype(np.uint8))
    spans = {}
    for split, patch in cut:
        columns = patch[..., 0].astype(int) + 256 * patch[..., 1].astype(int)
        low, high = spans.get(split, (700, 0))
        spans[split] = (min(low, columns.min()), max(high, columns.max()))
    assert tuple(spans) == SPLITS
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans.values()))
    assert len(cut) == 3 * 16

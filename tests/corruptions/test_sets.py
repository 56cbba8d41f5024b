"""The folder of corrupted pictures: what is drawn, written and found again."""

import evaluations
import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.images import ImageSet
from pipeline.corruptions import sets
from pipeline.corruptions.published import MNIST_C, corruptions
from pipeline.preprocessing import proposals


def test_pictures_are_drawn_from_the_whole_split_and_keep_their_order():
    pictures = evaluations.pictures(np.arange(100, dtype=np.uint8).reshape(100, 1), tuple(map(str, range(100))))
    drawn = sets.sample(pictures, 10, seed=5).labels[:, 0].tolist()
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 10
    assert max(drawn) > 50, "a split may be sorted by class"
    assert sets.sample(pictures, 10, seed=5).labels[:, 0].tolist() == drawn
    assert sets.sample(pictures, 10, seed=6).labels[:, 0].tolist() != drawn
    assert sets.sample(pictures, 100, seed=5) is pictures


def test_every_corruption_is_a_file_with_the_labels_and_without_boxes(tmp_path):
    pictures = evaluations.scenes(3).pictures
    kinds = corruptions(1)[:3]
    assert sets.write(tmp_path, "scenes", pictures, kinds, seed=1, regions=True) == 3
    found = {(each.corruption, each.severity): each for each in sets.corrupted(tmp_path, "scenes")}
    assert set(found) == {("identity", 0), ("shot_noise", 5), ("impulse_noise", 4)}
    for each in found.values():
        stored = ImageSet.load(each.file)
        assert np.array_equal(stored.labels, pictures.labels)
        assert stored.boxes is None
        assert np.array_equal(proposals.load(each.regions, 3), proposals.propose(stored.images))
    assert np.array_equal(ImageSet.load(found["identity", 0].file).images, pictures.images)


def test_without_pictures_or_under_another_name_it_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no corrupted pictures"):
        list(sets.corrupted(tmp_path, "plain"))
    sets.write(tmp_path, "plain", evaluations.strips(2), MNIST_C[:1], seed=1, regions=False)
    (tmp_path / "suites/plain/fog.npz").touch()
    with pytest.raises(DataError, match=r"fog\.npz"):
        list(sets.corrupted(tmp_path, "plain"))

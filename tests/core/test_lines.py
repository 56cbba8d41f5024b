"""Sets of labelled pictures: what is saved is loaded, and damage is named."""

import numpy as np
import pytest
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.core.files import read_arrays, write_arrays
from pipeline.core.lines import Picture, PictureSet

BOXES = np.array([[1, 2, 3, 4], [3, 2, 6, 4]], np.float32)


def picture(name: str, height: int, width: int, digits: list[int], boxes: np.ndarray | None = None) -> Picture:
    pixels = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    return Picture(name, pixels, np.array(digits, np.uint8), boxes)


SETS = {
    "boxes": (picture("a.png", 5, 7, [1, 2], BOXES), picture("b.png", 3, 90, [4], BOXES[:1])),
    "some boxes": (picture("a.png", 5, 7, [1, 2]), picture("b.png", 3, 9, [4, 5], BOXES)),
    "no boxes": (picture("a.png", 5, 7, [1, 2]), picture("ü.png", 30, 9, [0] * 10)),
    "nothing": (),
}


@pytest.mark.parametrize("name", SETS)
def test_what_is_saved_is_loaded(tmp_path, name):
    saved = PictureSet(SETS[name], "folder:mine")
    saved.save(tmp_path / "set.npz")
    loaded = PictureSet.load(tmp_path / "set.npz")
    assert (len(loaded), loaded.origin) == (len(saved), "folder:mine")
    for one, other in zip(saved, loaded, strict=True):
        assert one.name == other.name
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.digits, other.digits)
        assert (one.boxes is None) == (other.boxes is None)
        assert one.boxes is None or np.array_equal(one.boxes, other.boxes)
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "set.npz").read_bytes()


@pytest.mark.parametrize("name", ["shapes", "pixels", "lengths", "digits", "boxes"])
def test_arrays_that_contradict_each_other_are_refused(tmp_path, name):
    path = tmp_path / "set.npz"
    PictureSet(SETS["boxes"], "folder:mine").save(path)
    arrays = read_arrays(path)
    write_arrays(path, {**arrays, name: arrays[name][:-1]})
    with refuses(DataError, path, "contradict"):
        PictureSet.load(path)
    del arrays["names"]
    write_arrays(path, arrays)
    with refuses(DataError, path, "names missing"):
        PictureSet.load(path)

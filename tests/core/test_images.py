"""Picture sets keep their rules, whatever the file they come from."""

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.files import read_arrays, write_arrays
from pipeline.core.images import DIGIT_NAMES, STRIP_NAMES, ImageSet, to_landscape


def strips(count=3):
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 140, 1), np.uint8)
    boxes = np.tile(np.array([1, 2, 11, 22], np.float32), (count, 5, 1)) + np.arange(5)[:, None] * [28, 0, 28, 0]
    return ImageSet(images, np.ones((count, 5), np.uint8), STRIP_NAMES, "mnist", boxes=boxes.astype(np.float32))


def test_a_set_comes_back_from_its_file_and_equal_sets_give_equal_bytes(tmp_path):
    strips().save(tmp_path / "a.npz")
    strips().save(tmp_path / "b.npz")
    loaded = ImageSet.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded.images, strips().images)
    assert (loaded.class_names, loaded.origin, loaded.slots, loaded.classes) == (STRIP_NAMES, "mnist", 5, 11)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_standing_strips_are_turned_with_their_boxes(tmp_path):
    original = strips()
    standing = np.rot90(original.images, k=-1, axes=(1, 2))
    assert standing.shape == (3, 140, 28, 1)
    x0, y0, x1, y1 = np.moveaxis(original.boxes, -1, 0)
    arrays = {"images": standing, "labels": original.labels, "class_names": np.array(STRIP_NAMES)}
    arrays |= {"origin": np.array("mnist"), "boxes": np.stack([28 - y1, x0, 28 - y0, x1], axis=-1)}
    write_arrays(tmp_path / "s.npz", arrays)
    loaded = ImageSet.load(tmp_path / "s.npz")
    np.testing.assert_array_equal(loaded.images, original.images)
    np.testing.assert_array_equal(loaded.boxes, original.boxes)


def test_other_pictures_are_not_turned():
    for shape in [(2, 28, 140, 1), (2, 28, 28, 1), (2, 32, 32, 3), (28, 140)]:
        images = np.zeros(shape, np.uint8)
        assert to_landscape(images) is images
    assert to_landscape(np.zeros((140, 28), np.uint8)).shape == (28, 140)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"images": np.zeros((3, 28, 140, 1), np.float32)}, "images are float32, expected uint8"),
        ({"images": np.zeros((3, 1, 28, 140), np.uint8)}, r"shape \(3, 1, 28, 140\), expected"),
        ({"images": np.zeros((3, 28, 140), np.uint8)}, r"shape \(3, 28, 140\), expected"),
        ({"images": np.zeros((4, 28, 140, 1), np.uint8)}, "4 images but 3 labels"),
        ({"labels": np.full((3, 5), 11, np.uint8)}, "label 11 found, expected 0 to 10"),
        ({"labels": np.zeros((3, 5), np.int64)}, "labels are int64, expected uint8"),
        ({"labels": np.zeros(3, np.uint8)}, r"labels have shape \(3,\)"),
        ({"boxes": np.full((3, 5, 4), np.nan, np.float32)}, "NaN or infinity"),
        ({"boxes": np.full((3, 5, 4), np.inf, np.float32)}, "NaN or infinity"),
        ({"boxes": np.zeros((3, 4, 4), np.float32)}, r"boxes are float32 \(3, 4, 4\)"),
        ({"sources": np.zeros((3, 5), np.int64)}, "sources are int64"),
    ],
)
def test_what_is_no_picture_set_is_named(tmp_path, change, expected):
    arrays = {"images": np.zeros((3, 28, 140, 1), np.uint8), "labels": np.zeros((3, 5), np.uint8)}
    arrays |= {"class_names": np.array(STRIP_NAMES), "origin": np.array("mnist"), **change}
    write_arrays(tmp_path / "x.npz", arrays)
    with pytest.raises(DataError, match=expected) as caught:
        ImageSet.load(tmp_path / "x.npz")
    assert str(tmp_path / "x.npz") in str(caught.value)


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a file was unpickled",))

    np.savez(tmp_path / "x.npz", images=np.array([Bomb()], dtype=object))
    with pytest.raises(DataError, match="found an array of Python objects"):
        read_arrays(tmp_path / "x.npz")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 a zip that ends at once"])
def test_a_damaged_file_is_one_clear_line(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npz: expected an npz archive of plain arrays, found a damaged file"):
        ImageSet.load(tmp_path / "x.npz")


def test_a_truncated_archive_is_one_clear_line(tmp_path):
    strips().save(tmp_path / "x.npz")
    whole = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="found a damaged file"):
        ImageSet.load(tmp_path / "x.npz")


def test_a_missing_array_is_named(tmp_path):
    write_arrays(tmp_path / "x.npz", {"images": np.zeros((1, 28, 28, 1), np.uint8)})
    with pytest.raises(DataError, match="class_names, labels, origin missing; it holds images"):
        ImageSet.load(tmp_path / "x.npz")


def test_taking_some_takes_all_that_belongs_to_them():
    some = strips(4).take(np.array([2, 0]))
    np.testing.assert_array_equal(some.images, strips(4).images[[2, 0]])
    assert some.boxes.shape == (2, 5, 4)
    assert ImageSet(np.zeros((0, 28, 28, 1), np.uint8), np.zeros((0, 1), np.uint8), DIGIT_NAMES, "x").classes == 10

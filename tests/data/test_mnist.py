"""MNIST's files are decoded as the IDX format defines, or refused by name."""

import gzip

import numpy as np
import pytest
from file_trees import contents
from raw_files import idx, pictures, write_mnist
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.data import mnist


def test_the_files_of_a_mirror_become_two_sets(mirror, tmp_path):
    sets = mnist.fetch(str(mirror), tmp_path / "cache")
    assert {name: len(each) for name, each in sets.items()} == {"pool": 20, "test": 10}
    np.testing.assert_array_equal(sets["pool"].images[..., 0], pictures(20))
    np.testing.assert_array_equal(sets["test"].labels[:, 0], np.arange(10))
    np.testing.assert_array_equal(sets["pool"].sources[:, 0], np.arange(20))
    assert {(each.origin, each.shape) for each in sets.values()} == {("mnist", (28, 28, 1))}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(lambda file: file[:-20], "truncated"), (lambda file: gzip.compress(b"something else"), "SHA-256")],
    ids=["truncated", "another-content"],
)
def test_a_damaged_file_of_a_mirror_is_refused_and_stays(mirror, tmp_path, damage, reason):
    file = mirror / "mnist/train-labels-idx1-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    before = contents(tmp_path)
    with refuses(DataError, file, reason):
        mnist.fetch(str(mirror), tmp_path / "cache")
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("decode", "data", "found", "expected"),
    [
        (mnist.decode_images, idx(pictures(2), magic=2049), 2049, 2051),
        (mnist.decode_labels, idx(pictures(2)), 2051, 2049),
        (mnist.decode_images, idx(pictures(2))[:-1], "1,583", "1,584"),
        (mnist.decode_labels, idx(np.zeros(3, np.uint8)) + b"\0\0", 13, 11),
        (mnist.decode_images, b"\0\0\10\3", 4, 16),
        (mnist.decode_images, np.array([2051, 2**32 - 1, 28, 28], ">u4").tobytes(), 16, "3,367,254,359,296"),
        (mnist.decode_images, idx(pictures(2, side=20)), "20×20", "28×28"),
        (mnist.decode_labels, idx(np.array([3, 10, 4], np.uint8)), "label 10", "row 1"),
    ],
    ids=["no-images", "no-labels", "short", "long", "no-header", "huge", "another-size", "label-10"],
)
def test_bytes_that_are_not_the_format_are_refused(decode, data, found, expected):
    with refuses(DataError, "some-file.gz", found, expected):
        decode(data, "some-file.gz")


def test_more_pictures_than_labels_are_refused(mirror, tmp_path, monkeypatch):
    digests = write_mnist(mirror, {"train-labels-idx1-ubyte": idx(np.zeros(19, np.uint8))})
    monkeypatch.setattr(mnist, "FILES", mnist.FILES | digests)
    with refuses(DataError, "train-images-idx3-ubyte.gz", "20", "19", "train-labels-idx1-ubyte.gz"):
        mnist.fetch(str(mirror), tmp_path / "cache")

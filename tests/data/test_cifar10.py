"""CIFAR-10's records are decoded into one order whatever archive they come in, or refused by name."""

import gzip
import hashlib

import numpy as np
import pytest
from raw_files import BATCHES, batches, records, tar
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.data import cifar10
from pipeline.data.sources import describe


def test_records_come_in_one_order_whatever_order_they_came_in():
    made = records(60)
    expected = np.array(sorted(made.tolist()), np.uint8)
    images, labels = cifar10.decode_records(made.tobytes(), "batch")
    np.testing.assert_array_equal(labels[:, 0], expected[:, 0])
    np.testing.assert_array_equal(images.transpose(0, 3, 1, 2).reshape(60, -1), expected[:, 1:])
    assert (images.shape, images.dtype, labels.dtype) == ((60, 32, 32, 3), np.uint8, np.uint8)
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(made)
        again, labels_again = cifar10.decode_records(shuffled.tobytes(), "batch")
        assert (again.tobytes(), labels_again.tobytes()) == (images.tobytes(), labels.tobytes())


def test_red_comes_before_green_and_blue():
    record = np.repeat(np.array([200, 100, 50], np.uint8), 1024).tobytes()
    images, labels = cifar10.decode_records(b"\4" + record, "batch")
    assert images[0, 7, 9].tolist() == [200, 100, 50]
    assert labels.tolist() == [[4]]


def test_a_label_above_nine_and_an_incomplete_record_are_refused():
    bad = records(5)
    bad[3, 0] = 10
    with refuses(DataError, "batch", "label 10", "row 3"):
        cifar10.decode_records(bad.tobytes(), "batch")
    with refuses(DataError, "batch", "15,364", "3,073"):
        cifar10.decode_records(records(5).tobytes()[:-1], "batch")


@pytest.mark.parametrize("content", [b"", bytes(3072)], ids=["empty", "incomplete"])
def test_a_batch_without_whole_records_is_refused(content):
    with refuses(DataError, "some.tar.gz", "data_batch_1.bin", f"{len(content):,}", "3,073"):
        cifar10.read_archive(tar(batches(content)), "some.tar.gz")


def test_a_missing_batch_and_one_that_is_too_large_are_refused():
    with refuses(DataError, "some.tar.gz", "data_batch_1.bin"):
        cifar10.read_archive(tar(batches()[1:]), "some.tar.gz")
    with refuses(DataError, "some.tar.gz", "data_batch_1.bin", "30,733,073", "30,730,000"):
        cifar10.read_archive(tar([("x/data_batch_1.bin", bytes(10_001 * cifar10.RECORD))]), "some.tar.gz")


def test_two_archives_of_the_same_records_are_the_same_data_set(tmp_path, monkeypatch):
    made = {"pool": records(50, seed=1), "test": records(10, seed=2)}
    digests = {name: hashlib.sha256(b"".join(sorted(map(bytes, each)))).hexdigest() for name, each in made.items()}
    monkeypatch.setattr(cifar10, "RECORDS_SHA256", digests)
    found = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        parts = [*np.split(rng.permutation(made["pool"]), 5), rng.permutation(made["test"])]
        members = [(f"a{seed}/{name}", part.tobytes()) for name, part in zip(BATCHES, parts, strict=True)]
        file = tmp_path / f"{seed}/cifar10/cifar-10-binary.tar.gz"
        file.parent.mkdir(parents=True)
        file.write_bytes(gzip.compress(tar([("readme.html", b"a word"), *members])))
        found.append(describe(cifar10.fetch(str(tmp_path / str(seed)), tmp_path / "cache")))
    assert found[0] == found[1]
    assert found[0].sets["pool"].pictures == 50
    monkeypatch.setattr(cifar10, "RECORDS_SHA256", {"pool": digests["pool"], "test": digests["pool"]})
    with refuses(DataError, file, digests["test"], digests["pool"]):
        cifar10.fetch(str(tmp_path / "1"), tmp_path / "cache")

"""Files are written whole or not at all, equal values give equal bytes, and only regular files are read."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.files import (
    digest,
    read_arrays,
    read_file,
    read_json,
    replacing,
    write_arrays,
    write_json,
    write_text,
)
from pipeline.records.release import Release


def test_json_is_canonical(tmp_path):
    target = tmp_path / "file.json"
    write_json(target, {"b": 1, "a": [1.5, None]})
    assert target.read_text() == '{\n  "a": [\n    1.5,\n    null\n  ],\n  "b": 1\n}\n'
    assert read_json(target) == {"a": [1.5, None], "b": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"a": float("nan")})
    assert read_json(target)["b"] == 1


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_error_keeps_what_was_there_and_leaves_no_part(tmp_path, error):
    target = tmp_path / "file.json"
    target.write_text("before")

    def write_half_of_it():
        with replacing(target) as temporary:
            temporary.write_text("half of it")
            raise error

    with pytest.raises(type(error)):
        write_half_of_it()
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_is_there_when_the_block_has_ended(tmp_path):
    with replacing(tmp_path / "new" / "file") as temporary:
        temporary.write_text("text")
        assert not (tmp_path / "new/file").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    for name in "ab":
        with replacing(target) as temporary:
            temporary.mkdir()
            write_text(temporary / name, name)
    assert [path.name for path in target.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [target]


def test_equal_arrays_give_equal_bytes(tmp_path):
    arrays = {"images": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": np.array([1.5])}
    for name in ("a.npz", "b.npz"):
        write_arrays(tmp_path / name, arrays)
    assert digest(tmp_path / "a.npz") == digest(tmp_path / "b.npz")
    back = read_arrays(tmp_path / "a.npz")
    assert {name: array.dtype for name, array in back.items()} == {"images": np.uint8, "labels": np.float64}
    assert np.array_equal(back["images"], arrays["images"])


def test_arrays_that_are_missing_damaged_or_objects_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_arrays(tmp_path / "none.npz")
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 and no archive")
    with pytest.raises(DataError, match="damaged"):
        read_arrays(tmp_path / "damaged.npz")
    np.savez(tmp_path / "objects.npz", values=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="Python objects"):
        read_arrays(tmp_path / "objects.npz")


@pytest.mark.parametrize("read", [read_file, read_json, read_arrays, digest, Release.read])
def test_a_pipe_a_device_and_a_folder_are_not_read(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    for path, found in ((tmp_path / "pipe", "a FIFO"), (Path("/dev/zero"), "a device"), (tmp_path, "a folder")):
        with pytest.raises(DataError, match=f"{path}: {found} found, expected a regular file"):
            read(path)


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    (tmp_path / "file").write_bytes(bytes(10))
    assert read_file(tmp_path / "file", 10) == bytes(10)
    with pytest.raises(DataError, match="file: 10 bytes found, expected at most 9"):
        read_file(tmp_path / "file", 9)

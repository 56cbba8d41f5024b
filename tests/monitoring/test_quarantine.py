import hashlib
import os
import time

import numpy as np
import pytest
from PIL import Image

from pipeline.monitoring.quarantine import Quarantine, forget, pictures

PNG = b"\x89PNG" + bytes(100)


def digest(number):
    return hashlib.sha256(b"%d" % number).hexdigest()


def test_a_file_is_kept_as_it_came_and_pixels_as_a_png(tmp_path):
    kept = Quarantine(tmp_path, most_bytes=10**6, days=30)
    assert kept.keep(digest(0), PNG, None)
    assert not kept.keep(digest(0), PNG, None), "it is there"
    pixels = np.arange(28 * 140, dtype=np.uint8).reshape(28, 140, 1)
    assert kept.keep(digest(1), pixels.tobytes(), pixels.shape)
    assert (tmp_path / f"{digest(0)}.png").read_bytes() == PNG
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{digest(1)}.png")), pixels[..., 0])


def test_the_bound_holds_and_the_oldest_pictures_go(tmp_path):
    kept, largest = Quarantine(tmp_path, most_bytes=2000, days=30), 0
    for number in range(100):
        assert kept.keep(digest(number), PNG, None)
        then = time.time() - 1000 + number
        os.utime(tmp_path / f"{digest(number)}.png", (then, then))
        largest = max(largest, sum(path.stat().st_size for path in pictures(tmp_path)))
    assert 1800 < largest <= 2000
    assert {path.stem for path in pictures(tmp_path)} <= {digest(number) for number in range(75, 100)}
    assert not kept.keep(digest(100), PNG + bytes(2000), None), "larger than the bound"


def test_pictures_older_than_the_days_are_removed(tmp_path):
    kept = Quarantine(tmp_path, most_bytes=2000, days=1)
    kept.keep(digest(0), PNG, None)
    kept.keep(digest(1), PNG, None)
    os.utime(tmp_path / f"{digest(0)}.png", (1, 1))
    kept.tick()
    assert [path.stem for path in pictures(tmp_path)] == [digest(1)]


def test_a_forgotten_picture_is_gone_and_no_longer_counted(tmp_path):
    kept = Quarantine(tmp_path, most_bytes=250, days=30)
    kept.keep(digest(0), PNG, None)
    kept.keep(digest(1), PNG, None)
    assert (forget(tmp_path, digest(0)), forget(tmp_path, digest(0))) == (1, 0)
    assert kept.keep(digest(2), PNG, None)
    assert {path.stem for path in pictures(tmp_path)} == {digest(1), digest(2)}


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        Quarantine(tmp_path / "file", most_bytes=250, days=30).keep(digest(0), PNG, None)

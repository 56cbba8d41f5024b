"""A download is whole or not there: resumed, retried, bounded, from the network or from a mirror."""

import errno
import gzip
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from file_trees import contents
from refusals import refuses

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.remote import downloads
from pipeline.remote.downloads import RemoteFile, Unreachable, download, find_in_mirror, obtain

DATA = bytes(np.random.default_rng(0).integers(0, 256, 50_000, np.uint8))


def remote(host, *paths, limit=1 << 20):
    return RemoteFile("some/file.gz", tuple(host.url + path for path in paths or ["/file.gz"]), limit)


def expect(data):
    """A reader that accepts these bytes only."""

    def read(path):
        if path.read_bytes() != data:
            raise DataError(f"{path}: other bytes")
        return data

    return read


def test_an_interrupted_download_continues_where_it_stopped(host, tmp_path, waits):
    host.content, host.breaks_after = {"/file.gz": DATA}, [20_000]
    path = download(remote(host), tmp_path)
    assert host.seen == [("/file.gz", None, None), ("/file.gz", "bytes=20000-", '"one"')]
    assert contents(tmp_path) == {"some/file.gz": DATA}
    assert waits == [1.0]
    assert download(remote(host), tmp_path) == path
    assert len(host.seen) == 2


def test_a_later_run_continues_as_well(host, tmp_path, waits):
    host.content, host.breaks_after = {"/file.gz": DATA}, [10_000, 20_000, 30_000]
    with refuses(Unreachable, host.url, "30,000", "50,000"):
        download(remote(host), tmp_path)
    assert waits == [1.0, 2.0]
    assert not (tmp_path / "some/file.gz").exists()
    host.headers = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    host.breaks_after = [10_000]
    assert download(remote(host), tmp_path).read_bytes() == DATA
    asked = [seen[1] for seen in host.seen]
    assert asked == [None, "bytes=10000-", "bytes=20000-", "bytes=30000-", "bytes=10000-"]
    assert contents(tmp_path) == {"some/file.gz": DATA}


@pytest.mark.parametrize(
    "change",
    [
        {"ranges": False},
        {"headers": {"ETag": '"two"'}},
        {"headers": {"ETag": '"two"'}, "heeds_if_range": False},
    ],
    ids=["no-ranges", "changed", "changed-and-if-range-ignored"],
)
def test_what_cannot_be_resumed_starts_again(host, tmp_path, change):
    host.content, host.breaks_after = {"/file.gz": DATA}, [20_000, 20_000, 20_000]
    host.ranges = change.get("ranges", True)
    with pytest.raises(Unreachable):
        download(remote(host), tmp_path)
    for name, value in change.items():
        setattr(host, name, value)
    host.content = {"/file.gz": DATA[::-1]}
    assert download(remote(host), tmp_path).read_bytes() == DATA[::-1]
    assert contents(tmp_path) == {"some/file.gz": DATA[::-1]}


def test_one_url_does_not_continue_the_part_of_another(host, tmp_path):
    host.content, host.breaks_after = {"/one.gz": DATA, "/two.gz": DATA[::-1]}, [20_000]
    assert download(remote(host, "/one.gz", "/two.gz"), tmp_path).read_bytes() == DATA[::-1]
    assert host.seen[1] == ("/two.gz", None, None)


def test_a_part_without_a_strong_validator_is_not_resumed(host, tmp_path):
    host.content, host.breaks_after, host.headers = {"/file.gz": DATA}, [20_000], {"ETag": 'W/"weak"'}
    assert download(remote(host), tmp_path).read_bytes() == DATA
    assert [seen[1] for seen in host.seen] == [None, None]


def test_a_part_larger_than_the_file_starts_again(host, tmp_path):
    host.content = {"/file.gz": DATA}
    part = tmp_path / "some/file.gz.partial"
    part.parent.mkdir()
    part.write_bytes(DATA + b"more")
    part.with_name(part.name + ".origin").write_text(f'{host.url}/file.gz\n"one"')
    assert download(remote(host), tmp_path).read_bytes() == DATA
    assert [seen[1] for seen in host.seen] == ["bytes=50004-", None]


def test_the_next_url_is_tried(host, tmp_path, waits):
    host.content = {"/two.gz": DATA}
    assert download(remote(host, "/one.gz", "/two.gz"), tmp_path).read_bytes() == DATA
    assert [seen[0] for seen in host.seen] == ["/one.gz", "/two.gz"]
    assert waits == []


def test_a_content_coding_is_not_undone(host, tmp_path):
    """Some hosts label `.gz` files as a coding of what is in them."""
    host.content, host.headers = {"/file.gz": gzip.compress(DATA)}, {"Content-Encoding": "gzip"}
    assert gzip.decompress(download(remote(host), tmp_path).read_bytes()) == DATA


def test_a_missing_file_is_requested_once(host, tmp_path, waits):
    with refuses(Unreachable, host.url, "404"):
        download(remote(host), tmp_path)
    assert (len(host.seen), waits) == (1, [])


def test_an_unavailable_host_is_asked_again(host, tmp_path, waits):
    host.content, host.status = {"/file.gz": DATA}, 503
    with refuses(Unreachable, "503"):
        download(remote(host), tmp_path)
    assert len(host.seen) == downloads.ATTEMPTS
    assert waits == [1.0, 2.0]
    host.status = 204
    with refuses(Unreachable, "204"):
        download(remote(host), tmp_path)
    assert not contents(tmp_path)


def test_a_web_page_with_status_200_is_refused(host, tmp_path):
    host.content, host.headers = {"/file.gz": b"<html>Log in</html>"}, {"Content-Type": "text/HTML; charset=utf-8"}
    with refuses(DataError, f"{host.url}/file.gz", "some/file.gz"):
        download(remote(host), tmp_path)
    assert not contents(tmp_path)


@pytest.mark.parametrize("announces", [None, "nothing", 10**15])
def test_too_many_bytes_are_refused(host, tmp_path, announces):
    host.content, host.announces = {"/file.gz": DATA}, announces
    with refuses(DataError, f"{host.url}/file.gz", "40,000"):
        download(remote(host, limit=40_000), tmp_path)
    assert not contents(tmp_path)


def test_a_host_that_is_too_slow_is_given_up(host, tmp_path, monkeypatch):
    """Every look at the clock is 100 seconds later: at most 10,000 bytes come in that time."""
    monkeypatch.setattr(downloads, "monotonic", itertools.count(step=100).__next__)
    monkeypatch.setattr(downloads, "_CHUNK", len(DATA) // 5)
    host.content = {"/file.gz": DATA}
    with refuses(Unreachable, host.url, "1,024 bytes a second"):
        download(remote(host), tmp_path)
    assert not (tmp_path / "some/file.gz").exists()


def test_a_file_that_is_complete_is_taken_however_slow_it_came(host, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "monotonic", itertools.count(step=100).__next__)
    host.content = {"/file.gz": DATA}
    part = tmp_path / "some/file.gz.partial"
    part.parent.mkdir()
    part.write_bytes(DATA[:-10])
    part.with_name(part.name + ".origin").write_text(f'{host.url}/file.gz\n"one"')
    assert download(remote(host), tmp_path).read_bytes() == DATA
    assert [seen[1] for seen in host.seen] == ["bytes=49990-"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_a_full_disk_leaves_no_part(host, tmp_path):
    host.content = {"/file.gz": DATA}
    part = tmp_path / "some/file.gz.partial"
    part.parent.mkdir()
    part.symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:  # noqa: PT011
        download(remote(host), tmp_path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "some/file.gz"))
    assert not list(part.parent.iterdir())


def test_a_mirror_that_lacks_the_file_or_does_not_exist(host, tmp_path):
    with refuses(DataError, "DATASETS_MIRROR", tmp_path / "some/file.gz"):
        find_in_mirror(remote(host), str(tmp_path), tmp_path / "cache")
    with refuses(ConfigurationError, "DATASETS_MIRROR", tmp_path / "elsewhere"):
        find_in_mirror(remote(host), str(tmp_path / "elsewhere"), tmp_path / "cache")


def test_a_damaged_file_in_a_mirrors_folder_stays(host, tmp_path):
    file = tmp_path / "mirror/some/file.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"damaged")
    with refuses(DataError, file):
        obtain(remote(host), str(tmp_path / "mirror"), tmp_path / "cache", expect(DATA))
    assert contents(tmp_path) == {"mirror/some/file.gz": b"damaged"}
    assert host.seen == []


def test_a_damaged_download_is_removed_and_a_damaged_cached_file_downloaded_again(host, tmp_path):
    host.content = {"/file.gz": b"damaged"}
    with refuses(DataError, tmp_path / "some/file.gz"):
        obtain(remote(host), "", tmp_path, expect(DATA))
    assert contents(tmp_path) == {}
    host.content = {"/file.gz": DATA}
    (tmp_path / "some").mkdir(exist_ok=True)
    (tmp_path / "some/file.gz").write_bytes(b"damaged")
    assert obtain(remote(host), "", tmp_path, expect(DATA)) == DATA
    assert contents(tmp_path) == {"some/file.gz": DATA}


def test_a_password_in_a_url_is_in_no_message_and_no_file(host, tmp_path):
    mirror = host.url.replace("//", "//reader:secret@")
    with pytest.raises(DataError) as caught:
        find_in_mirror(remote(host), mirror, tmp_path)
    assert host.url in str(caught.value)
    assert "secret" not in str(caught.value)
    host.content, host.breaks_after = {"/some/file.gz": DATA}, [1, 1, 1]
    with pytest.raises(DataError):
        find_in_mirror(remote(host), mirror, tmp_path)
    kept = contents(tmp_path)
    assert len(kept) == 2
    assert not any(b"secret" in content for content in kept.values())


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.mkdir()])
def test_what_is_not_a_regular_file_in_a_mirror_is_not_opened(tmp_path, make):
    (tmp_path / "mirror/some").mkdir(parents=True)
    make(tmp_path / "mirror/some/file.gz")
    with refuses(DataError, "mirror/some/file.gz", "no such file"):
        obtain(RemoteFile("some/file.gz", (), 1 << 20), str(tmp_path / "mirror"), tmp_path / "cache", expect(b""))

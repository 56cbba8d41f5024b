"""Pictures come whole and verified, or not at all: damaged files, bad archives, bad networks, folders of one's own."""

import errno
import gzip
import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, brick

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.images import SPLITS, ImageSet
from pipeline.data import downloads, folders, sources
from pipeline.data import stand_in as stand_in
from pipeline.data.downloads import Remote, Unreachable, fetched

ROOT = Path(__file__).parents[2]
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
NOWHERE = "http://127.0.0.1:9"
BATCHES = [batch for batches in sources.CIFAR10_BATCHES.values() for batch in batches]


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    """The host below is reached without the proxy, and the mirror without the variable, this machine may have."""
    for name in (*PROXIES, "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "DATASETS_MIRROR", "DATASETS_CACHE"):
        monkeypatch.delenv(name, raising=False)


def explains(caught, *words):
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def idx(values, magic=None):
    sizes = [2049 if values.ndim == 1 else 2051] if magic is None else [magic]
    return np.array(sizes + list(values.shape), ">u4").tobytes() + values.tobytes()


def pictures(count, side=28):
    return np.random.default_rng(count).integers(0, 256, (count, side, side), np.uint8)


def records(count, seed=0):
    """CIFAR-10 records, some equal up to zeros at their end: what a text's order could get wrong."""
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 256, (count, sources.RECORD), np.uint8)
    made[:, 0] %= 10
    made[::3, rng.integers(1, 5) :] = 0
    made[1::3] = made[::3][: len(made[1::3])]
    made[1::3, -1] = 1
    return made


def archive(members, form=tarfile.PAX_FORMAT):
    """A tar of `(name or TarInfo, content)`, unzipped."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def batches(content=b"\1" * sources.RECORD):
    return [(f"cifar-10-batches-bin/{name}", content) for name in BATCHES]


def link(kind, target):
    info = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    info.type, info.linkname = kind, target
    return info


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """A mirror of a very small MNIST, of 20 and 10 digits, and the digests to go with it."""
    content = {}
    for prefix, count in (("train", 20), ("t10k", 10)):
        content[f"{prefix}-images-idx3-ubyte"] = idx(pictures(count))
        content[f"{prefix}-labels-idx1-ubyte"] = idx(np.arange(count, dtype=np.uint8) % 10)
    folder = tmp_path / "mirror"
    write_mnist(folder, content, monkeypatch)
    return folder


def write_mnist(folder, content, monkeypatch):
    (folder / "mnist").mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / "mnist" / f"{name}.gz").write_bytes(gzip.compress(data, mtime=0))
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    monkeypatch.setattr(sources, "MNIST_FILES", sources.MNIST_FILES | digests)


def fetch(mirror, tmp_path, source="mnist", fallback="embedded", origin="public"):
    return sources.fetch(source, origin, fallback=fallback, mirror=str(mirror), cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file[:-20], ["the gzip file is truncated", "get the file again"]),
        (lambda file: b"", ["the gzip file is truncated after 0 bytes"]),
        (lambda file: file + b"\0\0", ["2 bytes found after the end", "expected none"]),
        (lambda file: file[:-8] + bytes([file[-8] ^ 255]) + file[-7:], ["damaged gzip file", "expected gzip"]),
        (lambda file: gzip.decompress(file), ["no gzip file found", "expected gzip"]),
        (lambda file: b"\n<!DOCTYPE html><html>Moved</html>", ["a web page found", "expected gzip"]),
        (lambda file: gzip.compress(gzip.decompress(file)[:-1] + b"\7"), ["SHA-256", "expected", "another data set"]),
    ],
    ids=["truncated", "empty", "bytes-after-the-end", "damaged", "unzipped", "web-page", "wrong-digest"],
)
def test_a_damaged_mirror_is_an_error_and_never_the_stand_in(mnist, tmp_path, damage, words):
    file = mnist / "mnist/train-labels-idx1-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    before = tree(tmp_path)
    with pytest.raises(DataError) as caught:
        fetch(mnist, tmp_path)
    explains(caught, file, *words)
    assert tree(tmp_path) == before


def test_a_mirror_that_lacks_a_file_or_is_not_there(mnist, tmp_path):
    file = mnist / "mnist/t10k-labels-idx1-ubyte.gz"
    file.unlink()
    with pytest.raises(DataError) as caught:
        fetch(mnist, tmp_path)
    explains(caught, "DATASETS_MIRROR", file, "no such file")
    with pytest.raises(ConfigurationError) as caught:
        fetch(tmp_path / "elsewhere", tmp_path)
    explains(caught, "DATASETS_MIRROR", tmp_path / "elsewhere", "no such folder", "expected")


def test_a_whole_mirror_gives_its_pictures(mnist, tmp_path):
    sets = fetch(mnist, tmp_path)
    assert {name: len(each) for name, each in sets.items()} == {"pool": 20, "test": 10}
    np.testing.assert_array_equal(sets["pool"].images[..., 0], pictures(20))
    np.testing.assert_array_equal(sets["test"].labels[:, 0], np.arange(10))
    assert {(each.origin, each.images.shape[1:]) for each in sets.values()} == {("mnist", (28, 28, 1))}


@pytest.mark.parametrize(
    ("decode", "data", "words"),
    [
        (sources.decode_images, idx(pictures(2), magic=2049), ["magic number 2049 found", "expected 2051"]),
        (sources.decode_labels, idx(pictures(2)), ["magic number 2051 found", "expected 2049"]),
        (sources.decode_images, idx(pictures(2))[:-1], ["1,583 bytes found", "expected 1,584"]),
        (sources.decode_labels, idx(np.zeros(3, np.uint8)) + b"\0\0", ["13 bytes found", "expected 11"]),
        (sources.decode_images, b"\0\0\10\3", ["4 bytes found", "expected a header of 16"]),
        (sources.decode_images, np.array([2051, 2**32 - 1, 28, 28], ">u4").tobytes(), ["16 bytes found", "expected"]),
        (sources.decode_images, idx(pictures(2, side=20)), ["20×20 found", "expected 28×28"]),
        (sources.decode_labels, idx(np.array([3, 10, 4], np.uint8)), ["label 10 found in row 1", "expected 0 to 9"]),
    ],
)
def test_what_is_no_idx_file_is_named(decode, data, words):
    with pytest.raises(DataError) as caught:
        decode(data, "some-file.gz")
    explains(caught, "some-file.gz", *words)


def test_more_pictures_than_labels(mnist, tmp_path, monkeypatch):
    write_mnist(mnist, {"train-labels-idx1-ubyte": idx(np.zeros(19, np.uint8))}, monkeypatch)
    with pytest.raises(DataError) as caught:
        fetch(mnist, tmp_path)
    explains(caught, "train-images-idx3-ubyte.gz", "20 pictures but 19 labels", "train-labels-idx1-ubyte.gz")


def test_a_gzip_bomb_is_not_unpacked(mnist, tmp_path):
    packer, zeros = zlib.compressobj(1, wbits=31), bytes(1 << 20)
    bomb = b"".join([*(packer.compress(zeros) for _ in range(300)), packer.flush()])
    file = mnist / "mnist/train-images-idx3-ubyte.gz"
    file.write_bytes(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            sources.unzipped(bomb, "bomb.gz", 1 << 20)
        small = tracemalloc.get_traced_memory()[1]
        with pytest.raises(DataError) as through_fetch:
            fetch(mnist, tmp_path)
        large = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    explains(caught, "bomb.gz", "unpacks to more than 1,048,576 bytes", "expected fewer")
    explains(through_fetch, file, "unpacks to more than 67,108,864 bytes")
    assert small < 4 << 20
    assert large < 160 << 20
    assert sources.unzipped(gzip.compress(zeros), "fits.gz", len(zeros)) == zeros


def test_a_file_larger_than_it_can_be_is_not_read(mnist, tmp_path):
    file = mnist / "mnist/train-images-idx3-ubyte.gz"
    with file.open("r+b") as opened:
        opened.truncate(1 << 40)  # Sparse: it takes no room.
    with pytest.raises(DataError) as caught:
        fetch(mnist, tmp_path)
    explains(caught, file, "1,099,511,627,776 bytes found", "expected at most 67,108,864")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([*batches(), ("../data_batch_1.bin", b"")], ["'../data_batch_1.bin' leads out", "refused"]),
        ([*batches(), ("a/../../x", b"")], ["'a/../../x' leads out", "refused"]),
        ([*batches(), ("/etc/cron.d/x", b"")], ["'/etc/cron.d/x' leads out", "refused"]),
        ([*batches()[1:], (link(tarfile.SYMTYPE, "/etc/passwd"), b"")], ["is a link", "expected plain files"]),
        ([*batches()[1:], (link(tarfile.LNKTYPE, "../secret"), b"")], ["is a link", "expected plain files"]),
        ([*batches()[1:], (link(tarfile.FIFOTYPE, ""), b"")], ["a device", "expected plain files"]),
        (batches()[1:], ["batch data_batch_1.bin missing", "expected data_batch_1.bin, "]),
        ([*batches(), ("x/data_batch_6.bin", b"")], ["batch 'data_batch_6.bin' found", "expected data_batch_1.bin, "]),
        ([*batches(), ("x/test_batch.bin", b"")], ["batch test_batch.bin found twice", "expected once"]),
        (batches(bytes(3072)), ["data_batch_1.bin: 3,072 bytes found", "expected a multiple of 3,073"]),
        (batches(b""), ["data_batch_1.bin: 0 bytes found", "expected a multiple of 3,073"]),
        (
            [("x/data_batch_1.bin", bytes(10_001 * sources.RECORD))],
            ["data_batch_1.bin has 30,733,073 bytes", "expected at most 30,730,000"],
        ),
    ],
    ids=[
        *("parent", "inner-parent", "absolute", "symlink", "hard-link", "fifo", "missing", "too-many", "twice"),
        *("no-multiple", "empty", "too-large"),
    ],
)
def test_a_bad_archive_is_refused_and_nothing_is_extracted(tmp_path, monkeypatch, members, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        sources.read_archive(archive(members), "some.tar.gz")
    explains(caught, "some.tar.gz", *words)
    assert not list(tmp_path.iterdir())


def test_a_sparse_member_is_not_blown_up():
    """A member of 512 bytes in the archive that reads as 1 TiB of zeros."""
    info = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1"}
    info.pax_headers |= {"GNU.sparse.size": str(1 << 40)}
    with pytest.raises(DataError) as caught:
        sources.read_archive(archive([(info, b"x"), *batches()[1:]]), "some.tar.gz")
    explains(caught, "some.tar.gz", "sparse", "expected plain files")


@pytest.mark.parametrize("cut", [0, 100, 512, 2000])
def test_a_truncated_archive_is_one_clear_line(cut):
    with pytest.raises(DataError) as caught:
        sources.read_archive(archive(batches())[:cut], "some.tar.gz")
    explains(caught, "some.tar.gz", "expected")


def test_no_record_has_a_label_above_nine_or_a_part_missing():
    bad = records(5)
    bad[3, 0] = 10
    with pytest.raises(DataError) as caught:
        sources.decode_records(bad.tobytes(), "batch")
    explains(caught, "batch", "label 10 found in row 3", "expected 0 to 9")
    with pytest.raises(DataError) as caught:
        sources.decode_records(records(5).tobytes()[:-1], "batch")
    explains(caught, "batch", "15,364 bytes found", "expected a multiple of 3,073")


def test_records_come_in_one_order_whatever_order_they_came_in():
    made = records(60)
    expected = np.array(sorted(made.tolist()), np.uint8)
    images, labels = sources.decode_records(made.tobytes(), "batch")
    np.testing.assert_array_equal(labels[:, 0], expected[:, 0])
    np.testing.assert_array_equal(images.transpose(0, 3, 1, 2).reshape(60, -1), expected[:, 1:])
    assert (images.shape, images.dtype, labels.dtype) == ((60, 32, 32, 3), np.uint8, np.uint8)
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(made)
        again, labels_again = sources.decode_records(shuffled.tobytes(), "batch")
        assert (again.tobytes(), labels_again.tobytes()) == (images.tobytes(), labels.tobytes())


def test_red_comes_before_green_and_blue():
    record = np.repeat(np.array([200, 100, 50], np.uint8), 1024).tobytes()
    images, labels = sources.decode_records(b"\4" + record, "batch")
    assert images[0, 7, 9].tolist() == [200, 100, 50]
    assert labels.tolist() == [[4]]


def test_two_archives_of_the_same_records_are_the_same_data_set(tmp_path, monkeypatch):
    made = {"pool": records(50, seed=1), "test": records(10, seed=2)}
    digests = {name: hashlib.sha256(b"".join(sorted(map(bytes, each)))).hexdigest() for name, each in made.items()}
    monkeypatch.setattr(sources, "CIFAR10_RECORDS", digests)
    found = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        parts = [*np.split(rng.permutation(made["pool"]), 5), rng.permutation(made["test"])]
        members = [(f"a{seed}/{name}", part.tobytes()) for name, part in zip(BATCHES, parts, strict=True)]
        file = tmp_path / f"{seed}/cifar10/cifar-10-binary.tar.gz"
        file.parent.mkdir(parents=True)
        file.write_bytes(gzip.compress(archive([("readme.html", b"a word"), *members])))
        found.append(sources.summary(fetch(tmp_path / str(seed), tmp_path, "cifar10")))
    assert found[0] == found[1]
    assert found[0]["sets"]["pool"]["pictures"] == 50
    monkeypatch.setattr(sources, "CIFAR10_RECORDS", {"pool": digests["pool"], "test": digests["pool"]})
    with pytest.raises(DataError) as caught:
        fetch(tmp_path / "1", tmp_path, "cifar10")
    explains(caught, file, "SHA-256", digests["test"], f"expected {digests['pool']}")


class Host(ThreadingHTTPServer):
    """Serves `content` at every path, in one of the ways that hosts do."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = {}
        self.ranges = True
        self.heeds_if_range = True
        self.breaks_after = []
        self.status = 200
        self.headers = {"ETag": '"one"'}
        self.announces = None
        self.pause = 0.0
        self.seen = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that hangs up is expected."""


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        host = self.server
        host.seen.append((self.path, self.headers["Range"], self.headers["If-Range"]))
        content = host.content.get(self.path)
        if content is None or host.status >= 400:
            return self.send_error(404 if content is None else host.status)
        start, condition = self.headers["Range"], self.headers["If-Range"]
        same = not condition or not host.heeds_if_range or condition in host.headers.values()
        start = int(start.removeprefix("bytes=").rstrip("-")) if start and host.ranges and same else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else host.status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for name, value in host.headers.items():
            self.send_header(name, value)
        if host.announces != "nothing":
            self.send_header("Content-Length", str(host.announces or len(content) - start))
        self.end_headers()
        body = content[start : host.breaks_after.pop(0) if host.breaks_after else None]
        if not host.pause:
            return self.wfile.write(body)
        for offset in range(0, len(body), 100):
            self.wfile.write(body[offset : offset + 100])
            time.sleep(host.pause)


@pytest.fixture
def host():
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(downloads, "BACKOFF", 0.01)


def remote(host, *paths, limit=1 << 20):
    return Remote("some/file.gz", tuple(host.address + path for path in paths or ["/file.gz"]), limit)


DATA = bytes(np.random.default_rng(0).integers(0, 256, 50_000, np.uint8))


def test_a_download_that_broke_off_goes_on_where_it_stopped(host, tmp_path):
    host.content, host.breaks_after = {"/file.gz": DATA}, [20_000]
    path = fetched(remote(host), tmp_path)
    assert host.seen == [("/file.gz", None, None), ("/file.gz", "bytes=20000-", '"one"')]
    assert tree(tmp_path) == {Path("some/file.gz"): DATA}
    assert fetched(remote(host), tmp_path) == path
    assert len(host.seen) == 2


def test_a_later_run_goes_on_as_well(host, tmp_path):
    host.content, host.breaks_after = {"/file.gz": DATA}, [10_000, 20_000, 30_000]
    with pytest.raises(Unreachable, match="broke off after 30,000 bytes of 50,000"):
        fetched(remote(host), tmp_path)
    assert not (tmp_path / "some/file.gz").exists()
    host.headers = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    host.breaks_after = [10_000]
    assert fetched(remote(host), tmp_path).read_bytes() == DATA
    asked = [seen[1] for seen in host.seen]
    assert asked == [None, "bytes=10000-", "bytes=20000-", "bytes=30000-", "bytes=10000-"]
    assert tree(tmp_path) == {Path("some/file.gz"): DATA}


@pytest.mark.parametrize(
    "change",
    [
        {"ranges": False},
        {"headers": {"ETag": '"two"'}},
        {"headers": {"ETag": '"two"'}, "heeds_if_range": False},
    ],
    ids=["no-ranges", "changed", "changed-and-if-range-ignored"],
)
def test_what_cannot_go_on_starts_anew(host, tmp_path, change):
    host.content, host.breaks_after = {"/file.gz": DATA}, [20_000, 20_000, 20_000]
    host.ranges = change.get("ranges", True)
    with pytest.raises(Unreachable):
        fetched(remote(host), tmp_path)
    for name, value in change.items():
        setattr(host, name, value)
    host.content = {"/file.gz": DATA[::-1]}
    assert fetched(remote(host), tmp_path).read_bytes() == DATA[::-1]
    assert tree(tmp_path) == {Path("some/file.gz"): DATA[::-1]}


def test_one_address_does_not_go_on_with_the_part_of_another(host, tmp_path):
    host.content, host.breaks_after = {"/one.gz": DATA, "/two.gz": DATA[::-1]}, [20_000]
    assert fetched(remote(host, "/one.gz", "/two.gz"), tmp_path).read_bytes() == DATA[::-1]
    assert host.seen[1] == ("/two.gz", None, None)


def test_a_part_without_a_version_is_not_gone_on_with(host, tmp_path):
    host.content, host.breaks_after, host.headers = {"/file.gz": DATA}, [20_000], {"ETag": 'W/"weak"'}
    assert fetched(remote(host), tmp_path).read_bytes() == DATA
    assert [seen[1] for seen in host.seen] == [None, None]


def test_a_part_that_is_already_everything_starts_anew(host, tmp_path):
    host.content = {"/file.gz": DATA}
    part = tmp_path / "some/file.gz.partial"
    part.parent.mkdir()
    part.write_bytes(DATA + b"more")
    part.with_name(part.name + ".origin").write_text(f'{host.address}/file.gz\n"one"')
    assert fetched(remote(host), tmp_path).read_bytes() == DATA
    assert [seen[1] for seen in host.seen] == ["bytes=50004-", None]


def test_the_next_address_is_tried(host, tmp_path):
    host.content = {"/two.gz": DATA}
    assert fetched(remote(host, "/one.gz", "/two.gz"), tmp_path).read_bytes() == DATA
    assert [seen[0] for seen in host.seen] == ["/one.gz", "/two.gz"]


def test_a_coding_that_a_host_adds_is_not_undone(host, tmp_path):
    """Some hosts label `.gz` files as a coding of what is in them."""
    host.content, host.headers = {"/file.gz": gzip.compress(DATA)}, {"Content-Encoding": "gzip"}
    assert gzip.decompress(fetched(remote(host), tmp_path).read_bytes()) == DATA


def test_a_file_that_is_not_there_is_asked_for_once(host, tmp_path):
    with pytest.raises(Unreachable) as caught:
        fetched(remote(host), tmp_path)
    explains(caught, host.address, "status 404")
    assert len(host.seen) == 1


def test_a_host_in_trouble_is_asked_again(host, tmp_path):
    host.content, host.status = {"/file.gz": DATA}, 503
    with pytest.raises(Unreachable, match="status 503"):
        fetched(remote(host), tmp_path)
    assert len(host.seen) == downloads.ATTEMPTS
    host.status = 204
    with pytest.raises(Unreachable, match="status 204"):
        fetched(remote(host), tmp_path)
    assert not tree(tmp_path)


def test_a_web_page_with_status_200(host, tmp_path):
    host.content, host.headers = {"/file.gz": b"<html>Log in</html>"}, {"Content-Type": "text/HTML; charset=utf-8"}
    with pytest.raises(DataError) as caught:
        fetched(remote(host), tmp_path)
    explains(caught, host.address, "a web page came instead of some/file.gz", "expected a gzip file")
    assert not tree(tmp_path)


@pytest.mark.parametrize("announces", [None, "nothing", 10**15])
def test_too_many_bytes(host, tmp_path, announces):
    host.content, host.announces = {"/file.gz": DATA}, announces
    with pytest.raises(DataError) as caught:
        fetched(remote(host, limit=40_000), tmp_path)
    explains(caught, f"{host.address}/file.gz", "expected", "40,000")
    assert not tree(tmp_path)


def test_a_host_that_trickles_is_given_up(host, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PATIENCE", 0.1)
    monkeypatch.setattr(downloads, "SLOWEST", 1 << 20)
    host.content, host.pause = {"/file.gz": DATA}, 0.02
    with pytest.raises(Unreachable, match="slower than"):
        fetched(remote(host), tmp_path)


def test_a_password_in_an_address_is_not_told(host, tmp_path):
    mirror = host.address.replace("//", "//reader:secret@")
    with pytest.raises(DataError) as caught:
        fetch(mirror, tmp_path)
    explains(caught, "DATASETS_MIRROR", host.address, "status 404", "mend or unset it")
    assert "secret" not in str(caught.value)
    host.content, host.breaks_after = {"/mnist/train-images-idx3-ubyte.gz": DATA}, [1, 1, 1]
    with pytest.raises(DataError, match="broke off"):
        fetch(mirror, tmp_path)
    kept = tree(tmp_path / "cache")
    assert len(kept) == 2
    assert not any(b"secret" in content for content in kept.values())


def test_a_mirror_may_be_an_address(host, mnist, tmp_path):
    host.content = {f"/pub/{path}": data for path, data in tree(mnist).items()}
    sets = fetch(f"{host.address}/pub/", tmp_path)
    assert sources.summary(sets) == sources.summary(fetch(mnist, tmp_path))
    assert tree(tmp_path / "cache") == tree(mnist)
    before = len(host.seen)
    fetch(f"{host.address}/pub/", tmp_path)
    assert len(host.seen) == before == 4


def test_a_wrong_download_is_not_kept(host, mnist, tmp_path):
    host.content = {f"/{path}": data for path, data in tree(mnist).items()}
    name = "mnist/t10k-images-idx3-ubyte.gz"
    whole, host.content[f"/{name}"] = host.content[f"/{name}"], gzip.compress(b"something else")
    with pytest.raises(DataError) as caught:
        fetch(host.address, tmp_path)
    explains(caught, tmp_path / "cache" / name, "SHA-256", "expected", "run again to download it anew")
    kept = tree(tmp_path / "cache")
    assert kept == {path: data for path, data in tree(mnist).items() if path in kept}
    assert Path(name) not in kept
    host.content[f"/{name}"] = whole
    fetch(host.address, tmp_path)
    assert tree(tmp_path / "cache") == tree(mnist)


def test_a_cached_file_that_was_damaged_is_fetched_anew(host, mnist, tmp_path):
    host.content = {f"/{path}": data for path, data in tree(mnist).items()}
    fetch(host.address, tmp_path)
    cached = tmp_path / "cache/mnist/train-labels-idx1-ubyte.gz"
    cached.write_bytes(cached.read_bytes()[:-5])
    asked = len(host.seen)
    assert len(fetch(host.address, tmp_path)["pool"]) == 20
    assert [seen[0] for seen in host.seen[asked:]] == ["/mnist/train-labels-idx1-ubyte.gz"]
    assert tree(tmp_path / "cache") == tree(mnist)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_a_full_disk_leaves_no_part(host, tmp_path):
    host.content = {"/file.gz": DATA}
    part = tmp_path / "some/file.gz.partial"
    part.parent.mkdir()
    part.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        fetched(remote(host), tmp_path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "some/file.gz"))
    assert not list(part.parent.iterdir())


@pytest.fixture
def offline(monkeypatch):
    for name in PROXIES:
        monkeypatch.setenv(name, NOWHERE)


@pytest.mark.parametrize("source", ["mnist", "cifar10"])
def test_without_a_network_comes_the_stand_in_and_says_so(offline, tmp_path, capsys, source):
    sets = fetch("", tmp_path, source)
    said = capsys.readouterr().err
    assert "EMBEDDED STAND-IN" in said
    assert said.count("!" * 40) >= 2
    assert {each.origin for each in sets.values()} == {"embedded"}
    assert not tree(tmp_path)
    with pytest.raises(DataError) as caught:
        fetch("", tmp_path, source, fallback="none")
    explains(caught, source, "no network", "DATASETS_MIRROR", "embedded")


def test_the_digits_of_the_stand_in():
    pool = sources.embedded("mnist")["pool"]
    assert (pool.images.shape, pool.images.dtype, pool.labels.shape) == ((1797, 28, 28, 1), np.uint8, (1797, 1))
    assert np.bincount(pool.labels[:, 0]).min() > 100
    assert not pool.images[:, :4].any()
    assert pool.images.max() == 255
    assert 10 < pool.images.mean() < 100
    assert sources.digest(pool) == sources.digest(sources.embedded("mnist")["pool"])


def test_the_patches_of_the_stand_in():
    sets = sources.embedded("cifar10")
    assert tuple(sets) == SPLITS
    for each in sets.values():
        assert (each.images.shape[1:], each.images.dtype, each.origin) == ((32, 32, 3), np.uint8, "embedded")
        assert set(each.labels[:, 0]) == set(range(10))
        assert each.images.std(axis=(1, 2, 3)).min() >= 4
    assert len(sets["train"]) > 1000
    patches = [patch.tobytes() for each in sets.values() for patch in each.images]
    assert len(patches) == len(set(patches))
    again = sources.embedded("cifar10")
    assert {name: sources.digest(each) for name, each in sets.items()} == {
        name: sources.digest(each) for name, each in again.items()
    }


@pytest.mark.parametrize(("photograph", "label"), [(astronaut, 0), (brick, 1)])
def test_splits_of_the_stand_in_are_of_disjoint_regions(photograph, label):
    """Each split's patches are found again in the photograph: its bands share no row, or no column."""
    whole = photograph()
    whole = whole if whole.ndim == 3 else np.stack([whole] * 3, axis=-1)
    corners = {
        np.ascontiguousarray(whole[y : y + 32, x : x + 32]).tobytes(): (y, x)
        for y, x in itertools.product(range(0, whole.shape[0], 32), range(0, whole.shape[1], 32))
    }
    bands = []
    for each in sources.embedded("cifar10").values():
        found = [corners[patch.tobytes()] for patch in each.images[each.labels[:, 0] == label]]
        bands.append((min(y for y, _ in found), max(y for y, _ in found) + 32))
    assert all(upper[1] <= lower[0] for upper, lower in itertools.pairwise(bands))


def test_bands_of_a_wide_photograph_lie_along_its_longer_side():
    y, x = np.mgrid[:100, :700]
    cut = stand_in._banded(np.stack([x & 255, x >> 8, y], axis=-1).astype(np.uint8))
    spans = {}
    for split, patch in cut:
        columns = patch[..., 0].astype(int) + 256 * patch[..., 1].astype(int)
        low, high = spans.get(split, (700, 0))
        spans[split] = (min(low, columns.min()), max(high, columns.max()))
    assert tuple(spans) == SPLITS
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans.values()))
    assert len(cut) == 3 * 16


def draw(path, side=28, value=0, mode="L", size=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new(mode, size or (side, side), value)
    picture.putpixel((5, 6), 255 if mode == "L" else (255, 128, 0, 255)[: len(mode)])
    picture.save(path, **options)


@pytest.fixture
def digits(tmp_path):
    folder = tmp_path / "my_digits"
    for digit in range(10):
        for index in range(2):
            draw(folder / f"{digit}/{index}.png")
    return folder


@pytest.fixture
def listed(tmp_path):
    folder = tmp_path / "my_pictures"
    for index in range(3):
        draw(folder / f"{index}.png", side=20, value=(10 * index, 0, 0), mode="RGB")
    (folder / "labels.csv").write_text("file,label\n0.png,cat\n1.png,dog\n2.png,cat\n")
    return folder


def test_a_folder_of_digits(digits, tmp_path):
    pool = fetch("", tmp_path, origin=str(digits))["pool"]
    assert (pool.images.shape, pool.origin) == ((20, 28, 28, 1), "folder:my_digits")
    assert pool.labels[:, 0].tolist() == [digit for digit in range(10) for _ in range(2)]
    assert (pool.images[:, 6, 5] == 255).all()


def test_a_folder_with_a_table(listed, tmp_path):
    pool = fetch("", tmp_path, "cifar10", origin=str(listed))["pool"]
    assert pool.class_names == ("cat", "dog")
    assert pool.labels[:, 0].tolist() == [0, 1, 0]
    assert pool.images[2, 0, 0].tolist() == [20, 0, 0]
    assert pool.images[2, 6, 5].tolist() == [255, 128, 0]


def test_pictures_that_are_links_into_a_cache_are_read(digits, listed, tmp_path):
    """DVC keeps pictures so where `cache.type` is symlink."""
    for index, path in enumerate([digits / "3/1.png", listed / "2.png"]):
        path.rename(tmp_path / f"cached{index}")
        path.symlink_to(tmp_path / f"cached{index}")
    assert len(folders.read(digits, digits=True)["pool"]) == 20
    assert len(folders.read(listed, digits=False)["pool"]) == 3


def test_conversions_are_those_the_docs_name(tmp_path):
    folder = tmp_path / "my_pictures"
    draw(folder / "a/alpha.png", value=(200, 200, 200, 0), mode="RGBA")
    draw(folder / "a/grey.png", value=7)
    deep = np.full((28, 28), 0x12FF, np.uint16)
    Image.fromarray(deep).save(folder / "a/sixteen.png")
    turned = Image.Exif()
    turned[0x0112] = 3
    draw(folder / "b/turned.png", exif=turned)
    images = folders.read(folder, digits=False)["pool"].images
    assert images[:3, 0, 0].tolist() == [[0, 0, 0], [7, 7, 7], [0x12] * 3]
    assert images[0, 6, 5].tolist() == [255, 128, 0]
    assert images[3, 27 - 6, 27 - 5].tolist() == [255] * 3


def corrupt(folder):
    (folder / "4/0.png").write_bytes((folder / "4/0.png").read_bytes()[:50])


def inverted(folder):
    for path in folder.rglob("*.png"):
        draw(path, value=250)


def without(digit):
    def change(folder):
        for path in (folder / digit).iterdir():
            path.unlink()
        (folder / digit).rmdir()

    return change


def bomb(folder):
    draw(folder / "7/1.png", mode="1", value=0, size=(13_000, 13_000))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (corrupt, ["4/0.png", "no picture that can be read", "expected PNG, JPEG, BMP"]),
        (lambda folder: (folder / "4/0.png").write_text("<svg/>"), ["4/0.png", "no picture", "expected PNG"]),
        (lambda folder: draw(folder / "5/1.png", side=32), ["5/1.png", "32×32 pixels found", "expected 28×28"]),
        (lambda folder: draw(folder / "5/1.png", size=(5000, 4000)), ["5/1.png", "5000×4000", "at most 16,777,216"]),
        (lambda folder: (folder / "2a").mkdir(), ["2a", "an empty class", "expected pictures"]),
        (lambda folder: draw(folder / "eleven/0.png"), ["my_digits", "class 'eleven' found", "expected 0 to 9"]),
        (without("8"), ["my_digits", "no pictures of class 8", "expected all of 0 to 9"]),
        (inverted, ["my_digits", "dark ink on a light ground found", "expected light on dark", "invert"]),
        (lambda folder: draw(folder / "stray.png"), ["stray.png", "outside", "CLASS", "labels.csv"]),
        (lambda folder: draw(folder / "1/more/0.png"), ["1/more/0.png", "outside", "CLASS"]),
        (bomb, ["7/1.png", "no picture that can be read", "expected PNG"]),
    ],
    ids=[
        *("corrupt", "no-picture", "wrong-size", "too-large", "empty-class", "wrong-class", "missing-class"),
        *("dark-on-light", "outside-a-class", "below-a-class", "bomb"),
    ],
)
def test_a_bad_folder_of_digits_is_named(digits, tmp_path, change, words):
    change(digits)
    before = tree(tmp_path)
    with pytest.raises(DataError) as caught:
        folders.read(digits, digits=True)
    explains(caught, digits, *words)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("file,label\n0.png,cat\n1.png,dog\n", ["no label for 2.png", "list it"]),
        ("file,label\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,cat\n", ["labels.csv:5", "no file '3.png'"]),
        ("file,label\n0.png,cat\n1.png,dog\n2.png,\n", ["labels.csv:4", "2.png has no label", "expected its class"]),
        ("file,label\n0.png\n1.png,dog\n2.png,cat\n", ["labels.csv:2", "0.png has no label"]),
        ("file,label\n0.png,cat\n./0.png,dog\n", ["labels.csv:3", "listed twice", "expected every picture once"]),
        ("file,label\n../outside.png,cat\n", ["labels.csv:2", "'../outside.png' leads out", "expected a file in it"]),
        ("file,label\nx/../../outside.png,cat\n", ["labels.csv:2", "leads out", "refused"]),
        ("file,label\n/etc/passwd,cat\n", ["labels.csv:2", "'/etc/passwd' leads out", "refused"]),
        ("file,label\n0.png\0,cat\n", ["labels.csv:2", "no file '0.png\\x00'"]),
        ("file;label\n0.png;cat\n", ["columns file;label found", "expected file and label"]),
        ("", ["columns none found", "expected file and label"]),
        ("file,label\n", ["no rows", "expected one for every picture"]),
        ("file,label\n0.png,cat\n1.png,cat\n2.png,cat\n", ["1 classes found", "expected 2 to 255"]),
        (b"file,label\n\xff.png,cat\n", ["no table that can be read", "expected CSV in UTF-8"]),
        ('file,label\n"' + "x" * 200_000, ["no table that can be read", "expected CSV"]),
    ],
)
def test_a_bad_table_is_named(listed, tmp_path, table, words):
    draw(tmp_path / "outside.png", side=20)
    (listed / "labels.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(DataError) as caught:
        folders.read(listed, digits=False)
    explains(caught, listed, *words)


def test_pictures_of_mixed_sizes_are_named(listed):
    draw(listed / "1.png", size=(20, 24), mode="RGB", value=(0, 0, 0))
    with pytest.raises(DataError) as caught:
        folders.read(listed, digits=False)
    explains(caught, listed / "1.png", "20×24 pixels found", "expected 20×20 as 0.png has", "one size")


def test_a_folder_that_is_not_there_or_holds_nothing(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        fetch("", tmp_path, origin=str(tmp_path / "my_digits"))
    explains(caught, tmp_path / "my_digits", "no such folder", "expected FOLDER/CLASS")
    with pytest.raises(DataError) as caught:
        folders.read(tmp_path, digits=True)
    explains(caught, tmp_path, "neither class folders nor labels.csv", "expected")


@pytest.fixture
def project(tmp_path):
    """A folder to run `stages.fetch` in, with what an earlier run made."""
    folder = tmp_path / "project"
    (folder / "data/raw/mnist").mkdir(parents=True)
    (folder / "data/raw/mnist/earlier.npz").write_text("made before")
    (folder / "pipeline").symlink_to(ROOT / "pipeline")
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return folder


def run(project, source, *before, **environment):
    inherited = {name: value for name, value in os.environ.items() if name not in PROXIES}
    command = [*before, sys.executable, "-m", "stages.fetch", "--source", source, "--out", f"data/raw/{source}"]
    return subprocess.run(
        command,
        cwd=project,
        env={**inherited, **dict.fromkeys(PROXIES, NOWHERE), "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )


def made(project):
    return {str(path.relative_to(project / "data/raw")) for path in (project / "data/raw").rglob("*")}


def test_the_stage_reads_a_folder_in_the_project(project, digits):
    digits.rename(project / "my_digits")
    edit(project, "mnist: {from: public}", "mnist: {from: my_digits}")
    result = run(project, "mnist")
    assert (result.returncode, result.stderr) == (0, "")
    assert made(project) == {"mnist", "mnist/pool.npz", "mnist/source.json"}
    record = json.loads((project / "data/raw/mnist/source.json").read_text())
    pool = ImageSet.load(project / "data/raw/mnist/pool.npz")
    assert record["origin"] == pool.origin == "folder:my_digits"
    assert record["sets"]["pool"] == {"pictures": 20, "shape": [28, 28, 1], "sha256": sources.digest(pool)}


def edit(project, old, new):
    text = (project / "params.yaml").read_text()
    assert old in text
    (project / "params.yaml").write_text(text.replace(old, new, 1))


def no_fallback(project):
    edit(project, "fallback: embedded", "fallback: none")
    return {}


def mirror_nowhere(project):
    return {"DATASETS_MIRROR": "nowhere/at/all"}


def damaged_mirror(project):
    file = project / "mirror/mnist/train-images-idx3-ubyte.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(b"not MNIST"))
    return {"DATASETS_MIRROR": "mirror"}


@pytest.mark.parametrize(
    ("prepare", "code", "words"),
    [
        (no_fallback, 3, ["data: mnist: no network", "DATASETS_MIRROR"]),
        (mirror_nowhere, 2, ["configuration: DATASETS_MIRROR: nowhere/at/all: no such folder"]),
        (damaged_mirror, 3, ["data: mirror/mnist/train-images-idx3-ubyte.gz", "SHA-256", "expected ba891046"]),
    ],
)
def test_the_stage_ends_with_one_line_and_leaves_what_was_there(project, prepare, code, words):
    before = made(project), tree(project / "data/raw")
    result = run(project, "mnist", **prepare(project))
    assert result.returncode == code
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words)
    assert (made(project), tree(project / "data/raw")) == before


def test_the_stage_on_a_disk_without_room_leaves_what_was_there(project):
    """A limit on the size of files stands in for the full disk: anyone can set it."""
    before = made(project), tree(project / "data/raw")
    result = run(project, "mnist", "sh", "-c", 'ulimit -f 100; exec "$@"', "sh")
    assert result.returncode == 3
    line = result.stderr.splitlines()[-1]
    assert "EMBEDDED STAND-IN" in result.stderr
    assert line.startswith("data: data/raw/mnist")
    assert "ulimit -f" in line
    assert "Traceback" not in result.stderr
    assert (made(project), tree(project / "data/raw")) == before


MIRROR = os.environ.get("DATASETS_MIRROR", "")


@pytest.mark.skipif(not MIRROR and os.environ.get("CI") != "true", reason="DATASETS_MIRROR is not set")
@pytest.mark.parametrize(("source", "sizes"), [("mnist", (60_000, 10_000)), ("cifar10", (50_000, 10_000))])
def test_the_real_data_from_the_mirror(tmp_path, source, sizes):
    assert MIRROR, "CI needs DATASETS_MIRROR, a folder or an address that holds the real data"
    sets = fetch(MIRROR, tmp_path, source, fallback="none")
    assert (len(sets["pool"]), len(sets["test"])) == sizes
    assert {each.origin for each in sets.values()} == {source}
    for each in sets.values():
        assert set(np.unique(each.labels)) == set(range(10))
    if source == "cifar10":
        means = sets["pool"].images.mean(axis=(0, 1, 2)) / 255
        np.testing.assert_allclose(means, [0.49139968, 0.48215841, 0.44653091], atol=1e-6)

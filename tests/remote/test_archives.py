"""Gzip and tar files are read whole and verified, or refused: nothing is extracted, and a bomb takes no memory."""

import gzip
import tarfile
import tracemalloc
import zlib

import pytest
from raw_files import tar
from refusals import refuses

from pipeline.core.errors import DataError
from pipeline.remote import archives

CONTENT = bytes(range(256)) * 4
LIMIT = 1 << 20
MEMBERS = ("a.bin", "b.bin")


def read_tar(data):
    return archives.read_tar(data, "some.tar", members=MEMBERS, suffix=".bin", limit=100)


def members(content=b"\1"):
    return [(f"folder/{name}", content) for name in MEMBERS]


def link(kind, target):
    info = tarfile.TarInfo("folder/a.bin")
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda file: file[:-20], "truncated"),
        (lambda file: b"", "truncated after 0 bytes"),
        (lambda file: file + b"\0\0", "2 bytes found after the end"),
        (lambda file: file[:-8] + bytes([file[-8] ^ 255]) + file[-7:], "damaged"),
        (gzip.decompress, "expected gzip"),
        (lambda file: b"\n<!DOCTYPE html><html>Moved</html>", "a web page"),
    ],
    ids=["truncated", "empty", "bytes-after-the-end", "wrong-checksum", "not-compressed", "web-page"],
)
def test_bytes_that_are_not_one_gzip_member_are_refused(damage, reason):
    with refuses(DataError, "some-file.gz", reason):
        archives.decompress(damage(gzip.compress(CONTENT)), "some-file.gz", LIMIT)


def test_content_up_to_the_limit_is_decompressed():
    assert archives.decompress(gzip.compress(CONTENT), "fits.gz", len(CONTENT)) == CONTENT
    with refuses(DataError, "large.gz", "1,023"):
        archives.decompress(gzip.compress(CONTENT), "large.gz", len(CONTENT) - 1)


def test_a_gzip_bomb_takes_no_memory():
    packer, zeros = zlib.compressobj(1, wbits=31), bytes(1 << 20)
    bomb = b"".join([*(packer.compress(zeros) for _ in range(64)), packer.flush()])
    tracemalloc.start()
    try:
        with refuses(DataError, "bomb.gz", "1,048,576"):
            archives.decompress(bomb, "bomb.gz", LIMIT)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used < 4 * LIMIT


def test_a_file_above_the_limit_is_not_read(tmp_path):
    file = tmp_path / "large.gz"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)  # Sparse: it takes no room.
    with refuses(DataError, file, "1,099,511,627,776", "1,048,576"):
        archives.read_gzip(file, LIMIT)


def test_the_members_of_a_tar_are_read_by_name_and_others_ignored():
    data = tar([("folder/readme.html", b"a word"), ("folder/a.bin", b"1"), ("elsewhere/b.bin", b"22")])
    assert read_tar(data) == {"a.bin": b"1", "b.bin": b"22"}


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ([*members(), ("../a.bin", b"")], "'../a.bin'"),
        ([*members(), ("a/../../x", b"")], "'a/../../x'"),
        ([*members(), ("/etc/cron.d/x", b"")], "'/etc/cron.d/x'"),
        ([*members()[1:], (link(tarfile.SYMTYPE, "/etc/passwd"), b"")], "'folder/a.bin'"),
        ([*members()[1:], (link(tarfile.LNKTYPE, "../secret"), b"")], "'folder/a.bin'"),
        ([*members()[1:], (link(tarfile.FIFOTYPE, ""), b"")], "'folder/a.bin'"),
        (members()[1:], "a.bin is missing"),
        ([*members(), ("x/c.bin", b"")], "'c.bin'"),
        ([*members(), ("x/b.bin", b"")], "duplicate member b.bin"),
        ([("x/a.bin", bytes(101))], "101"),
    ],
    ids=[
        *("parent", "inner-parent", "absolute", "symlink", "hard-link", "fifo", "missing", "too-many", "duplicate"),
        "too-large",
    ],
)
def test_a_bad_tar_is_refused_and_nothing_is_extracted(tmp_path, monkeypatch, entries, named):
    monkeypatch.chdir(tmp_path)
    with refuses(DataError, "some.tar", named):
        read_tar(tar(entries))
    assert not list(tmp_path.iterdir())


def test_a_sparse_member_is_refused():
    """A member of one byte in the archive that reads as 1 TiB of zeros."""
    info = tarfile.TarInfo("folder/a.bin")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1"}
    info.pax_headers |= {"GNU.sparse.size": str(1 << 40)}
    with refuses(DataError, "some.tar", "'folder/a.bin'", "sparse"):
        read_tar(tar([(info, b"x"), *members()[1:]]))


@pytest.mark.parametrize("cut", [0, 100, 512, 1100])
def test_a_truncated_tar_is_refused(cut):
    with refuses(DataError, "some.tar"):
        read_tar(tar(members())[:cut])


def read_members(data):
    return archives.read_members(data, "some.tar", members=["in/a.bin", "in/b.bin"], limit=100)


def test_members_are_read_by_their_paths_below_any_top_folder():
    ignored = [
        (link(tarfile.SYMTYPE, "/etc/passwd"), b""),
        ("../in/../x", b""),
        ("in/b.bin", b"no top"),
        ("t/a.bin", b""),
    ]
    assert read_members(tar([*ignored, ("t-0.1/in/a.bin", b"1"), ("t/in/c.bin", bytes(999))])) == {"in/a.bin": b"1"}


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ([("t/in/a.bin", b""), ("u/in/a.bin", b"")], "duplicate member in/a.bin"),
        ([("t/in/a.bin", bytes(101))], "in/a.bin has 101 bytes"),
    ],
)
def test_a_wanted_member_that_is_too_large_or_there_twice_is_refused(entries, named):
    with refuses(DataError, "some.tar", named):
        read_members(tar(entries))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
def test_a_wanted_member_that_is_no_plain_file_is_refused(kind):
    info = tarfile.TarInfo("t/in/a.bin")
    info.type, info.linkname = kind, "/etc/passwd"
    with refuses(DataError, "some.tar", "in/a.bin", "a plain file"):
        read_members(tar([(info, b"")]))


def test_another_digest_is_refused_and_both_are_named(tmp_path):
    archives.expect_sha256("ab" * 32, "ab" * 32, tmp_path / "file")
    with refuses(DataError, tmp_path / "file", "ab" * 32, "cd" * 32):
        archives.expect_sha256("ab" * 32, "cd" * 32, tmp_path / "file")

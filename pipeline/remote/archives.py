"""Gzip and tar files from anywhere: read in memory within bounds, verified, and never extracted to disk."""

import io
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from pipeline.core.errors import DataError


def read_gzip(path: Path, limit: int) -> bytes:
    """Read and decompress a gzip file of one member.

    Args:
        path: the file.
        limit: most bytes that the file may have, both compressed and decompressed.

    Raises:
        DataError: the file is larger than `limit`, or `decompress` refuses it.
    """
    if (size := path.stat().st_size) > limit:
        raise DataError(f"{path}: {size:,} bytes found, expected at most {limit:,}")
    return decompress(path.read_bytes(), str(path), limit)


def decompress(data: bytes, name: str, limit: int) -> bytes:
    """Decompress one gzip member (RFC 1952), holding at most `limit` bytes of its content.

    Args:
        data: the file's bytes.
        name: what messages call the file.
        limit: most bytes of content.

    Raises:
        DataError: the bytes are not gzip, are truncated, go on after the member's end, or decompress to more than
            `limit` bytes.
    """
    stream = zlib.decompressobj(wbits=31)
    try:
        content = stream.decompress(data, limit + 1)
    except zlib.error:
        raise DataError(f"{name}: {_format_of(data)} found, expected gzip; get the file again") from None
    if len(content) > limit:
        raise DataError(f"{name}: more than {limit:,} bytes when decompressed, expected fewer; decompression stopped")
    if not stream.eof:
        raise DataError(f"{name}: the gzip file is truncated after {len(data):,} bytes; get the file again")
    if stream.unused_data:
        raise DataError(
            f"{name}: {len(stream.unused_data):,} bytes found after the end of the gzip file, expected none"
        )
    return content


def read_tar(data: bytes, name: str, *, members: Collection[str], suffix: str, limit: int) -> dict[str, bytes]:
    """Read files from an uncompressed tar archive.

    Args:
        data: the archive's bytes.
        name: what messages call the archive.
        members: the file names, without folders, that must be in it, each once.
        suffix: of these names, for instance `.bin`; other names with it are refused, names without it are ignored.
        limit: most bytes that one of these files may have.

    Returns:
        The content of each of `members`, by file name.

    Raises:
        DataError: the archive is damaged; a member's path leads out of the archive's folder; a member is a link, a
            device or sparse; or one of `members` is missing, duplicate or too large.
    """
    found: dict[str, bytes] = {}
    expected = ", ".join(sorted(members))
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise DataError(f"{name}: member {member.name!r} leads out of the archive's folder; refused")
                # A few bytes of a sparse file in the archive can become any number of bytes when it is read.
                if not (member.isfile() or member.isdir()) or member.issparse():
                    raise DataError(
                        f"{name}: member {member.name!r} is a link, a device or sparse, expected plain files; refused"
                    )
                if path.suffix != suffix or not member.isfile():
                    continue
                if path.name not in members:
                    raise DataError(f"{name}: member {path.name!r} found, expected {expected}")
                if path.name in found:
                    raise DataError(f"{name}: duplicate member {path.name}, expected it once")
                if member.size > limit:
                    raise DataError(f"{name}: {path.name} has {member.size:,} bytes, expected at most {limit:,}")
                content = archive.extractfile(member)
                assert content is not None, "only plain files get here"
                found[path.name] = content.read()
    except (tarfile.TarError, ValueError, OverflowError):
        raise DataError(f"{name}: damaged, expected a tar archive; get the file again") from None
    if missing := sorted(set(members) - set(found)):
        raise DataError(f"{name}: member {missing[0]} is missing, expected {expected}")
    return found


def read_members(data: bytes, name: str, *, members: Collection[str], limit: int) -> dict[str, bytes]:
    """Read files from an uncompressed tar archive by their paths in it; everything else there is ignored.

    Args:
        data: the archive's bytes.
        name: what messages call the archive.
        members: paths without the archive's top folder, which public archives name in their own way.
        limit: most bytes that one of these files may have.

    Returns:
        The content of those `members` that are there, by path.

    Raises:
        DataError: the archive is damaged; or one of `members` is not a plain file, is there twice or is too large.
    """
    wanted, found = set(members), {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                path = "/".join(PurePosixPath(member.name).parts[1:])
                if path not in wanted:
                    continue
                if not member.isfile() or member.issparse():
                    raise DataError(f"{name}: {path} is a link, a folder, a device or sparse, expected a plain file")
                if path in found:
                    raise DataError(f"{name}: duplicate member {path}, expected it once")
                if member.size > limit:
                    raise DataError(f"{name}: {path} has {member.size:,} bytes, expected at most {limit:,}")
                content = archive.extractfile(member)
                assert content is not None, "only plain files get here"
                found[path] = content.read()
    except (tarfile.TarError, ValueError, OverflowError):
        raise DataError(f"{name}: damaged, expected a tar archive; get the file again") from None
    return found


def expect_sha256(found: str, expected: str, path: Path) -> None:
    """Compare the SHA-256 of a file's content, in hexadecimal digits, with the published one.

    Raises:
        DataError: they differ.
    """
    if found != expected:
        raise DataError(
            f"{path}: the SHA-256 of the content is {found}, expected {expected}; "
            "the file is damaged or another data set"
        )


def _format_of(data: bytes) -> str:
    if data[:256].lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page"
    return "a damaged gzip file" if data.startswith(b"\x1f\x8b") else "another format"

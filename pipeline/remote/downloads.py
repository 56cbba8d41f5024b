"""Files from the network or from a mirror: resumed, retried, bounded, and never left half-written under their name."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from tqdm import tqdm

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import write_text

ATTEMPTS = 3
"""Rounds over a file's URLs before the file counts as unreachable."""
TIMEOUT = (10, 30)
"""Seconds to connect, and between two chunks of a response."""
MINIMUM_RATE = 1 << 10
"""Bytes a second. A download whose average stays below after `RATE_PERIOD` counts as interrupted."""
RATE_PERIOD = 60.0
"""Seconds."""
BACKOFF = 0.5
"""Half the seconds before a second round; doubled before each later one."""
_CHUNK = 1 << 18

T = TypeVar("T")


class Unreachable(Exception):
    """None of a file's URLs could be reached; the text is the last reason."""


class _Interrupted(requests.ConnectionError):
    """A response that ended early; another attempt continues from there."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Attributes:
        name: relative path, the same below a mirror and in the cache.
        urls: of public copies, in the order in which they are tried.
        limit: most bytes that the file may have.
    """

    name: str
    urls: tuple[str, ...]
    limit: int


def obtain(remote: RemoteFile, mirror: str, cache: Path, read: Callable[[Path], T]) -> T:
    """Find a file in the mirror or the cache, or download it, and return what `read` makes of it.

    A download that `read` refuses is removed from the cache. If it was in the cache before, it is downloaded again at
    once. A file in a mirror's folder is never changed.

    Args:
        remote: the file.
        mirror: a folder or an http(s) URL that holds the file under its name; "" for none. With a mirror, the file's
            public URLs are not tried.
        cache: folder of the downloads.
        read: reads and verifies the file at a path; raises DataError for one that is damaged.

    Raises:
        ConfigurationError: the mirror is a folder that does not exist.
        DataError: the mirror lacks the file, or the file is damaged.
        Unreachable: there is no mirror, and no public URL can be reached.
    """
    if mirror and not _is_url(mirror):
        return read(find_in_mirror(remote, mirror, cache))
    was_cached = (cache / remote.name).is_file()
    path = find_in_mirror(remote, mirror, cache) if mirror else download(remote, cache)
    try:
        return read(path)
    except DataError as error:
        path.unlink(missing_ok=True)
        if not was_cached:
            raise DataError(f"{error}; removed from the cache, run again to download it again") from None
    return obtain(remote, mirror, cache, read)


def find_in_mirror(remote: RemoteFile, mirror: str, cache: Path) -> Path:
    """The path of a file in a mirror: in its folder, or in the cache after a download from its URL.

    Raises:
        ConfigurationError: the mirror is a folder that does not exist.
        DataError: the mirror has no such file, or does not respond.
    """
    if _is_url(mirror):
        try:
            return download(RemoteFile(remote.name, (f"{mirror.rstrip('/')}/{remote.name}",), remote.limit), cache)
        except Unreachable as error:
            raise DataError(
                f"DATASETS_MIRROR: {_without_credentials(mirror)}: cannot download {remote.name} ({error}); "
                "fix the mirror or unset the variable"
            ) from None
    folder = Path(os.path.expanduser(mirror))  # noqa: PTH111  # Path raises where there is no such user.
    if not folder.is_dir():
        raise ConfigurationError(f"DATASETS_MIRROR: {mirror}: no such folder; expected one that holds {remote.name}")
    if not (folder / remote.name).is_file():
        raise DataError(f"DATASETS_MIRROR: {folder / remote.name}: no such file; fix the mirror or unset the variable")
    return folder / remote.name


def download(remote: RemoteFile, cache: Path) -> Path:
    """Download a file into the cache, or find it there; an interrupted download continues where it stopped.

    Returns:
        The file's path in the cache.

    Raises:
        Unreachable: no URL responded with the file, after up to `ATTEMPTS` rounds over those that may still do so.
        DataError: no URL gave the file, and one gave something else: a web page, or too many bytes.
    """
    target = cache / remote.name
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    candidates = list(remote.urls)
    reasons: list[str] = []
    refused: DataError | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(BACKOFF * 2**attempt)
        for url in tuple(candidates):
            try:
                _transfer(url, partial, remote)
            except DataError as error:
                refused = error
                candidates.remove(url)
            except requests.RequestException as error:
                reasons.append(f"{_without_credentials(url)}: {_reason(error)}")
                if not _is_transient(error):
                    candidates.remove(url)
            except OSError as error:
                _discard(partial)
                # Unlike opening a file, writing to it does not say which file it was.
                error.filename = error.filename or str(target)
                raise
            else:
                partial.replace(target)
                _discard(partial)
                return target
        if not candidates:
            break
    raise refused or Unreachable(reasons[-1])


def _transfer(url: str, partial: Path, remote: RemoteFile) -> None:
    have, validator = _resumable(partial, url)
    # Identity: with a content coding, the bytes that are counted, resumed and bounded would not be the file's.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        resumed = response.status_code == 206
        if response.status_code == 416 or (resumed and not _continues(response, have, validator)):
            _discard(partial)
            raise _Interrupted("the part from before does not match the file")
        if response.status_code not in (200, 206):
            raise requests.HTTPError(response=response)
        if "html" in response.headers.get("Content-Type", "").lower():
            raise DataError(
                f"{_without_credentials(url)}: a web page found in place of {remote.name}, expected a gzip file"
            )
        received = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = received + int(length) if length.isdecimal() else None
        if total is not None and total > remote.limit:
            _discard(partial)
            raise DataError(
                f"{_without_credentials(url)}: {total:,} bytes announced, expected at most {remote.limit:,}"
            )
        with (
            partial.open("ab" if resumed else "wb") as file,
            tqdm(desc=remote.name, total=total, initial=received, unit="B", unit_scale=True, disable=None) as bar,
        ):
            if not resumed:
                # Written after the old part is gone, which must never be beside the origin of the new one.
                write_text(_origin_of(partial), f"{_without_credentials(url)}\n{_validator(response)}")
            first, began = received, monotonic()
            while chunk := _next_chunk(response, received, total):
                received += len(chunk)
                if received > remote.limit:
                    _discard(partial)
                    raise DataError(
                        f"{_without_credentials(url)}: more than {remote.limit:,} bytes received, expected fewer; "
                        "nothing was kept"
                    )
                file.write(chunk)
                bar.update(len(chunk))
                seconds = monotonic() - began
                if received != total and seconds > RATE_PERIOD and received - first < MINIMUM_RATE * seconds:
                    raise _Interrupted(
                        f"interrupted after {received:,} bytes: slower than {MINIMUM_RATE:,} bytes a second"
                    )


def _next_chunk(response: requests.Response, received: int, total: int | None) -> bytes:
    """The next bytes as they were sent, b"" at the end. A content coding is ignored: some servers label .gz as one."""
    try:
        return response.raw.read1(_CHUNK, decode_content=False) or b""
    except urllib3.exceptions.HTTPError:
        of_total = f" of {total:,}" if total else ""
        raise _Interrupted(f"interrupted after {received:,} bytes{of_total}") from None


def _is_url(mirror: str) -> bool:
    return mirror.startswith(("http://", "https://"))


def _origin_of(partial: Path) -> Path:
    return partial.with_name(partial.name + ".origin")


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _origin_of(partial).unlink(missing_ok=True)


def _resumable(partial: Path, url: str) -> tuple[int, str]:
    """The bytes of this URL's file that are there, and their validator; 0 and "" where they cannot be resumed."""
    if not (partial.is_file() and _origin_of(partial).is_file()):
        return 0, ""
    origin, _, validator = _origin_of(partial).read_text(encoding="utf-8").partition("\n")
    return (partial.stat().st_size, validator) if origin == _without_credentials(url) and validator else (0, "")


def _validator(response: requests.Response) -> str:
    """What distinguishes a file from a later one at the same URL (RFC 9110, section 13.1.5); "" without one."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _continues(response: requests.Response, have: int, validator: str) -> bool:
    starts = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    return starts and _validator(response) == validator


def _without_credentials(url: str) -> str:
    """The URL without a password or a signature that may be in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"status {error.response.status_code}"
    return str(error) if isinstance(error, _Interrupted) else type(error).__name__


def _is_transient(error: requests.RequestException) -> bool:
    """Whether another attempt may succeed. An unknown host name or a missing file stays so."""
    if error.response is not None:
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    dropped = bool(error.args) and isinstance(error.args[0], urllib3.exceptions.ProtocolError)
    return dropped or isinstance(error, _Interrupted | requests.ReadTimeout)

"""Files from the network, or from a mirror: resumed, retried, bounded, and never left half-written under their name."""

import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3
from tqdm import tqdm

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import write_text

ATTEMPTS = 3
"""Rounds over a file's addresses before it counts as out of reach."""
TIMEOUT = (10, 30)
"""Seconds to connect, and between two pieces of an answer."""
SLOWEST = 1 << 10
"""Bytes a second; a download that stays below for `PATIENCE` counts as broken off."""
PATIENCE = 60.0
"""Seconds."""
BACKOFF = 0.5
"""Half the seconds before a second round; doubled before each later one."""
_PIECE = 1 << 18


class Unreachable(Exception):
    """None of a file's addresses could be reached; what went wrong last is its text."""


class _BrokenOff(requests.ConnectionError):
    """An answer that ended early; another try goes on from there."""


@dataclass(frozen=True)
class Remote:
    """A file that can be fetched.

    Attributes:
        name: relative path, the same below a mirror and in the cache.
        addresses: of public copies, in the order they are tried.
        limit: bytes it may have at most.
    """

    name: str
    addresses: tuple[str, ...]
    limit: int


def mirrored(remote: Remote, mirror: str, cache: Path) -> Path:
    """The file below a mirror: a folder, or an http(s) address that is fetched into the cache.

    Raises:
        ConfigurationError: the mirror is a folder that is not there.
        DataError: the mirror has no such file, or does not answer.
    """
    if mirror.startswith(("http://", "https://")):
        try:
            return fetched(Remote(remote.name, (f"{mirror.rstrip('/')}/{remote.name}",), remote.limit), cache)
        except Unreachable as error:
            raise DataError(
                f"DATASETS_MIRROR: {_shown(mirror)} gave no {remote.name} ({error}); mend or unset it"
            ) from None
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise ConfigurationError(f"DATASETS_MIRROR: {mirror}: no such folder; expected one that holds {remote.name}")
    if not (folder / remote.name).is_file():
        raise DataError(f"DATASETS_MIRROR: {folder / remote.name}: no such file; mend the mirror or unset it")
    return folder / remote.name


def fetched(remote: Remote, cache: Path) -> Path:
    """Download a file into the cache, or find it there; a download that broke off goes on where it stopped.

    Raises:
        Unreachable: no address answered with the file, after up to `ATTEMPTS` rounds over those that may yet.
        DataError: no address gave the file, and one gave what cannot be it: a web page, or too many bytes.
    """
    target = cache / remote.name
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    hopeful, reasons, wrong = list(remote.addresses), [], None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(BACKOFF * 2**attempt)
        for address in tuple(hopeful):
            try:
                _download(address, partial, remote)
            except DataError as error:
                wrong = error
                hopeful.remove(address)
            except requests.RequestException as error:
                reasons.append(f"{_shown(address)}: {_reason(error)}")
                if not _passing(error):
                    hopeful.remove(address)
            except OSError as error:
                _discard(partial)
                # Writing, unlike opening, does not say which file it was.
                error.filename = error.filename or str(target)
                raise
            else:
                partial.replace(target)
                _discard(partial)
                return target
        if not hopeful:
            break
    raise wrong or Unreachable(reasons[-1])


def _download(address: str, partial: Path, remote: Remote) -> None:
    have, version = _kept(partial, address)
    # Identity: with a content coding, the bytes counted, resumed and bounded would not be the file's.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-", "If-Range": version} if have else {})
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        resumed = answer.status_code == 206
        if answer.status_code == 416 or (resumed and not _continues(answer, have, version)):
            _discard(partial)
            raise _BrokenOff("the part kept from before does not fit")
        if answer.status_code not in (200, 206):
            raise requests.HTTPError(response=answer)
        if "html" in answer.headers.get("Content-Type", "").lower():
            raise DataError(f"{_shown(address)}: a web page came instead of {remote.name}; expected a gzip file")
        got = have if resumed else 0
        length = answer.headers.get("Content-Length", "")
        total = got + int(length) if length.isdecimal() else None
        if total is not None and total > remote.limit:
            _discard(partial)
            raise DataError(f"{_shown(address)}: {total:,} bytes announced, expected at most {remote.limit:,}")
        with (
            partial.open("ab" if resumed else "wb") as file,
            tqdm(desc=remote.name, total=total, initial=got, unit="B", unit_scale=True, disable=None) as bar,
        ):
            if not resumed:
                # After the old part is gone: it must never stand beside the new one's origin.
                write_text(_origin_of(partial), f"{_shown(address)}\n{_version(answer)}")
            start, began = got, time.monotonic()
            while piece := _piece(answer, got, total):
                got += len(piece)
                if got > remote.limit:
                    _discard(partial)
                    raise DataError(
                        f"{_shown(address)}: more than {remote.limit:,} bytes came, expected fewer; nothing was kept"
                    )
                file.write(piece)
                bar.update(len(piece))
                seconds = time.monotonic() - began
                if seconds > PATIENCE and got - start < SLOWEST * seconds:
                    raise _BrokenOff(f"broke off after {got:,} bytes: slower than {SLOWEST:,} bytes a second")


def _piece(answer: requests.Response, got: int, total: int | None) -> bytes:
    """The next bytes as they came, b"" at the end: a server that labels .gz as a coding gets no say in them."""
    try:
        return answer.raw.read1(_PIECE, decode_content=False) or b""
    except urllib3.exceptions.HTTPError:
        raise _BrokenOff(f"broke off after {got:,} bytes" + (f" of {total:,}" if total else "")) from None


def _origin_of(partial: Path) -> Path:
    return partial.with_name(partial.name + ".origin")


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _origin_of(partial).unlink(missing_ok=True)


def _kept(partial: Path, address: str) -> tuple[int, str]:
    """How many bytes of this address's file are there, and of which version; 0 where that cannot be known."""
    if not (partial.is_file() and _origin_of(partial).is_file()):
        return 0, ""
    origin, _, version = _origin_of(partial).read_text(encoding="utf-8").partition("\n")
    return (partial.stat().st_size, version) if origin == _shown(address) and version else (0, "")


def _version(answer: requests.Response) -> str:
    """What tells a file from a later one at the same address (RFC 9110, section 13.1.5); "" where nothing does."""
    etag = answer.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _continues(answer: requests.Response, have: int, version: str) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {have}-") and _version(answer) == version


def _shown(address: str) -> str:
    """The address without a password or a signature that may be in it."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"status {error.response.status_code}"
    return str(error) if isinstance(error, _BrokenOff) else type(error).__name__


def _passing(error: requests.RequestException) -> bool:
    """Whether another try may go better; a name that does not resolve or a file that is not there stays so."""
    if error.response is not None:
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    dropped = bool(error.args) and isinstance(error.args[0], urllib3.exceptions.ProtocolError)
    return dropped or isinstance(error, _BrokenOff | requests.ReadTimeout)

"""Files from the network, or from a mirror: resumed, retried, bounded, and never left half-written under their name."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm import tqdm

from pipeline.errors import ConfigurationError, DataError

ATTEMPTS = 3
"""Rounds over a file's addresses before it counts as out of reach."""
TIMEOUT = (10, 30)
"""Seconds to connect, and between two pieces of an answer."""
_PIECE = 1 << 18


class Unreachable(Exception):
    """None of a file's addresses could be reached; what went wrong last is its text."""


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
            raise DataError(f"DATASETS_MIRROR: {mirror} gave no {remote.name} ({error}); mend or unset it") from None
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise ConfigurationError(f"DATASETS_MIRROR: {mirror}: no such folder; expected one that holds {remote.name}")
    if not (folder / remote.name).is_file():
        raise DataError(f"DATASETS_MIRROR: {folder / remote.name}: no such file; mend the mirror or unset it")
    return folder / remote.name


def fetched(remote: Remote, cache: Path) -> Path:
    """Download a file into the cache, or find it there; a download that broke off goes on where it stopped.

    Raises:
        Unreachable: no address gave the file, after `ATTEMPTS` rounds over all of them.
        DataError: an address gave something that cannot be the file: a web page, or too many bytes.
    """
    target = cache / remote.name
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    reasons: list[str] = []
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(0.5 * 2**attempt)
        for address in remote.addresses:
            try:
                _download(address, partial, remote)
            except requests.RequestException as error:
                reasons.append(f"{address}: {_reason(error)}")
                continue
            partial.replace(target)
            return target
        if not _worth_retrying(reasons[-len(remote.addresses) :]):
            break
    raise Unreachable(reasons[-1])


def _download(address: str, partial: Path, remote: Remote) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    # Identity: with a content coding, the bytes counted, resumed and bounded would not be the file's.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416:
            partial.unlink(missing_ok=True)
            raise requests.ConnectionError("the part kept from before does not fit")
        answer.raise_for_status()
        if "html" in answer.headers.get("Content-Type", "").lower():
            raise DataError(f"{address}: a web page came instead of {remote.name}; expected a gzip file")
        resumed = answer.status_code == 206
        length = answer.headers.get("Content-Length", "")
        total = int(length) + (have if resumed else 0) if length.isdigit() else None
        if total is not None and total > remote.limit:
            raise DataError(f"{address}: {total:,} bytes announced, expected at most {remote.limit:,}")
        got = have if resumed else 0
        with (
            partial.open("ab" if resumed else "wb") as file,
            tqdm(desc=remote.name, total=total, initial=got, unit="B", unit_scale=True, disable=None) as bar,
        ):
            for piece in answer.iter_content(_PIECE):
                got += len(piece)
                if got > remote.limit:
                    raise DataError(
                        f"{address}: more than {remote.limit:,} bytes came, expected fewer; nothing was kept"
                    )
                file.write(piece)
                bar.update(len(piece))
        if total is not None and got != total:
            raise requests.ConnectionError(f"broke off after {got:,} of {total:,} bytes")


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"status {error.response.status_code}"
    return type(error).__name__ if "broke off" not in str(error) else str(error)


def _worth_retrying(reasons: Sequence[str]) -> bool:
    """A name that does not resolve, or a port that refuses, will do so again in a second: then there is no network."""
    return not all(reason.endswith((": ConnectionError", ": ProxyError")) for reason in reasons)

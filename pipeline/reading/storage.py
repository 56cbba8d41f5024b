"""Places that are not necessarily on this machine: a path or an address such as s3://bucket/prefix, through fsspec."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.core.files import printable

_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "adlfs", "azure", "google")
"""Packages whose exceptions are answers of a storage service, or say that none came."""


def is_address(place: str) -> bool:
    """Whether a place is an address with a protocol, not a path."""
    return "://" in place


def opened(place: str, option: str) -> tuple[Any, str]:
    """The file system of a place, and the place's path in it.

    Args:
        place: a path or an address.
        option: of the command that names it, for the error.

    Raises:
        ConfigurationError: the protocol is unknown, or its package is not installed.
    """
    if not is_address(place):
        return LocalFileSystem(), str(Path(place).resolve())
    try:
        with answering(option, place):
            # Another run may have written there since this process listed it.
            fs, path = fsspec.core.url_to_fs(place, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(
            f"{option}: {printable(place)}: {reason}; s3:// needs the extra `s3`: "
            "`.venv/bin/uv pip install -e '.[s3]'`, or name a folder"
        ) from None
    return fs, path.rstrip("/")


def is_local(fs: Any) -> bool:
    """Whether a file system is this machine's."""
    return isinstance(fs, LocalFileSystem)


@contextmanager
def answering(option: str, place: str) -> Iterator[None]:
    """Turn what a storage service or its client says into one line.

    Raises:
        ConfigurationError: no permission, or no such bucket.
        DataError: the service cannot be reached, or anything else failed.
    """
    try:
        yield
    except (PermissionError, FileNotFoundError) as error:
        if not is_address(place):
            raise
        raise ConfigurationError(f"{option}: {printable(place)}: {_reason(error)}") from None
    except OSError as error:
        if not is_address(place):
            raise
        raise DataError(f"{option}: {printable(place)}: {_reason(error)}; run again to go on") from None
    except Exception as error:
        if not type(error).__module__.startswith(_CLIENTS):
            raise
        raise DataError(f"{option}: {printable(place)}: {_reason(error)}; run again to go on") from None


def _reason(error: Exception) -> str:
    return printable(" ".join(str(error).split()) or type(error).__name__)[:200]

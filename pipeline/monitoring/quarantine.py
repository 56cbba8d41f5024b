"""The pictures of declined readings, kept for a while in a bounded folder, under the digests of their bytes."""

import contextlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.monitoring.segments import locked

_DAY = 86_400.0
_TOTAL = ".bytes"
_ROOM = 0.9
"""Share of the bound that pictures may still take after the oldest were removed."""
FORMATS = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg", b"RIFF": ".webp"}
"""By how a file begins."""


class Quarantine:
    """A folder of pictures that several processes write within one bound."""

    def __init__(self, folder: Path, *, most_bytes: int, days: float) -> None:
        """Define, and write nothing yet.

        Args:
            folder: of the pictures.
            most_bytes: of all of them together.
            days: after which a picture is removed.
        """
        self._folder = folder
        self._most = most_bytes
        self._days = days

    def keep(self, digest: str, content: bytes, shape: tuple[int, ...] | None) -> bool:
        """Keep a picture that is not there yet.

        Args:
            digest: of its bytes.
            content: its file, or the values of its pixels, which are kept as a PNG.
            shape: of those values, (H, W) or (H, W, C); None of a file.

        Returns:
            Whether it was added: it may be there, or larger than the bound.

        Raises:
            OSError: the folder cannot be written, or the disk is full.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if next(pictures_of(self._folder, digest), None) is not None:
            return False
        suffix = ".png"
        if shape is not None:
            content = png_of(np.frombuffer(content, np.uint8).reshape(shape))
        else:
            # What was decoded begins like one of them.
            suffix = suffix_of(content)
        if len(content) > self._most:
            return False
        with locked(self._folder):
            total = self._total()
            if total + len(content) > self._most:
                total = self._remove(int(self._most * _ROOM) - len(content))
            write_private(self._folder / f"{digest}{suffix}", content)
            self._write_total(total + len(content))
        return True

    def tick(self) -> None:
        """Remove what is too old.

        Raises:
            OSError: the folder cannot be written.
        """
        if self._folder.is_dir():
            with locked(self._folder):
                self._write_total(self._remove(self._most))

    def _total(self) -> int:
        """Bytes of the pictures; counted again where nobody wrote them down."""
        try:
            return int((self._folder / _TOTAL).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return sum(path.stat().st_size for path in pictures(self._folder))

    def _write_total(self, total: int) -> None:
        (self._folder / _TOTAL).write_text(str(total), encoding="ascii")

    def _remove(self, most: int) -> int:
        """Remove what is too old, then the oldest until at most so many bytes are left; how many are."""
        for leftover in self._folder.glob(".*.partial"):
            leftover.unlink()
        found = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in pictures(self._folder))
        total = sum(size for _, size, _ in found)
        horizon = time.time() - self._days * _DAY
        for modified, size, path in found:
            if modified >= horizon and total <= max(most, 0):
                break
            path.unlink()
            total -= size
        return total


def pictures(folder: Path) -> Iterator[Path]:
    """The pictures in a quarantine, in no order."""
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if not path.name.startswith("."))


def pictures_of(folder: Path, digest: str) -> Iterator[Path]:
    """The files of one picture."""
    yield from (path for suffix in FORMATS.values() if (path := folder / f"{digest}{suffix}").is_file())


def forget(folder: Path, digest: str) -> int:
    """Remove a picture; how many files it had.

    Raises:
        OSError: the folder cannot be written.
    """
    if not folder.is_dir():
        return 0
    with locked(folder):
        found = [*pictures_of(folder, digest), *folder.glob(f".{digest}.*partial")]
        for path in found:
            path.unlink()
        # It is counted again when the next picture comes.
        with contextlib.suppress(FileNotFoundError):
            (folder / _TOTAL).unlink()
    return len(found)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def suffix_of(content: bytes) -> str:
    """The suffix of a picture's file, by how it begins; "" of anything that is not kept."""
    return next((suffix for start, suffix in FORMATS.items() if content.startswith(start)), "")


def png_of(pixels: np.ndarray) -> bytes:
    """The PNG of uint8 (H, W), (H, W, 1) or (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).save(file, "PNG")
    return file.getvalue()

"""What the tests of `make test-full` ask of a command that a machine stopped, and of the files it leaves."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.files import digest


def expect_one_line(ended: subprocess.CompletedProcess[str], where: str, codes: tuple[int, ...]) -> None:
    """A command that failed has one of these exit codes, no traceback, and says why in its last line."""
    assert ended.returncode in codes, f"{where}: {ended.returncode}\n{ended.stderr[-3000:]}"
    assert "Traceback" not in ended.stderr, f"{where}:\n{ended.stderr[-3000:]}"
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(("data: ", "configuration: ", "registry: ")), f"{where}: {last}"


def files(place: Path) -> dict[str, str] | None:
    """The digest of every file at or below a path, without those under a hidden name; None where nothing is there."""
    if not place.exists():
        return None
    if place.is_file():
        return {"": digest(place)}
    return {
        str(path.relative_to(place)): digest(path)
        for path in sorted(place.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(place).parts)
    }


def report(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Print a count to standard error, whatever pytest captures."""
    with capsys.disabled():
        print(f"\n{text}", file=sys.stderr, flush=True)

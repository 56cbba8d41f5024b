"""Commands: typed arguments, one line and the right code for an error, a result for `make repro`."""

import contextlib
import errno
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import ConfigurationError, DataError, RegistryError
from pipeline.core.files import write_arrays
from pipeline.core.images import ImageSet
from pipeline.project import command

ROOT = Path(__file__).parents[2]


def call(monkeypatch, main, *arguments):
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    try:
        command.run(main)
    except SystemExit as ended:
        return ended.code
    return 0


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigurationError("params.yaml: seed:\n  a number"), 2, "configuration: params.yaml: seed: a number"),
        (DataError("x.npz: damaged"), 3, "data: x.npz: damaged"),
        (RegistryError("v1: gone"), 4, "registry: v1: gone"),
        (OSError(errno.ENOSPC, "No space left", "x.npz"), 3, "data: x.npz: the disk is full"),
        (OSError(errno.EFBIG, "File too large"), 3, "data: out.npz: larger than"),
        (PermissionError(errno.EACCES, "Permission denied", "x.npz"), 3, "data: x.npz: Permission denied"),
    ],
)
def test_an_error_is_one_line_and_a_code(monkeypatch, capsys, tmp_path, error, code, line):
    def main(out: Path) -> None:
        raise error

    report = tmp_path / "error"
    monkeypatch.setenv(command.ERROR_FILE_VARIABLE, str(report))
    assert call(monkeypatch, main, "--out", "out.npz") == code
    printed = capsys.readouterr()
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == 1
    assert report.read_text() == f"{code} {printed.err}"
    assert printed.out == ""


def test_a_bug_keeps_its_traceback(monkeypatch):
    def main() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        call(monkeypatch, main)


def full_database(folder):
    with contextlib.closing(sqlite3.connect(folder / "full.db")) as database:
        database.execute("PRAGMA max_page_count = 1")
        database.execute("CREATE TABLE more (number)")


def read_only_database(folder):
    (folder / "closed.db").touch()
    with contextlib.closing(sqlite3.connect(f"file:{folder}/closed.db?mode=ro", uri=True)) as database:
        database.execute("CREATE TABLE more (number)")


def database_without_a_folder(folder):
    sqlite3.connect(folder / "absent/a.db")


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (full_database, "the disk is full"),
        (read_only_database, "read-only"),
        (database_without_a_folder, "cannot be opened"),
    ],
)
def test_a_database_that_the_machine_refuses_is_one_line(capsys, tmp_path, use, reason):
    with pytest.raises(SystemExit) as ended, command.one_line_errors():
        use(tmp_path)
    assert ended.value.code == 3
    error = capsys.readouterr().err
    assert error.startswith("data: a database of DVC")
    assert reason in error
    assert error.count("\n") == 1


def test_a_wrong_statement_for_a_database_keeps_its_traceback():
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        with pytest.raises(sqlite3.OperationalError), command.one_line_errors():
            database.execute("SELECT * FROM absent")


def test_control_c_ends_with_130(monkeypatch):
    def main() -> None:
        raise KeyboardInterrupt

    assert call(monkeypatch, main) == 130


def test_arguments_are_typed_and_optional_ones_have_defaults(monkeypatch, capsys):
    taken = []

    def main(kind: str, out: Path, times: int = 1, dry_run: bool = False) -> None:
        taken.append((kind, out, times, dry_run))

    assert call(monkeypatch, main, "--kind", "a", "--out", "b") == 0
    assert call(monkeypatch, main, "--kind", "a", "--out", "b", "--times", "2", "--dry-run") == 0
    assert taken == [("a", Path("b"), 1, False), ("a", Path("b"), 2, True)]
    assert call(monkeypatch, main, "--kind", "a", "--out", "b", "--times", "many") == 2
    assert "invalid int value: 'many'" in capsys.readouterr().err
    assert call(monkeypatch, main, "--kind", "a") == 2


def test_a_result_is_printed_and_left_for_make_repro(monkeypatch, capsys, tmp_path):
    def main() -> str:
        return "98.10 % on valid"

    result = tmp_path / "result"
    monkeypatch.setenv(command.RESULT_FILE_VARIABLE, str(result))
    assert call(monkeypatch, main) == 0
    assert capsys.readouterr().out == "98.10 % on valid\n"
    assert result.read_text() == "98.10 % on valid"


def test_a_reader_that_ends_early_causes_no_message(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pipeline.project import command\n"
        "def main() -> None:\n    for number in range(100_000): print(number)\n"
        "command.run(main)\n"
    )
    piped = subprocess.run(
        ["bash", "-c", '"$0" "$1" | head -1; exit ${PIPESTATUS[0]}', sys.executable, script],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (piped.returncode, piped.stdout, piped.stderr) == (141, "0\n", "")


@pytest.mark.parametrize("arguments", [("--jobs", "1; cmd"), ("--nothing",), ("--jobs=\x1b[31m",), ()])
def test_a_wrong_argument_is_one_line(monkeypatch, capsys, arguments):
    def main(jobs: int) -> None:
        raise AssertionError(jobs)

    assert call(monkeypatch, main, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("configuration: ")
    assert error.count("\n") == 1
    assert "\x1b" not in error


def test_an_error_of_a_library_while_a_file_is_read_names_the_file(monkeypatch, capsys, tmp_path):
    """A reader of the project calls what it reads `path`; an archive that is encrypted is a RuntimeError of zipfile."""
    damaged = tmp_path / "damaged.npz"
    write_arrays(damaged, {"images": np.zeros((3, 3), np.float32)})
    content = bytearray(damaged.read_bytes())
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    damaged.write_bytes(content)

    def main() -> None:
        ImageSet.load(damaged)

    assert call(monkeypatch, main) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"data: {damaged}: ")
    assert "encrypted" in error
    assert error.count("\n") == 1


def test_a_full_disk_behind_standard_output_is_one_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pipeline.project import command\ndef main() -> str:\n    return 'a result'\ncommand.run(main)\n"
    )
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([sys.executable, script], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 3
    assert ended.stderr.startswith("data: ")
    assert "the disk is full" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_full_disk_does_not_hide_the_error_that_make_repro_waits_for(monkeypatch, capsys):
    def main() -> None:
        raise DataError("x.npz: damaged")

    monkeypatch.setenv(command.ERROR_FILE_VARIABLE, "/dev/full")
    assert call(monkeypatch, main) == 3
    assert capsys.readouterr().err == "data: x.npz: damaged\n"

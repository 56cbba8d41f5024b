"""Commands end with one line and the right code, and never leave half a file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.files import replacing, write_json, write_text

ROOT = Path(__file__).parents[2]
SCRIPT = """
import errno
from pathlib import Path
from pipeline.project import command
from pipeline.core import errors
from pipeline.core import files

def main(kind: str, out: Path, times: int = 1) -> None:
    "Fail in some way."
    if kind == "configuration":
        raise errors.ConfigurationError("params.yaml: seed: expected\\n  a number")
    if kind == "data":
        raise errors.DataError("x.npz: damaged")
    if kind == "full":
        with files.replacing(out) as temporary:
            temporary.write_text("half of it")
            raise OSError(errno.ENOSPC, "No space left on device", str(out))
    if kind == "bug":
        raise RuntimeError("a bug")
    files.write_text(out, "done " * times)

command.run(main)
"""


def run(tmp_path, *arguments, **environment):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, script, *arguments],
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("kind", "code", "line"),
    [
        ("configuration", 2, "configuration: params.yaml: seed: expected a number"),
        ("data", 3, "data: x.npz: damaged"),
        ("full", 3, "the disk is full; free some space and run again, nothing half-written was kept"),
    ],
)
def test_an_error_is_one_line_and_a_code(tmp_path, kind, code, line):
    report = tmp_path / "error"
    result = run(tmp_path, "--kind", kind, "--out", str(tmp_path / "out"), PIPELINE_ERROR_FILE=str(report))
    assert result.returncode == code
    assert result.stderr.count("\n") == 1
    assert line in result.stderr
    assert report.read_text() == f"{code} {result.stderr}"
    assert {path.name for path in tmp_path.iterdir()} == {"script.py", "error"}


def test_a_bug_keeps_its_traceback(tmp_path):
    result = run(tmp_path, "--kind", "bug", "--out", str(tmp_path / "out"))
    assert result.returncode == 1
    assert "RuntimeError: a bug" in result.stderr


def test_arguments_are_typed_and_optional_ones_have_defaults(tmp_path):
    assert run(tmp_path, "--kind", "fine", "--out", str(tmp_path / "a")).returncode == 0
    assert run(tmp_path, "--kind", "fine", "--out", str(tmp_path / "b"), "--times", "2").returncode == 0
    assert (tmp_path / "b").read_text() == "done done "
    wrong = run(tmp_path, "--kind", "fine", "--out", str(tmp_path / "c"), "--times", "many")
    assert wrong.returncode == 2
    assert "invalid int value: 'many'" in wrong.stderr
    assert run(tmp_path, "--kind", "fine").returncode == 2


def test_what_was_there_stays_until_the_new_is_whole(tmp_path):
    target = tmp_path / "file.json"
    write_json(target, {"b": 1, "a": [1.5, None]})
    assert target.read_text() == '{\n  "a": [\n    1.5,\n    null\n  ],\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"a": float("nan")})
    with pytest.raises(ZeroDivisionError), replacing(target) as temporary:
        temporary.write_text("half of it" * (1 // len("")))
    with replacing(target.with_name("other")) as temporary:
        temporary.write_text("half of it")
        assert not target.with_name("other").exists()
    target.with_name("other").unlink()
    assert json.loads(target.read_text())["b"] == 1
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    for name in "ab":
        with replacing(target) as temporary:
            temporary.mkdir()
            write_text(temporary / name, name)
    assert [path.name for path in target.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [target]


def test_who_stops_reading_gets_no_complaint(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pipeline import command\n"
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

"""A hundred hostile ONNX files: the service, `make read` and `registry register` give an answer, or one line."""

import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import watch

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SEED, COUNT = 15, 108
CODES = {"service": 1, "read": 3, "register": 4}
"""Of a model that is refused, by program."""


def test_every_hostile_model_is_answered_or_refused_in_one_line(tmp_path):
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    command = [sys.executable, str(ROOT / "tests/support/hostile_models.py"), str(work), str(SEED), str(COUNT)]
    paths = os.pathsep.join([str(ROOT / "tests/support"), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": paths, "TMPDIR": str(work), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    with watch.only(work, roots=[watch.Root(tmp_path)]):
        result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False)
    reports = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{"index"')]
    assert result.returncode == 0, f"{reports[-1:]}\n{result.stderr}"
    # ONNX Runtime writes there by itself.
    assert result.stderr == ""
    begun = [report for report in reports if report["program"] == "begin"]
    assert [report["index"] for report in begun] == list(range(COUNT))
    done = [report for report in reports if report["program"] != "begin"]
    counts = collections.Counter()
    for report in done:
        assert report["bug"] == "", report
        assert report["code"] in (0, CODES[report["program"]]), report
        assert len(report["stderr"].splitlines()) == (report["code"] != 0), report
        assert report["stderr"].strip().isprintable(), report
        assert report["megabytes"] < 1024, report
        counts[report["program"], "refused" if report["code"] else "answered"] += 1
        if report["change"] in ("truncated", "data_elsewhere", "huge", "other_operators"):
            assert report["code"] != 0, report
    # A program by itself; the others agree with it about each model that it was given, the manifest's task excepted.
    by_index = {(report["index"], report["program"]): report["code"] != 0 for report in done}
    for (index, program), refused in by_index.items():
        if program == "register" and refused is False:
            assert by_index[index, "service"] is False
    assert counts["service", "answered"] > 0
    print(f"seed {SEED}: {dict(counts)}")

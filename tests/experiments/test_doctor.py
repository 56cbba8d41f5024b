"""`make doctor`: one line per check, in a clone in which one thing after another is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands import doctor as command
from pipeline.experiments import doctor

ROOT = Path(__file__).parents[2]


def examined():
    found = {}
    for check in doctor.examine():
        found.setdefault(check.subject, []).append((check.verdict, check.message))
    return found


def test_a_sound_clone_has_no_problem(clone):
    found = examined()
    for subject in ("python", "packages", "params", "git", "cache"):
        assert [verdict for verdict, _ in found[subject]] == ["ok"], found[subject]
    assert found["stale"] == [("ok", "nothing: make repro has nothing to do")]
    assert found["pictures"] == [("ok", f"{name}: {name}") for name in ("mnist", "cifar10", "cheques")]
    assert found["mirror"] == [("ok", "not set, and not needed: the pictures are here")]
    assert found["identity"] == [("ok", "commits are by test")]
    assert found["remote"][0][0] == "note"


def test_it_notes_what_is_stale_and_not_committed(clone):
    (clone / "code.txt").write_text("2")
    (clone / "pipeline/new.py").write_text("")
    found = examined()
    assert ("note", "train@{ctc,slice}: code.txt changed") in found["stale"]
    assert "code.txt" in found["code"][0][1]
    assert "pipeline/new.py" in found["code"][0][1]


def test_a_check_that_fails_is_a_problem_and_the_others_are_made(clone):
    params = clone / "params.yaml"
    params.write_text(params.read_text().replace("budget:", "budgte:", 1))
    (clone / "dvc.yaml").write_text("stages: [")
    found = examined()
    assert found["params"][0][0] == "problem"
    assert "'budget'" in found["params"][0][1]
    assert found["stale"][0][0] == "problem"
    assert found["python"][0][0] == "ok"


def test_the_command_prints_lines_or_json_and_ends_with_2_on_a_problem(clone, tmp_path, monkeypatch, capsys):
    command.main()
    assert capsys.readouterr().out.startswith("ok       python ")
    monkeypatch.setenv("DATASETS_MIRROR", str(tmp_path / "none"))
    with pytest.raises(SystemExit) as ended:
        command.main(json=True)
    assert ended.value.code == 2
    problems = [check for check in json.loads(capsys.readouterr().out) if check["verdict"] == "problem"]
    assert [check["subject"] for check in problems] == ["mirror"]


def test_the_commands_import_no_tensorflow():
    code = (
        "import sys; from pipeline.commands import doctor, experiment, repro, study, tables; "
        "print(*({'tensorflow', 'keras'} & {*sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == ""

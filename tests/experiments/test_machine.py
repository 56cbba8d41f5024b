"""Checks of the machine."""

import subprocess
from types import SimpleNamespace

import psutil
from refusals import refuses

from pipeline.core.errors import ConfigurationError
from pipeline.experiments import machine
from pipeline.training import precision


def test_a_python_without_wheels_is_a_problem(monkeypatch):
    assert machine.python()[0].verdict == "ok"
    monkeypatch.setattr(machine, "VERSIONS", ((2, 6), (2, 7)))
    (check,) = machine.python()
    assert check.verdict == "problem"
    assert "2.6 to 2.7 is needed" in check.message


def test_packages_that_are_missing_or_of_another_version_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/pipeline.lock").write_text(
        "numpy==1.0 \\\n    --hash=sha256:0\nno-such-thing==2.0 \\\n    --hash=sha256:0\n"
        "no-such-either==2.0 ; python_full_version < '3' \\\n    --hash=sha256:0\n"
    )
    (tmp_path / "requirements/dev.lock").write_text("")
    missing, other = machine.packages()
    assert (missing.verdict, other.verdict) == ("problem", "note")
    assert "not installed: no-such-thing;" in missing.message
    assert " for 1.0;" in other.message


def test_a_processor_without_bfloat16_is_noted(monkeypatch):
    monkeypatch.setattr(precision, "bfloat16", lambda: ["amx_bf16"])
    assert machine.processor()[0].verdict == "ok"
    monkeypatch.setattr(precision, "bfloat16", list)
    (check,) = machine.processor()
    assert check.verdict == "note"
    assert "float32" in check.message


def test_a_card_that_hangs_is_noted(monkeypatch):
    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(machine.shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(machine.subprocess, "run", hang)
    (check,) = machine.cards()
    assert (check.verdict, "did not answer in 60 s" in check.message) == ("note", True)


def test_the_limit_of_a_control_group_counts_as_memory(monkeypatch):
    free = psutil.virtual_memory()._replace(available=64 * machine.GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(machine, "_limit", lambda: None)
    assert machine.memory()[0].verdict == "ok"
    monkeypatch.setattr(machine, "_limit", lambda: machine.GIB)
    (check,) = machine.memory()
    assert check.verdict == "note"
    assert check.message.startswith("1.0 GiB free")


def test_the_disk_has_room_for_the_last_run_twice(clone, monkeypatch):
    assert machine.disk()[0].verdict == "ok"
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    assert machine.disk()[0].verdict == "note"


def test_a_lock_that_is_none_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/dev.lock").write_text("")
    for line in ("numpy==1.0 --hash=sha256:0\n", "numpy==1.0\n"):
        (tmp_path / "requirements/pipeline.lock").write_text(line)
        assert "numpy" in machine.packages()[0].message
    (tmp_path / "requirements/pipeline.lock").write_bytes(b"numpy\xff\xfe?\n")
    with refuses(ConfigurationError, "requirements/pipeline.lock", "git checkout"):
        machine.packages()


LISTED = """\
NVIDIA H100 80GB HBM3, 9.0, 81559 MiB, 580.95.05
Tesla T4, 7.5, 15360 MiB, 580.95.05
"""


def test_cards_are_named_with_what_they_train_in():
    (check,) = machine.judge_cards(LISTED, installed=True)
    assert check.verdict == "ok"
    assert "NVIDIA H100 80GB HBM3, capability 9.0, 81559 MiB" in check.message
    assert check.message.endswith("precision auto is mixed_float16")
    (check,) = machine.judge_cards(LISTED.splitlines()[0], installed=True)
    assert check.message.endswith("precision auto is mixed_bfloat16")


def test_cards_that_are_not_used_or_are_slow_are_noted():
    (check,) = machine.judge_cards(LISTED, installed=False)
    assert check.verdict == "note"
    assert "tensorflow-cpu is installed" in check.message
    for capability in ("6.1", "[N/A]"):
        (check,) = machine.judge_cards(f"GeForce, 1080, {capability}, 8192 MiB, 470.1", installed=True)
        assert check.verdict == "note"
        assert "precision auto is float32" in check.message
    (check,) = machine.judge_cards("\n", installed=True)
    assert check.verdict == "ok"


def test_a_driver_that_fails_is_noted(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho NVIDIA-SMI has failed; exit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (check,) = machine.cards()
    assert check.verdict == "note"
    assert "NVIDIA-SMI has failed" in check.message
    program.unlink()
    (check,) = machine.cards()
    assert check.verdict == "ok"

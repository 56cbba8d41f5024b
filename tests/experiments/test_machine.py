"""Checks of the machine."""

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

"""What the project uses reports no usage to its makers, whether or not `make` started it."""

import os
import subprocess
import sys
from pathlib import Path

import dvc.analytics
import dvc.updater
import pytest

ROOT = Path(__file__).parents[1]
OFF = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "False",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def bare(home: Path) -> dict[str, str]:
    """An environment that says nothing of telemetry."""
    kept = {name: value for name, value in os.environ.items() if name not in {*OFF, "CI", "DVC_TEST"}}
    return kept | {"HOME": str(home)}


@pytest.mark.parametrize("given", [{}, dict.fromkeys(OFF, "")], ids=["not set", "set to nothing"])
def test_every_process_of_the_project_and_what_it_starts_says_no(tmp_path, given):
    inner = f"import os; print({{name: os.environ.get(name) for name in {sorted(OFF)}}})"
    code = f"import pipeline, subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=bare(tmp_path) | given, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == str(OFF)


@pytest.mark.parametrize("module", ["pipeline.registry.evidence", "pipeline.runtime.session"])
def test_onnx_runtime_keeps_no_id_of_the_machine_whichever_module_comes_first(tmp_path, module):
    subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, env=bare(tmp_path), check=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name or "Microsoft" in path.name]


def test_dvc_itself_called_in_this_folder_asks_no_server(tmp_path, monkeypatch):
    for name in ("CI", "DVC_TEST", *OFF):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(ROOT)
    assert not dvc.updater.Updater(str(tmp_path)).is_enabled()
    assert not dvc.analytics.is_enabled()

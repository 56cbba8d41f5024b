"""A clone for each test: a copy of one that was reproduced once."""

import os
import shutil
import sys
from pathlib import Path

import pytest
import small_clone


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return small_clone.make(tmp_path_factory.mktemp("template") / "clone")


@pytest.fixture
def clone(template, tmp_path, monkeypatch):
    """The clone, as the current folder; commands run in this process."""
    folder = shutil.copytree(template, tmp_path / "clone", symlinks=True)
    for name in list(os.environ):
        if name.startswith(("DATASETS_", "GIT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(folder)
    return folder

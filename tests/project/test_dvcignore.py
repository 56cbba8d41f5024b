"""What DVC leaves out when it hashes the code that stages depend on."""

import shutil
from pathlib import Path

from dvc.repo import Repo

ROOT = Path(__file__).parents[2]


def test_bytecode_makes_no_stage_stale(tmp_path):
    """Someone who runs Python without `make` has it in every folder of code."""
    shutil.copy(ROOT / ".dvcignore", tmp_path)
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        assert repo.dvcignore.is_ignored_dir(str(tmp_path / "pipeline/core/__pycache__"))
        assert not repo.dvcignore.is_ignored_dir(str(tmp_path / "pipeline/core"))
        assert not repo.dvcignore.is_ignored_file(str(tmp_path / "pipeline/core/files.py"))

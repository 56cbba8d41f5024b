"""A small project in which every stage ran once."""

import os
from pathlib import Path

import pytest
import tiny_project


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The project; a test takes a copy. FULL_PROJECT names one that `tiny_project.make` made earlier."""
    if earlier := os.environ.get("FULL_PROJECT"):
        return Path(earlier)
    return tiny_project.make(tmp_path_factory.mktemp("tiny") / "project")

"""A small project in which every stage ran once."""

import pytest
import tiny_project


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The project; a test takes a copy."""
    return tiny_project.make(tmp_path_factory.mktemp("tiny") / "project")

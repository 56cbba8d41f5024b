"""A small project in which every stage ran once."""

import collections
import os
from pathlib import Path

import pytest
import tiny_project
from full_outcomes import report


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The project; a test takes a copy. FULL_PROJECT names one that `tiny_project.make` made earlier."""
    if earlier := os.environ.get("FULL_PROJECT"):
        return Path(earlier)
    return tiny_project.make(tmp_path_factory.mktemp("tiny") / "project")


@pytest.fixture
def seen(capsys, request):
    """What a test counts; printed at its end, of a test that fails or is interrupted too."""
    counts = collections.Counter()
    yield counts
    report(capsys, f"{request.node.name}: {sum(counts.values())} tried: {dict(sorted(counts.items()))}")

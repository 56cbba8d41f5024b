"""A search on a Ray cluster of this machine gives what it gives without one."""

import sys

import pytest
import study_project
from small_clone import run

pytestmark = pytest.mark.full
PATH = "studies/tries.yaml"
COMMAND = (sys.executable, "-m", "pipeline.commands.study", "--study", PATH)


def make(folder):
    project = study_project.make(folder)
    (project / PATH).write_text(study_project.SEARCH)
    run(project, "dvc", "remote", "add", "-q", "-d", "store", f"{folder}-store")
    run(project, "git", "commit", "-qam", "a remote")
    return project


def written(project):
    """What a search wrote beside its file."""
    return {path.suffix: path.read_bytes() for path in sorted((project / "studies").glob("tries.*"))}


def test_a_search_gives_the_same_on_ray(tmp_path):
    alone, clustered = make(tmp_path / "alone"), make(tmp_path / "clustered")
    run(alone, *COMMAND)
    options = {"PIPELINE_CLUSTER_FOLDER": str(tmp_path / "node"), "RAY_USAGE_STATS_ENABLED": "0"}
    run(clustered, *COMMAND, "--on", "ray", **options)
    assert set(written(clustered)) == {".yaml", ".csv", ".md", ".png"}
    assert written(clustered) == written(alone)

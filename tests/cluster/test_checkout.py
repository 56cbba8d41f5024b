"""What a run puts into a checkout: dvc.lock, and files of the project alone."""

import pytest
from ruamel.yaml import YAML

from pipeline.cluster import checkout
from pipeline.core.errors import DataError
from pipeline.records.outcome import Outcome


def outcome(**files):
    return Outcome(stage="cost@mnist", lock={"cmd": "true"}, files=files, seconds=0, machine="", cached=False)


def test_an_outcome_is_in_the_lock_and_its_files_in_the_project(tmp_path):
    checkout.record([outcome(**{"metrics/cost/mnist.csv": "strategy\n"})], tmp_path)
    assert YAML(typ="safe").load(tmp_path / "dvc.lock")["stages"] == {"cost@mnist": {"cmd": "true"}}
    assert (tmp_path / "metrics/cost/mnist.csv").read_text() == "strategy\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dvc.lock", "metrics"]


@pytest.mark.parametrize(
    "name",
    [
        *("../profile", "{root}/profile", "metrics/../../profile", ".git/hooks/post-commit", "."),
        *("pipeline/__init__.py", "stages/train.py", "Makefile", "params.yaml", ".venv/x.pth", "metrics", "tests/x.py"),
    ],
)
def test_a_file_that_no_stage_writes_is_not_written(tmp_path, name):
    project = tmp_path / "project"
    project.mkdir()
    with pytest.raises(DataError, match="expected a file below artifacts"):
        checkout.record([outcome(**{name.format(root=tmp_path): "text"})], project)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

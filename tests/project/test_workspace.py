"""The mirror, and the pictures of a clone. tests/experiments has the rest, in a clone."""

import json
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigurationError, DataError
from pipeline.project import workspace


@pytest.mark.parametrize(
    ("value", "mirror"),
    [("", ""), ("https://example.org/sets", "https://example.org/sets"), ("/some/folder", "/some/folder")],
)
def test_a_mirror_is_an_address_or_a_folder(monkeypatch, value, mirror):
    monkeypatch.setenv(workspace.MIRROR_VARIABLE, value)
    assert workspace.mirror() == mirror


def test_the_folder_of_a_mirror_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(workspace.MIRROR_VARIABLE, "sets")
    assert workspace.mirror() == str(Path(tmp_path).resolve() / "sets")


def test_the_origin_of_a_source_is_in_its_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert workspace.origin("mnist") is None
    record = tmp_path / "data/raw/mnist/source.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"origin": "embedded", "class_names": ["0"], "sets": {}}))
    assert workspace.origin("mnist") == "embedded"
    record.write_text("{}")
    with pytest.raises(DataError, match=r"source\.json"):
        workspace.origin("mnist")


def test_another_folder_is_no_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"\.dvc"):
        workspace.expect_clone()

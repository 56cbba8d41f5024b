"""Weights of published networks: found in a mirror's folder, and a clear reason where they are not."""

import pytest

from pipeline.core.errors import ConfigurationError
from pipeline.remote import weights
from pipeline.remote.downloads import Unreachable


def test_a_mirror_s_file_is_found_and_its_absence_has_a_reason(monkeypatch, tmp_path):
    monkeypatch.delenv("DATASETS_MIRROR", raising=False)
    with pytest.raises(Unreachable, match="DATASETS_MIRROR is not set"):
        weights.mirrored("vgg16")
    monkeypatch.setenv("DATASETS_MIRROR", str(tmp_path))
    with pytest.raises(Unreachable, match="no such file"):
        weights.mirrored("vgg16")
    path = tmp_path / weights.IMAGENET["vgg16"].remote.name
    path.parent.mkdir()
    path.write_bytes(b"weights")
    assert weights.mirrored("vgg16") == path
    monkeypatch.setenv("DATASETS_MIRROR", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="no such folder"):
        weights.mirrored("vgg16")

"""The folder of a node for the commits that it runs."""

import os
import stat
import tempfile

import pytest

from pipeline.cluster import shipping


def test_the_folder_of_a_node_is_its_owners_alone(tmp_path, monkeypatch):
    monkeypatch.delenv(shipping.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    node = shipping._node_folder()
    assert (node.parent, stat.S_IMODE(node.stat().st_mode)) == (tmp_path, 0o700)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(RuntimeError, match="belongs to another user"):
        shipping._node_folder()
    monkeypatch.setenv(shipping.FOLDER_VARIABLE, str(tmp_path / "named"))
    assert shipping._node_folder().is_dir()

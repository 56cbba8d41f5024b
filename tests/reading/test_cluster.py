"""The connection of `make read ON=ray`."""

from types import SimpleNamespace

import pytest

from pipeline.project.ray_address import ADDRESS_VARIABLE, ClusterError
from pipeline.reading import cluster
from pipeline.reading.worker import Work


def test_a_cluster_that_does_not_answer_is_known_before_ray_waits_for_it(tmp_path, monkeypatch):
    def init(**options):
        raise AssertionError("it would wait a minute")

    monkeypatch.setattr(cluster, "_ray", lambda: SimpleNamespace(init=init))
    monkeypatch.setenv(ADDRESS_VARIABLE, "127.0.0.1:9")
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:9: no answer"):
        list(cluster.on_ray(iter(()), Work("artifacts", "", False, "out"), tmp_path, 1))

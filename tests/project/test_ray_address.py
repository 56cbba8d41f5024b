"""A cluster that does not answer is known at once, and Ray is not asked."""

import pytest

from pipeline.core.errors import ConfigurationError
from pipeline.project import ray_address
from pipeline.project.ray_address import ClusterError


@pytest.mark.parametrize(
    ("address", "error", "code"), [("127.0.0.1:9", ClusterError, 4), ("somewhere", ConfigurationError, 2)]
)
def test_a_cluster_that_does_not_answer_is_one_line(address, error, code):
    with pytest.raises(error, match=address) as raised:
        ray_address.expect_answer(address)
    assert raised.value.exit_code == code


def test_what_names_no_host_is_left_to_ray():
    ray_address.expect_answer("auto")

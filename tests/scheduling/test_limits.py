"""Limits from the environment."""

import pytest

from pipeline.core.errors import ConfigurationError
from pipeline.scheduling.limits import Limits


def test_limits_come_from_the_environment():
    assert Limits.of({"READER_BODY_BYTES": "1000", "READER_BODY_SECONDS": "0.5", "READER_ARTIFACTS": "x"}) == Limits(
        body_bytes=1000, body_seconds=0.5
    )


@pytest.mark.parametrize("value", ["", "many", "0", "-1", "1.5", "nan", "inf"])
def test_a_limit_that_is_not_a_number_above_0_names_the_variable(value):
    with pytest.raises(ConfigurationError, match="READER_BODY_BYTES: "):
        Limits.of({"READER_BODY_BYTES": value})

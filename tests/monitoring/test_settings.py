import pytest

from pipeline.core.errors import ConfigurationError
from pipeline.monitoring.settings import LogSettings


def test_without_a_folder_nothing_is_logged():
    assert LogSettings.of({}) is None
    assert LogSettings.of({"READER_LOG": ""}) is None


def test_the_environment_sets_every_bound(tmp_path):
    found = LogSettings.of(
        {
            "READER_LOG": str(tmp_path),
            "READER_LOG_BYTES": "2000000",
            "READER_LOG_DAYS": "0.5",
            "READER_LOG_QUEUE": "7",
            "READER_LOG_QUEUE_BYTES": "3000000",
            "READER_QUARANTINE_BYTES": "4000000",
            "READER_QUARANTINE_DAYS": "2",
        }
    )
    assert found == LogSettings(tmp_path, 2_000_000, 0.5, 7, 3_000_000, 4_000_000, 2.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("READER_LOG_BYTES", "1000"),
        ("READER_LOG_BYTES", "many"),
        ("READER_LOG_DAYS", "0"),
        ("READER_LOG_DAYS", "nan"),
        ("READER_LOG_QUEUE", "0"),
        ("READER_LOG_QUEUE_BYTES", "-1"),
        ("READER_QUARANTINE_BYTES", "1e9"),
        ("READER_QUARANTINE_DAYS", "inf"),
    ],
)
def test_a_bound_that_is_none_is_refused_by_name_even_where_nothing_is_logged(name, value):
    with pytest.raises(ConfigurationError, match=f"{name}: '{value}' found"):
        LogSettings.of({name: value})

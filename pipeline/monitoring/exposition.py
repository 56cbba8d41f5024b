"""What `make drift` has found, as Prometheus metrics of the service that wrote the log."""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.core.errors import DataError
from pipeline.monitoring.watching import FOLDER
from pipeline.records.monitoring import DriftState


class DriftCollector(Collector):
    """Reads the states at each scrape; one that cannot be read is left out, and its time of checking with it."""

    def __init__(self, log: Path) -> None:
        """Define; `log` is the folder of the log."""
        self._folder = log / FOLDER

    def describe(self) -> list[Metric]:
        """Nothing: a registry would otherwise read the states to learn their names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of every task with a state."""
        evidence = GaugeMetricFamily(
            "reader_drift_evidence", "Evidence for drift as a share of its alarm", labels=["task", "statistic"]
        )
        alarm = GaugeMetricFamily("reader_drift_alarm", "1 after an alarm", labels=["task", "statistic"])
        pictures = GaugeMetricFamily("reader_drift_pictures", "Pictures tested for drift", labels=["task"])
        checked = GaugeMetricFamily(
            "reader_drift_checked_timestamp_seconds", "When the log was last tested for drift", labels=["task"]
        )
        for path in sorted(self._folder.glob("*.json")):
            try:
                state = DriftState.read(path)
            except (DataError, OSError):
                continue
            raised = {each.statistic for each in state.alarms}
            for name, level in state.levels.items():
                evidence.add_metric([state.task, name], level)
                alarm.add_metric([state.task, name], float(name in raised))
            pictures.add_metric([state.task], state.pictures)
            checked.add_metric([state.task], state.checked)
        yield from (evidence, alarm, pictures, checked)

"""Prometheus metrics: how many requests and how long, how many pictures, and what was refused.

Paths that the service does not know are counted as one, so that no caller can make a label grow.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping

import prometheus_client
from prometheus_client import multiprocess

from pipeline.records.manifest import Manifest
from pipeline.runtime.answers import identity

OTHER = "other"
SECONDS = (0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
"""Buckets of a request's time: the models answer in about a millisecond, a request for many may take seconds."""
PICTURES = (1, 2, 4, 8, 16, 32, 64)
"""Buckets of a run's pictures."""
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_FOLDER = "READER_METRICS_FOLDER"
"""Tells the workers where they count together; set by the process that starts them, not by whoever runs the service."""
_SHARED = "PROMETHEUS_MULTIPROC_DIR"


def make_folder() -> None:
    """Make the folder where the workers that this process starts count together, until it ends.

    BentoML gives them one below its home, and empties that whenever another service starts with the same home.
    """
    os.environ[_FOLDER] = tempfile.mkdtemp(prefix="reader-metrics-")
    atexit.register(shutil.rmtree, os.environ[_FOLDER], ignore_errors=True)


class Metrics:
    """The counters of one worker process; `exposition` gives those of all workers together."""

    def __init__(self, manifests: Mapping[str, Manifest]) -> None:
        if _FOLDER in os.environ:
            os.environ[_SHARED] = os.environ[_FOLDER]
        self._registry = prometheus_client.CollectorRegistry()
        add = {"registry": self._registry}
        self._requests = prometheus_client.Counter("reader_requests", "Requests", ["path", "status"], **add)
        self._seconds = prometheus_client.Histogram(
            "reader_request_seconds", "Time of a request, its body included", ["path"], buckets=SECONDS, **add
        )
        self.in_progress = prometheus_client.Gauge(
            "reader_requests_in_progress", "Requests in progress", multiprocess_mode="livesum", **add
        )
        self._refusals = prometheus_client.Counter("reader_refusals", "Requests and pictures refused", ["code"], **add)
        self._pictures = prometheus_client.Histogram(
            "reader_run_pictures", "Pictures in one run of a model", ["task"], buckets=PICTURES, **add
        )
        model = prometheus_client.Gauge(
            "reader_model",
            "1 for each model that is served",
            ["task", "strategy", "sha256", "version", "origin"],
            multiprocess_mode="max",
            **add,
        )
        for manifest in manifests.values():
            model.labels(**{key: str(value or "") for key, value in identity(manifest).items()}).set(1)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request; `path` is one that the service has, or `OTHER`."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def refused(self, code: str) -> None:
        """Count a request, or one picture of several, that was refused."""
        self._refusals.labels(code).inc()

    def run(self, task: str, pictures: int) -> None:
        """Count a run of a model."""
        self._pictures.labels(task).observe(pictures)

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        registry = self._registry
        # Workers share a folder for their counters; without one this process is alone.
        if _SHARED in os.environ:
            registry = prometheus_client.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return prometheus_client.generate_latest(registry)

    def close(self) -> None:
        """Take back what only a living worker counts."""
        if _SHARED in os.environ:
            multiprocess.mark_process_dead(os.getpid())

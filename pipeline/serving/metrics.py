"""Prometheus metrics: requests and their times, pictures of a run, and errors.

Unknown paths are counted as one, so that no client can make a label grow.
"""

import asyncio
import atexit
import contextlib
import functools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import prometheus_client
from prometheus_client import multiprocess

from pipeline.core.errors import DataError
from pipeline.monitoring.exposition import DriftCollector
from pipeline.records.answer import ModelIdentity
from pipeline.records.manifest import Manifest

OTHER = "other"
SECONDS = (0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
"""Buckets of a request's time: models take about a millisecond, a request for many pictures may take seconds."""
PICTURES = (1, 2, 4, 8, 16, 32, 64)
"""Buckets of a run's pictures."""
LINES = (0, 1, 2, 4, 8, 16, 32, 64, 128)
"""Buckets of a picture's lines; those without any are pictures in which no writing was found."""
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_FOLDER = "READER_METRICS_FOLDER"
"""Tells the workers where they count together. The process that starts them sets it, not the person who runs it."""
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
_KINDS = ("counter", "histogram", "gauge_livesum", "gauge_livemax")
"""A worker has a file for each."""
FILE_BYTES = 128 * 1024
"""Of each file: more than every path, status, code and task take together."""
_SPARES = 2
"""Workers beside one for each core whose files are made at the start."""
_REFUSED_SECONDS = 0.1
LOG_OUTCOMES = ("written", "queue", "disk", "quarantined")
"""What becomes of an answer in the prediction log."""


def make_folder() -> None:
    """Make the folder where the workers of this process count together; it is removed when the process ends.

    BentoML gives them one below its home, and empties it whenever another service starts with the same home.

    Raises:
        DataError: it cannot be made, for instance because the disk is full.
    """
    try:
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="reader-metrics-")
        atexit.register(shutil.rmtree, os.environ[_FOLDER], ignore_errors=True)
        for number in range((os.cpu_count() or 1) + _SPARES):
            _make_spare(Path(os.environ[_FOLDER]), f"spare-{number}")
    except OSError as error:
        raise DataError(f"{tempfile.gettempdir()}: no room for the metrics ({error.strerror}); free some") from None


def _make_spare(folder: Path, name: str) -> None:
    """Files for one worker, whose blocks are all allocated.

    prometheus_client maps files with holes into memory. A worker that then counts while the disk is full is killed
    (SIGBUS), so it never gets a file with a hole.
    """
    made = Path(tempfile.mkdtemp(prefix=".", dir=folder))
    try:
        for kind in _KINDS:
            with (made / kind).open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
                else:
                    file.write(bytes(FILE_BYTES))
        made.rename(folder / name)
    except OSError:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _take_files(folder: Path) -> None:
    """Give this process its files, from a spare; a new spare is made in its place where the disk has room.

    Raises:
        DataError: there is no spare, and no room for one.
    """
    name = f"spare-{os.getpid()}"
    full: OSError | None = None
    try:
        _make_spare(folder, name)
    except OSError as error:
        full = error
    for spare in sorted(folder.glob("spare-*"), key=lambda path: path.name == name):
        mine = folder / f".{os.getpid()}"
        # Another worker may take it at the same time.
        with contextlib.suppress(OSError):
            spare.rename(mine)
            for kind in _KINDS:
                (mine / kind).rename(folder / f"{kind}_{os.getpid()}.db")
            mine.rmdir()
            return
    reason = "" if full is None else f" ({full.strerror})"
    raise DataError(f"{folder}: no room for the metrics of another worker{reason}; free some")


def _forget_killed(folder: str) -> None:
    """Remove what only living workers count of those that were killed: they could not do so themselves."""
    for path in Path(folder).glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            multiprocess.mark_process_dead(pid, folder)
        except PermissionError:
            # It lives, as another user.
            pass


def remove_folder() -> None:
    """Remove it where the process that made it cannot."""
    if _FOLDER in os.environ:
        shutil.rmtree(os.environ[_FOLDER], ignore_errors=True)


class Metrics:
    """The counters of one worker process; `exposition` gives those of all workers together."""

    def __init__(self, manifests: Mapping[str, Manifest], log: Path | None = None) -> None:
        """Define; `log` is the folder of the prediction log, whose drift is shown too."""
        self._drift = None if log is None else DriftCollector(log)
        if _FOLDER in os.environ:
            os.environ[_SHARED] = os.environ[_FOLDER]
            if not Path(os.environ[_FOLDER], f"{_KINDS[0]}_{os.getpid()}.db").exists():
                _take_files(Path(os.environ[_FOLDER]))
        self._refused: Counter[tuple[str, str]] = Counter()
        registry = self._registry = prometheus_client.CollectorRegistry()
        requests = prometheus_client.Counter("reader_requests", "Requests", ["path", "status"], registry=registry)
        seconds = prometheus_client.Histogram(
            "reader_request_seconds",
            "Time of a request, its body included",
            ["path"],
            buckets=SECONDS,
            registry=registry,
        )
        errors = prometheus_client.Counter(
            "reader_refusals", "Requests and pictures answered with an error", ["code"], registry=registry
        )
        pictures = prometheus_client.Histogram(
            "reader_run_pictures", "Pictures in one run of a model", ["task"], buckets=PICTURES, registry=registry
        )
        lines = prometheus_client.Histogram(
            "reader_picture_lines", "Lines of writing found in a picture of any size", buckets=LINES, registry=registry
        )
        logged = prometheus_client.Counter(
            "reader_log_lines", "Answers written to the prediction log", registry=registry
        )
        dropped = prometheus_client.Counter(
            "reader_log_dropped", "Answers that the prediction log lost", ["reason"], registry=registry
        )
        quarantined = prometheus_client.Counter(
            "reader_quarantined_pictures", "Pictures of declined readings that were kept", registry=registry
        )
        self._logged = dict(
            zip(LOG_OUTCOMES, (logged, dropped.labels("queue"), dropped.labels("disk"), quarantined), strict=True)
        )
        self.in_progress = prometheus_client.Gauge(
            "reader_requests_in_progress", "Requests in progress", multiprocess_mode="livesum", registry=registry
        )
        # Paths, statuses, codes and tasks are few; to look a child up by its labels takes longer than to count.
        self._requests = functools.cache(lambda path, status: requests.labels(path, str(status)))
        self._seconds = functools.cache(seconds.labels)
        self._errors = functools.cache(errors.labels)
        self._lines = lines
        self._pictures = functools.cache(pictures.labels)
        model = prometheus_client.Gauge(
            "reader_model",
            "1 for each model that is served",
            ["task", "strategy", "sha256", "version", "origin"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        answers = prometheus_client.Counter(
            "reader_answers", "Requests that a model has read", ["task", "sha256", "version"], registry=registry
        )
        compared = prometheus_client.Counter(
            "reader_rollout_pictures", "Pictures for two versions of a model", ["task", "result"], registry=registry
        )
        judged = prometheus_client.Counter(
            "reader_feedback", "Answers that people called right or wrong", ["task", "judgement"], registry=registry
        )
        self._judged = functools.cache(judged.labels)
        self._model = model
        self._answers = functools.cache(answers.labels)
        self._compared = functools.cache(compared.labels)
        self._shown: dict[str, dict[str, str]] = {}
        for manifest in manifests.values():
            self.show_model(manifest)

    def show_model(self, manifest: Manifest) -> None:
        """Name the model of a task that answers; the former one does not any more."""
        former = self._shown.get(manifest.task)
        labels = {key: str(value or "") for key, value in ModelIdentity.of(manifest).as_json().items()}
        if former is not None:
            self._model.labels(**former).set(0)
        self._model.labels(**labels).set(1)
        self._shown[manifest.task] = labels

    def count_answer(self, manifest: Manifest) -> None:
        """Count a request whose pictures a model has read."""
        self._answers(manifest.task, manifest.model.sha256, manifest.version or "").inc()

    def count_compared(self, task: str, result: str) -> None:
        """Count a picture for both versions of a rollout: `compared`, `disagreed`, `failed` or `skipped`."""
        self._compared(task, result).inc()

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; `path` is one that the service has, or `OTHER`."""
        self._requests(path, status).inc()
        self._seconds(path).observe(seconds)

    def count_error(self, code: str) -> None:
        """Count a request, or one picture of several, that is answered with an error."""
        self._errors(code).inc()

    def count_refused(self, path: str, code: str) -> None:
        """Count a request that was rejected at once, with status 503. A moment later all of them are counted at once.

        Called on the event loop, thousands of times a second.
        """
        if not self._refused:
            asyncio.get_running_loop().call_later(_REFUSED_SECONDS, self._flush)
        self._refused[path, code] += 1

    def _flush(self) -> None:
        counted, self._refused = self._refused, Counter()
        for (path, code), number in counted.items():
            self._requests(path, 503).inc(number)
            self._errors(code).inc(number)

    def count_run(self, task: str, pictures: int) -> None:
        """Count a run of a model."""
        self._pictures(task).observe(pictures)

    def count_lines(self, lines: int) -> None:
        """Count a picture of any size with so many lines."""
        self._lines.observe(lines)

    def count_log(self, outcome: str, pictures: int) -> None:
        """Count what became of answers in the prediction log: one of `LOG_OUTCOMES`."""
        self._logged[outcome].inc(pictures)

    def count_feedback(self, task: str, judgement: str) -> None:
        """Count an answer that someone called `right` or `wrong`."""
        self._judged(task, judgement).inc()

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        registry = self._registry
        # Workers share a folder for their counters; without one this process is alone.
        if _SHARED in os.environ:
            _forget_killed(os.environ[_SHARED])
            registry = prometheus_client.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        text = prometheus_client.generate_latest(registry)
        if self._drift is not None:
            drift = prometheus_client.CollectorRegistry()
            drift.register(self._drift)
            text += prometheus_client.generate_latest(drift)
        return text

    def close(self) -> None:
        """Count what waits for it, and remove what only a living worker counts."""
        self._flush()
        if _SHARED in os.environ:
            multiprocess.mark_process_dead(os.getpid())

"""What the service does where nothing can be written: a limit on the size of files stands for a full disk."""

import asyncio
import contextlib
import os
import resource
import signal
import tempfile
from pathlib import Path

import apps
import numpy as np
import onnx_models
import psutil
import pytest
from apps import Exchange, body
from servers import CLASSES, ROOT, encoded, environment, expect_error, started, wait_for

from pipeline.core.errors import DataError
from pipeline.runtime.reader import load_readers
from pipeline.scheduling.limits import Limits
from pipeline.serving import metrics
from pipeline.serving.app import create_app

PNG = encoded(onnx_models.draw(CLASSES))


@contextlib.contextmanager
def files_of_at_most(size):
    """Files of this process, and of those that it starts, do not grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def full(artifacts, tmp_path_factory):
    """A server whose files cannot be larger than those it makes at its start, and its temporary folder."""
    home = tmp_path_factory.mktemp("bentoml")
    folder = tmp_path_factory.mktemp("temporary")
    env = environment(home, READER_ARTIFACTS=str(artifacts), TMPDIR=str(folder))
    with contextlib.ExitStack() as opened:
        with files_of_at_most(2 * metrics.FILE_BYTES):
            server = opened.enter_context(started(cwd=ROOT, env=env, log=home / "log.txt"))
        yield server, folder


def test_the_files_of_metrics_have_no_holes_in_which_a_worker_could_be_killed(full):
    server, folder = full
    assert server.client.post("/read", content=PNG).status_code == 200
    files = list(folder.glob("reader-metrics-*/*.db"))
    assert len(files) == 4
    for file in files:
        status = file.stat()
        assert status.st_size == metrics.FILE_BYTES, file.name
        assert status.st_blocks * 512 >= status.st_size, file.name


def test_forms_of_any_size_are_read_where_nothing_can_be_written(full):
    server, folder = full
    files = [("p", ("p", np.random.default_rng(0).bytes(3 * 2**20))), ("p", ("p", PNG))] * 2
    before = set(folder.rglob("*"))
    answers = server.client.post("/read_many", files=files).json()["answers"]
    assert [answer.get("digits") for answer in answers] == [None, "9754", None, "9754"]
    assert set(folder.rglob("*")) == before


@pytest.mark.slow
def test_a_worker_killed_while_nothing_can_be_written_is_replaced(full):
    server, _ = full
    # What the supervisor starts from now on cannot write more than a few bytes into any file.
    supervisor = psutil.Process(server.process.pid)
    limit = supervisor.rlimit(psutil.RLIMIT_FSIZE)
    supervisor.rlimit(psutil.RLIMIT_FSIZE, (64, limit[1]))
    killed = server.worker.pid
    os.kill(killed, signal.SIGKILL)

    def replaced():
        with contextlib.suppress(StopIteration, psutil.Error):
            return server.worker.pid != killed
        return False

    wait_for(replaced, "no other worker was started")
    supervisor.rlimit(psutil.RLIMIT_FSIZE, limit)
    wait_for(lambda: server.client.post("/read", content=PNG).status_code == 200, "the other worker does not answer")
    assert 'reader_requests_total{path="/read",status="200"}' in server.client.get("/metrics").text


def test_a_service_that_cannot_write_at_its_start_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("READER_METRICS_FOLDER", raising=False)
    # Restored in the end, as `make_folder` sets it.
    monkeypatch.setenv("READER_METRICS_FOLDER", "")
    with files_of_at_most(1000), pytest.raises(DataError, match="no room for the metrics"):
        metrics.make_folder()


def test_every_label_that_there_is_fits_into_the_files():
    """A file that has to grow would get a hole."""
    from prometheus_client.mmap_dict import mmap_key

    paths = [f"/a/path/as/long/as/the/longest/{index}" for index in range(24)]
    counters = [
        mmap_key("reader_requests", "reader_requests_total", ["path", "status"], [path, status], "Requests")
        for path in paths
        for status in map(str, range(400, 424))
    ]
    buckets = [
        mmap_key("reader_request_seconds", "reader_request_seconds_bucket", ["path", "le"], [path, str(le)], 40 * "x")
        for path in paths
        for le in (*metrics.SECONDS, "+Inf", "sum")
    ]
    for keys in (counters, buckets):
        assert sum(len(key) + 32 for key in keys) < metrics.FILE_BYTES


def test_a_request_for_which_the_machine_has_no_room_gets_503_and_the_next_is_answered(artifacts):
    readers = load_readers(artifacts)
    full = Path("/dev/full")

    class Writing:
        """A reader that writes to a full disk before it reads."""

        manifest = readers["strips"].manifest
        armed = False

        def read(self, images, **named):
            if self.armed:
                with full.open("wb", buffering=0) as file:
                    file.write(b"x")
            return readers["strips"].read(images, **named)

    writing = Writing()
    with apps.TestClient(create_app({**readers, "strips": writing}, Limits(inline_seconds=1e-9))) as client:
        writing.armed = True
        message = expect_error(client.post("/read", content=PNG), 503, "overloaded")
        assert "No space left on device" in message
        writing.armed = False
        assert client.post("/read", content=PNG).json()["digits"] == "9754"


def test_scrapes_at_the_same_time_share_one_exposition(artifacts):
    app = create_app(load_readers(artifacts), Limits())
    exchanges = [Exchange(app, "/metrics", "GET") for _ in range(50)]

    async def scrape():
        await asyncio.gather(*(exchange.run(body(b"")) for exchange in exchanges))

    asyncio.run(scrape())
    assert {exchange.status for exchange in exchanges} == {200}
    assert len({exchange.answer for exchange in exchanges}) == 1

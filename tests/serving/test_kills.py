"""Processes that are killed, models that are replaced and runs that do not end, in a running service."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import onnx_models
import psutil
import pytest
import trap_models
from servers import ROOT, bentoml, encoded, environment, free_port, wait_for

pytestmark = pytest.mark.slow
STRIPS = {"".join(map(str, classes)): onnx_models.draw(classes) for classes in ([1, 2, 3, 4, 5], [6, 7, 8, 9, 0])}
PNGS = {digits: encoded(strip) for digits, strip in STRIPS.items()}
PNG = PNGS["12345"]


@dataclass
class Service:
    """A service that the test may kill.

    Attributes:
        process: the supervisor.
        port: on 127.0.0.1.
        log: what it printed.
    """

    process: subprocess.Popen
    port: int
    log: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[psutil.Process]:
        """Those that live, the oldest first."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if child.status() != psutil.STATUS_ZOMBIE and "worker.service" in " ".join(child.cmdline()):
                    found.append(child)
        return sorted(found, key=lambda child: child.create_time())

    def status(self, path: str = "/readyz") -> int:
        """Of an answer on a connection of its own; 0 without an answer."""
        try:
            return httpx.get(self.url + path, timeout=2).status_code
        except httpx.TransportError:
            return 0

    def lines(self, text: str) -> list[str]:
        """The lines of the log that contain a text."""
        return [line for line in self.log.read_text().splitlines() if text in line]


@pytest.fixture
def serve(tmp_path) -> Iterator[Callable[..., Service]]:
    """Start a service; in the end nothing of it is left."""
    started: list[Service] = []

    def start(artifacts: Path, workers: int = 1, port: int | None = None, **variables: str) -> Service:
        port = port or free_port()
        (tmp_path / "tmp").mkdir(exist_ok=True)
        env = environment(
            tmp_path / "home",
            READER_ARTIFACTS=str(artifacts),
            TMPDIR=str(tmp_path / "tmp"),
            BENTOML_CONFIG_OPTIONS=f"services.reader.workers={workers}",
            **variables,
        )
        log = tmp_path / f"log-{len(started)}.txt"
        command = bentoml("serve", "--host", "127.0.0.1", "--port", str(port))
        with log.open("w") as output:
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True)
        service = Service(process, port, log)
        started.append(service)

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            return len(service.lines("Completed async startup hook")) == workers and service.status() == 200

        wait_for(ready, "the service did not get ready", 300)
        return service

    yield start
    for service in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(service.process.pid, signal.SIGKILL)
        service.process.wait(60)


@contextlib.contextmanager
def traffic(service: Service, callers: int = 6) -> Iterator[list[str]]:
    """Callers that send pictures until the block is left, each request on a connection of its own.

    Yields:
        The outcome of each request: `right`, `wrong: …`, an HTTP status, or the name of a transport's error.
    """
    outcomes: list[str] = []
    stop = threading.Event()

    def call(digits: str) -> None:
        while not stop.is_set():
            try:
                answer = httpx.post(service.url + "/read", content=PNGS[digits], timeout=30)
            except httpx.TransportError as error:
                outcomes.append(type(error).__name__)
                stop.wait(0.01)
                continue
            if answer.status_code != 200:
                outcomes.append(str(answer.status_code))
            else:
                outcomes.append("right" if answer.json()["digits"] == digits else f"wrong: {answer.text}")

    with ThreadPoolExecutor(callers) as pool:
        for index in range(callers):
            pool.submit(call, list(PNGS)[index % 2])
        try:
            yield outcomes
        finally:
            stop.set()


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_killed_worker_takes_only_its_own_requests_with_it(serve, tmp_path):
    onnx_models.package(tmp_path / "artifacts")
    service = serve(tmp_path / "artifacts", workers=2)
    callers = 6
    with traffic(service, callers) as outcomes:
        for _ in range(2):
            before = len(outcomes)
            wait_for(lambda before=before: outcomes[before:].count("right") > 50, "the callers get no answers")
            worker = service.workers()[0]
            worker.kill()
            wait_for(lambda worker=worker: gone(worker), "the worker lives")
            wait_for(lambda: len(service.workers()) == 2, "the worker is not replaced")
    failed = [outcome for outcome in outcomes if outcome != "right"]
    assert not [outcome for outcome in failed if outcome.startswith("wrong")]
    # A caller has one request in progress; and connections that the worker had not yet accepted are lost with it.
    assert len(failed) <= 2 * callers, failed
    assert set(failed) <= {"RemoteProtocolError", "ReadError", "ConnectError"}
    service.process.terminate()
    assert service.process.wait(60) == 0


def test_a_killed_supervisor_takes_the_workers_with_it_and_frees_the_port(serve, tmp_path):
    onnx_models.package(tmp_path / "artifacts")
    service = serve(tmp_path / "artifacts", workers=2)
    workers = service.workers()
    with traffic(service) as outcomes:
        wait_for(lambda: outcomes.count("right") > 50, "the callers get no answers")
        service.process.kill()
        service.process.wait(60)
        wait_for(lambda: all(gone(worker) for worker in workers), "workers go on without a supervisor", 60)
    assert not [outcome for outcome in outcomes if outcome.startswith("wrong")]
    assert len(service.lines("its supervisor, process")) == 2
    assert not list((tmp_path / "tmp").glob("reader-metrics-*"))
    # The same port, at once.
    again = serve(tmp_path / "artifacts", port=service.port)
    assert httpx.post(again.url + "/read", content=PNG, timeout=30).json()["digits"] == "12345"


def test_a_worker_that_finds_other_models_stops_the_service_and_never_answers(serve, tmp_path):
    folder = onnx_models.package(tmp_path / "artifacts")
    pinned = onnx_models.sha256(folder / "model.onnx")
    service = serve(tmp_path / "artifacts", workers=2)
    shutil.rmtree(folder)
    onnx_models.package(tmp_path / "artifacts", boxes=True)
    answered: set[str] = set()
    # With the same digits, only the hash tells which model has answered.
    service.workers()[0].kill()
    while service.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.post(service.url + "/read", content=PNG, timeout=30)
            if answer.status_code == 200:
                answered.add(answer.json()["model"]["sha256"])
    assert answered == {pinned}
    assert service.process.wait(60) == 3
    lines = service.lines("ERROR")
    assert len(lines) == 1
    assert "the packaged models of strips were replaced since the service started; the service stops" in lines[0]
    assert "Traceback" not in service.log.read_text()


def test_a_run_that_does_not_end_makes_its_worker_not_ready_and_then_replaces_it(serve, tmp_path):
    """One operator of many minutes, which ONNX Runtime does not leave when it is told to."""
    trap_models.package(tmp_path / "artifacts", "stuck")
    limits = {"ANSWER_SECONDS": "1", "CLOSE_SECONDS": "3", "INLINE_SECONDS": "1e-9"}
    service = serve(tmp_path / "artifacts", **{f"READER_{name}": limits[name] for name in limits})
    worker = service.workers()[0]
    trap = encoded(trap_models.trapped(STRIPS["12345"]))
    assert httpx.post(service.url + "/read", content=trap, timeout=60).json()["error"]["code"] == "timed_out"
    # The other thread reads on meanwhile.
    assert httpx.post(service.url + "/read", content=PNG, timeout=60).json()["digits"] == "12345"
    seen: list[str] = []

    def not_ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(service.url + "/readyz", timeout=5)
            if answer.status_code == 503:
                seen.append(answer.json()["error"]["message"])
        return bool(seen)

    wait_for(not_ready, "the worker stays ready")
    assert "a run of strips does not end although it was told to" in seen[0]
    wait_for(lambda: gone(worker), "the worker stays")
    wait_for(lambda: service.status() == 200, "the worker is not replaced")
    assert httpx.post(service.url + "/read", content=PNG, timeout=60).json()["digits"] == "12345"
    said = [re.sub(r".*\] ", "", line) for line in service.lines("ERROR")]
    assert len(said) == 3, said
    assert said[0] == "a run of strips (1 pictures) took more than 1 seconds and was told to end"
    service.process.terminate()
    assert service.process.wait(60) == 0


def test_told_to_stop_with_a_run_that_does_not_end_the_service_stops_all_the_same(serve, tmp_path):
    trap_models.package(tmp_path / "artifacts", "stuck")
    limits = {"STOP_SECONDS": "1", "CLOSE_SECONDS": "1", "INLINE_SECONDS": "1e-9"}
    service = serve(tmp_path / "artifacts", **{f"READER_{name}": limits[name] for name in limits})
    worker = service.workers()[0]
    trap = encoded(trap_models.trapped(STRIPS["12345"]))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, service.url + "/read", content=trap, timeout=120)
        wait_for(lambda: worker.cpu_percent(0.2) > 20, "the run has not begun")
        service.process.terminate()
        assert service.process.wait(60) == 0
        with contextlib.suppress(httpx.TransportError):
            assert answer.result().status_code == 503
    assert gone(worker)

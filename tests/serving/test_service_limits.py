"""What a server does under load, with slow callers, and when it is told to stop."""

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import onnx_models
import psutil
import pytest
from servers import CLASSES, ROOT, encoded, environment, refused, started

from pipeline.core.errors import ConfigurationError
from pipeline.serving.limits import Limits

SOUND = encoded(onnx_models.draw(CLASSES))
BODY_SECONDS = 1.5
HEAD = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(SOUND)


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    artifacts = tmp_path_factory.mktemp("artifacts")
    onnx_models.package(artifacts)
    return environment(
        tmp_path_factory.mktemp("bentoml"),
        READER_ARTIFACTS=str(artifacts),
        READER_BODY_SECONDS=str(BODY_SECONDS),
        READER_WAITING="8",
        READER_REQUESTS="64",
    )


@pytest.fixture(scope="module")
def server(env, tmp_path_factory):
    with started(cwd=ROOT, env=env, log=tmp_path_factory.mktemp("log") / "log.txt") as server:
        yield server


def connected(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def received(connection):
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def test_a_body_that_comes_a_byte_at_a_time_is_cut_off_and_others_are_answered(server):
    begun = time.monotonic()
    with connected(server) as slow:
        slow.sendall(HEAD)
        stop = threading.Event()

        def drip():
            for byte in SOUND:
                if stop.wait(0.1):
                    return
                try:
                    slow.sendall(bytes([byte]))
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert server.client.post("/read", content=SOUND).json()["digits"] == "9754"
        answer = received(slow)
        taken = time.monotonic() - begun
        stop.set()
        dripping.join()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in answer
    assert BODY_SECONDS <= taken < BODY_SECONDS + 10


def test_a_thousand_requests_at_once_are_answered_or_told_to_come_again(server):
    """All are sent before any answer is read, from connections of their own."""
    request = HEAD + SOUND
    connections = [connected(server) for _ in range(1000)]
    for connection in connections:
        connection.sendall(request.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    health = [httpx.get(f"http://127.0.0.1:{server.port}/livez", timeout=30).status_code for _ in range(5)]
    answers = [received(connection) for connection in connections]
    for connection in connections:
        connection.close()
    assert health == [200] * 5
    statuses = [answer[9:12] for answer in answers]
    assert set(statuses) <= {b"200", b"503"}
    assert statuses.count(b"200") > 0
    assert statuses.count(b"503") > 0
    for status, answer in zip(statuses, answers, strict=True):
        assert (b"retry-after: 1" in answer.lower()) == (status == b"503")
        assert (b'"overloaded"' in answer) == (status == b"503")
    assert server.client.get("/readyz").status_code == 200
    assert server.client.post("/read", content=SOUND).status_code == 200


def test_a_caller_that_goes_away_leaves_nothing_behind(server):
    for _ in range(20):
        with connected(server) as connection:
            connection.sendall(HEAD + SOUND[:10])
            # A reset instead of an end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end = time.monotonic() + 10
    while "reader_requests_in_progress 1.0" not in server.client.get("/metrics").text:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert server.client.post("/read", content=SOUND).status_code == 200


@pytest.mark.parametrize("path", [b"/nothing", b"/info"], ids=["not_found", "method_not_allowed"])
def test_what_is_left_of_a_body_whose_path_or_method_was_refused_is_thrown_away(server, path):
    with connected(server) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\nabc" % path)
        answer = b""
        while not answer.endswith(b"}}"):
            answer += connection.recv(65536)
        assert b"connection: close" not in answer.lower()
        connection.sendall(bytes(299_997) + b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 200 ")


def test_unknown_paths_and_methods_are_counted_as_one(server):
    for index in range(30):
        refused(server.client.get(f"/nothing/{index}"), 404, "not_found")
        server.client.request("PROPFIND", f"/{index}")
    text = server.client.get("/metrics").text
    assert 'reader_requests_total{path="other",status="404"} ' in text
    assert "/nothing" not in text
    paths = {line.split('path="')[1].split('"')[0] for line in text.splitlines() if 'path="' in line}
    assert len(paths) <= 12
    buckets = [line for line in text.splitlines() if line.startswith('reader_request_seconds_bucket{le="0.00')]
    assert len({line.split('le="')[1].split('"')[0] for line in buckets}) >= 6


@pytest.mark.parametrize("told", ["the supervisor", "every process"])
def test_told_to_stop_it_is_not_ready_at_once_finishes_what_runs_and_ends_with_0(env, tmp_path, told):
    """systemd tells every process, and the supervisor then tells the worker again."""
    slow = env | {"READER_BODY_SECONDS": "20"}
    with started(cwd=ROOT, env=slow, log=tmp_path / "log.txt") as server:
        worker = next(
            child.pid for child in psutil.Process(server.process.pid).children(recursive=True) if _serves(child)
        )
        with connected(server) as running:
            running.sendall(HEAD + SOUND[:-1])
            time.sleep(0.5)
            os.kill(server.process.pid, signal.SIGTERM)
            if told == "every process":
                os.kill(worker, signal.SIGTERM)
                time.sleep(1)
            end = time.monotonic() + 10
            while (response := server.client.get("/readyz")).status_code == 200:
                assert time.monotonic() < end
                time.sleep(0.02)
            refused(response, 503, "stopping")
            refused(server.client.post("/read", content=SOUND), 503, "stopping")
            assert server.client.get("/livez").status_code == 200
            assert server.process.poll() is None
            assert psutil.pid_exists(worker)
            running.sendall(SOUND[-1:])
            assert b'"digits":"9754"' in received(running)
        assert server.process.wait(20) == 0
        assert not psutil.pid_exists(worker)


@contextlib.contextmanager
def takers_of_nothing(server, count):
    """Connections that ask for more than the buffers between hold, and read none of it."""
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            connection = opened.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(400 * b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        yield


def status_turns_to(server, status):
    end = time.monotonic() + 20
    while server.client.post("/read", content=SOUND).status_code != status:
        assert time.monotonic() < end, f"/read never answered {status}"
        time.sleep(0.1)


def test_callers_that_take_no_answer_lose_their_places_and_their_connections(env, tmp_path):
    few = env | {"READER_ANSWER_SECONDS": "3", "READER_REQUESTS": "20"}
    log = tmp_path / "log.txt"
    with started(cwd=ROOT, env=few, log=log) as server:
        worker = next(child for child in psutil.Process(server.process.pid).children(recursive=True) if _serves(child))
        with takers_of_nothing(server, 20):
            status_turns_to(server, 503)
            status_turns_to(server, 200)
            end = time.monotonic() + 10
            while len([one for one in worker.net_connections("tcp") if one.status == "ESTABLISHED"]) > 2:
                assert time.monotonic() < end, "the connections are still open"
                time.sleep(0.1)
    assert log.read_text().count("the answer was not taken within 3 seconds") == 20
    assert "ERROR" not in log.read_text()


def test_callers_that_take_no_answer_do_not_hold_up_a_stop(env, tmp_path):
    few = env | {"READER_ANSWER_SECONDS": "60", "READER_STOP_SECONDS": "3", "READER_REQUESTS": "20"}
    with started(cwd=ROOT, env=few, log=tmp_path / "log.txt") as server:
        with takers_of_nothing(server, 20):
            status_turns_to(server, 503)
            os.kill(server.process.pid, signal.SIGTERM)
            assert server.process.wait(3 + 10) == 0


def _serves(process):
    return "_bentoml_impl.worker.service" in " ".join(process.cmdline())


def test_stopped_under_load_it_answers_what_it_took(env, tmp_path):
    with started(cwd=ROOT, env=env, log=tmp_path / "log.txt") as server:
        statuses, errors = [], []

        def call():
            with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
                while True:
                    try:
                        statuses.append(client.post("/read", content=SOUND).status_code)
                    except httpx.TransportError as error:
                        errors.append(error)
                        return
                    if statuses[-1] != 200:
                        return

        with ThreadPoolExecutor(8) as callers:
            for _ in range(8):
                callers.submit(call)
            time.sleep(1)
            os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(20) == 0
    assert statuses.count(200) > 8
    assert set(statuses) <= {200, 503}
    # Between two requests a connection may be closed; no request may be lost that was begun.
    assert all(isinstance(error, httpx.ConnectError | httpx.RemoteProtocolError | httpx.ReadError) for error in errors)


def test_limits_come_from_the_environment():
    assert Limits.of({"READER_BODY_BYTES": "1000", "READER_BODY_SECONDS": "0.5", "READER_ARTIFACTS": "x"}) == Limits(
        body_bytes=1000, body_seconds=0.5
    )


@pytest.mark.parametrize("value", ["", "many", "0", "-1", "1.5", "nan"])
def test_a_limit_that_is_no_number_above_0_names_the_variable(value):
    with pytest.raises(ConfigurationError, match=r"READER_BODY_BYTES: .* found, expected a whole number above 0"):
        Limits.of({"READER_BODY_BYTES": value})


def test_memory_is_bounded_while_many_bodies_are_held(server):
    """Bodies of 4 MiB are declared by many callers that send a part: what is held is what came, and it is let go."""
    worker = next(child for child in psutil.Process(server.process.pid).children(recursive=True) if _serves(child))
    before = worker.memory_info().rss
    part = np.random.default_rng(0).bytes(256 * 1024)
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"
    connections = [connected(server) for _ in range(40)]
    for connection in connections:
        connection.sendall(head + part)
    answers = [received(connection) for connection in connections]
    for connection in connections:
        connection.close()
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers)
    assert worker.memory_info().rss - before < 60 * 1024 * 1024

"""What a server does with slow clients, too many of them, those that go away, and when it is told to stop."""

import contextlib
import os
import re
import resource
import signal
import socket
import struct
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import onnx_models
import psutil
import pytest
from servers import CLASSES, ROOT, encoded, environment, expect_error, started, wait_for

PNG = encoded(onnx_models.draw(CLASSES))
HEAD = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(PNG)


@pytest.fixture
def env(artifacts, tmp_path):
    return environment(tmp_path / "bentoml", READER_ARTIFACTS=str(artifacts))


@pytest.fixture(scope="module")
def server(artifacts, tmp_path_factory):
    """A server with low limits, in place of the one that other modules share."""
    home = tmp_path_factory.mktemp("bentoml")
    limits = {"BODY_SECONDS": "1", "ANSWER_SECONDS": "2", "REQUESTS": "64", "WAITING": "8"}
    env = environment(home, READER_ARTIFACTS=str(artifacts), **{f"READER_{key}": limits[key] for key in limits})
    with started(cwd=ROOT, env=env, log=home / "log.txt") as server:
        yield server


def received(connection):
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def in_progress(server):
    """Requests in progress; the one that asks is one of them."""
    return float(re.search(r"(?m)^reader_requests_in_progress (\S+)", server.client.get("/metrics").text)[1])


def test_a_body_that_comes_a_byte_at_a_time_is_cut_off_and_others_are_answered(server):
    with server.connect() as slow:
        slow.sendall(HEAD)
        stop = threading.Event()

        def drip():
            for byte in PNG:
                if stop.wait(0.1):
                    return
                try:
                    slow.sendall(bytes([byte]))
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert server.client.post("/read", content=PNG).json()["digits"] == "9754"
        answer = received(slow)
        stop.set()
        dripping.join()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in answer


def test_a_body_that_does_not_say_how_long_it_is_is_cut_off(server):
    limit = 4 * 1024 * 1024
    sent = 0

    def endless():
        nonlocal sent
        while sent < 100 * limit:
            sent += 65536
            yield bytes(65536)

    expect_error(server.client.post("/read", content=endless()), 413, "body_too_large")
    assert sent < 10 * limit


def test_a_thousand_requests_at_once_are_answered_or_rejected_for_now(server):
    """All are sent before any answer is read, from connections of their own."""
    request = HEAD + PNG
    connections = [server.connect() for _ in range(1000)]
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
    for status, answer in zip(statuses, answers, strict=True):
        assert (b"retry-after: 1" in answer.lower()) == (status == b"503")
        # On a busy machine some wait longer than an answer may take.
        assert (b'"overloaded"' in answer or b'"timed_out"' in answer) == (status == b"503")
    assert server.client.get("/readyz").status_code == 200
    assert server.client.post("/read", content=PNG).status_code == 200


def test_a_client_that_resets_its_connection_leaves_nothing_behind(server):
    for _ in range(20):
        with server.connect() as connection:
            connection.sendall(HEAD + PNG[:10])
            # A reset instead of an end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: in_progress(server) == 1, "requests of clients that went away are in progress")
    assert server.client.post("/read", content=PNG).status_code == 200


@pytest.mark.parametrize("path", [b"/nothing", b"/info"], ids=["not_found", "method_not_allowed"])
def test_the_rest_of_a_body_whose_path_or_method_was_rejected_is_dropped(server, path):
    with server.connect() as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\nabc" % path)
        answer = b""
        while not answer.endswith(b"}}"):
            answer += connection.recv(65536)
        assert b"connection: close" not in answer.lower()
        connection.sendall(bytes(299_997) + b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 200 ")


def test_memory_is_bounded_while_many_bodies_are_held(server):
    """Many clients declare bodies of 1 MB and send a part: only what came is held, and it is let go."""
    before = server.worker.memory_info().rss
    part = np.random.default_rng(0).bytes(256 * 1024)
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    connections = [server.connect() for _ in range(40)]
    for connection in connections:
        connection.sendall(head + part)
    answers = [received(connection) for connection in connections]
    for connection in connections:
        connection.close()
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers)
    assert server.worker.memory_info().rss - before < 60 * 1024 * 1024


@contextlib.contextmanager
def clients_that_receive_nothing(server, count):
    """Connections that ask for more than the buffers between hold, and receive none of it."""
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            connection = opened.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(400 * b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        yield


def test_clients_that_do_not_receive_their_answers_lose_their_places_and_their_connections(server):
    worker = server.worker

    def established():
        return sum(one.status == "ESTABLISHED" for one in worker.net_connections("tcp"))

    def given_up():
        return server.log.read_text().count("did not receive the answer")

    before = given_up()
    with clients_that_receive_nothing(server, 8):
        wait_for(lambda: given_up() - before == 8, "the answers are still being sent")
        wait_for(lambda: established() <= 2, "the connections are still open")
    assert in_progress(server) == 1
    assert server.client.post("/read", content=PNG).status_code == 200
    assert "ERROR" not in server.log.read_text()


@pytest.mark.parametrize("signalled", ["the supervisor", "every process"])
def test_told_to_stop_it_is_not_ready_at_once_finishes_what_runs_and_ends_with_0(env, tmp_path, signalled):
    """A service manager signals every process, and the supervisor then signals the worker again."""
    slow = env | {"READER_BODY_SECONDS": "20"}
    with started(cwd=ROOT, env=slow, log=tmp_path / "log.txt") as server:
        worker = server.worker.pid
        with server.connect() as running:
            running.sendall(HEAD + PNG[:-1])
            wait_for(lambda: in_progress(server) == 2, "the request never began")
            os.kill(server.process.pid, signal.SIGTERM)
            if signalled == "every process":
                os.kill(worker, signal.SIGTERM)
            wait_for(lambda: server.client.get("/readyz").status_code == 503, "it stays ready")
            expect_error(server.client.get("/readyz"), 503, "stopping")
            expect_error(server.client.post("/read", content=PNG), 503, "stopping")
            assert server.client.get("/livez").status_code == 200
            assert server.process.poll() is None
            assert psutil.pid_exists(worker)
            running.sendall(PNG[-1:])
            assert b'"digits":"9754"' in received(running)
        assert server.process.wait(120) == 0
        assert not psutil.pid_exists(worker)


def test_clients_that_do_not_receive_their_answers_do_not_hold_up_a_stop(env, tmp_path):
    few = env | {
        "READER_ANSWER_SECONDS": "600",
        "READER_STOP_SECONDS": "0.3",
        "READER_CLOSE_SECONDS": "0.3",
        "READER_REQUESTS": "20",
    }
    with started(cwd=ROOT, env=few, log=tmp_path / "log.txt") as server:
        with clients_that_receive_nothing(server, 20):
            wait_for(lambda: server.client.post("/read", content=PNG).status_code == 503, "there are places left")
            os.kill(server.process.pid, signal.SIGTERM)
            assert server.process.wait(120) == 0


def test_stopped_under_load_it_answers_what_it_took(env, tmp_path):
    statuses, errors = [], []
    with started(cwd=ROOT, env=env, log=tmp_path / "log.txt") as server:

        def call():
            with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
                while True:
                    try:
                        statuses.append(client.post("/read", content=PNG).status_code)
                    except httpx.TransportError as error:
                        errors.append(error)
                        return
                    if statuses[-1] != 200:
                        return

        with ThreadPoolExecutor(8) as callers:
            for _ in range(8):
                callers.submit(call)
            wait_for(lambda: len(statuses) > 100, "the callers get no answers")
            os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(120) == 0
    assert set(statuses) <= {200, 503}
    # Between two requests a connection may be closed; no request may be lost that was begun.
    assert all(isinstance(error, httpx.ConnectError | httpx.RemoteProtocolError | httpx.ReadError) for error in errors)


@pytest.mark.slow
def test_five_thousand_silent_connections_take_no_place_from_others(env, tmp_path):
    """In a process that may open 1,024 files."""
    few = tmp_path / "few"
    few.write_text('#!/bin/sh\nulimit -n 1024\nexec "$@"\n')
    few.chmod(0o755)
    silent, count, done = deque(), 0, threading.Event()

    def be_silent(port):
        nonlocal count
        while not done.is_set():
            with contextlib.suppress(OSError):
                silent.append(socket.create_connection(("127.0.0.1", port), timeout=5))
                count += 1
            if len(silent) > 2000:
                silent.popleft().close()

    with started(cwd=ROOT, env=env, log=tmp_path / "log.txt", under=[str(few)]) as server:
        assert resource.prlimit(server.worker.pid, resource.RLIMIT_NOFILE) == (1024, 1024)
        flood = threading.Thread(target=be_silent, args=(server.port,))
        flood.start()
        answered = 0
        try:
            while count < 5000 or answered < 50:
                answer = httpx.post(f"http://127.0.0.1:{server.port}/read", content=PNG, timeout=30)
                assert answer.json()["digits"] == "9754"
                answered += 1
        finally:
            done.set()
            flood.join()
            for connection in silent:
                connection.close()
        assert server.worker.num_fds() < 1024
        assert server.client.get("/readyz").status_code == 200
        print(f"{count} silent connections, {answered} answers")
        assert "896 connections are open, the most that this process takes" in server.log.read_text()

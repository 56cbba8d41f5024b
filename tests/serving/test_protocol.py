"""HTTP as it comes over a connection: what is malformed, too large, too slow, or too many, and clients that hang up."""

import contextlib
import json
import logging
import socket
import subprocess
import sys

import onnx_models
import pytest
from servers import CLASSES, ROOT, encoded, wait_for
from sockets import received, served

from pipeline.runtime.reader import load_readers
from pipeline.scheduling.admission import Gate
from pipeline.scheduling.batching import DynamicBatcher
from pipeline.scheduling.limits import Limits
from pipeline.scheduling.shutdown import Shutdown
from pipeline.serving.app import create_app
from pipeline.serving.protocol import HttpProtocol

STRIP = onnx_models.draw(CLASSES)
PNG = encoded(STRIP)
LIVE = b"GET /livez HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
CLOSE = b"Connection: close\r\n"
LAST = LIVE + HOST + CLOSE + b"\r\n"
READ = b"POST /read HTTP/1.1\r\n" + HOST
WITH_LENGTH = READ + b"Content-Length: %d\r\n\r\n" % len(PNG) + PNG
CHUNKED = READ + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def app(artifacts):
    return create_app(load_readers(artifacts), Limits())


@pytest.fixture(scope="module")
def overloaded(artifacts):
    """The service behind a gate that lets no picture in, and the rejections that it counts."""
    readers = load_readers(artifacts)
    shutdown = Shutdown(1, 1)
    shutdown.in_progress = 1
    batcher = DynamicBatcher(readers, threads=1, batch=1, waiting=1)
    counted: list[tuple[str, str]] = []
    limits = Limits(requests=1)
    gate = Gate(batcher, limits, shutdown, ["/read"], lambda path, code: counted.append((path, code)))
    with served(create_app(readers, Limits()), gate=gate, idle_seconds=1) as service:
        yield service, counted
    batcher.close()


@pytest.fixture(scope="module")
def service(artifacts):
    with served(create_app(load_readers(artifacts), Limits())) as service:
        yield service


def answers(data: bytes) -> list[tuple[int, bytes, dict[bytes, bytes]]]:
    """Status, body and headers of each answer in the bytes of a connection."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        length = int(headers.get(b"content-length", 0))
        found.append((int(status.split()[1]), rest[:length], headers))
        data = rest[length:]
    return found


def send_for_ever(connection: socket.socket, part: bytes) -> None:
    """Send until the connection is closed, or 100 MB."""
    for _ in range(100_000_000 // len(part)):
        connection.sendall(part)


def expect_refused(data: bytes, status: int, code: str) -> None:
    """The last answer is an error in the form of all, and closed the connection."""
    found, body, headers = answers(data)[-1]
    assert (found, json.loads(body)["error"]["code"]) == (status, code)
    assert headers[b"connection"] == b"close"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n",
        b"GET /livez HTTP/1.2\r\n" + HOST + b"\r\n",
        b"FOO /livez HTTP/1.1\r\n" + HOST + b"\r\n",
        b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET ftp://x/livez HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        LIVE + b"Host : x\r\n\r\n",
        LIVE + HOST + b"A: b\r\n c\r\n\r\n",
        LIVE + HOST + b"A: b\0\r\n\r\n",
        LIVE + HOST + b"A: b\rc\r\n\r\n",
        b"GET /livez HTTP/1.1\nHost: x\n\n",
        READ + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        READ + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        READ + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
        READ + b"Content-Length: 5, 5\r\n\r\nabcde",
        READ + b"Content-Length: -1\r\n\r\n",
        READ + b"Content-Length: 99999999999999999999\r\n\r\n",
        READ + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        READ + b"Transfer-Encoding: identity\r\n\r\n",
        READ.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n",
        CHUNKED + b"fffffffffffffffff\r\nabc\r\n",
        CHUNKED + b"1\r\na\r\n" * 9000,
        CHUNKED + b"3;" + b"x" * 200_000 + b"\r\nabc\r\n",
        READ + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabc",
    ],
    ids=lambda sent: repr(sent[:60]),
)
def test_what_is_not_http_is_answered_in_the_form_of_every_error(service, sent):
    data = service.ask(sent + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    assert len(answers(data)) == 1
    expect_refused(data, 431 if b"xxx" in sent else 400, "head_too_large" if b"xxx" in sent else "bad_http")


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        HOST * 2,
        b"Host: a\r\nhost: b\r\n",
        b"Host: a/b\r\n",
        b"Host: a@b\r\n",
        b"Host: [::1\r\n",
        b"Host: \xff\r\n",
    ],
)
def test_a_request_has_one_host(service, lines):
    expect_refused(service.ask(LIVE + lines + b"\r\n"), 400, "bad_host")


@pytest.mark.parametrize(
    "sent",
    [
        LAST,
        b"GET /livez HTTP/1.0\r\n\r\n",
        LIVE + b"Host: [::1]:80\r\n" + CLOSE + b"\r\n",
        LIVE + b"Host:\r\n" + CLOSE + b"\r\n",
        b"GET http://x/livez HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
        b"GET /%6civez?a=%zz#b HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
        LIVE + HOST + b"Upgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n",
        LIVE + HOST + b"A: b\r\n" * 98 + CLOSE + b"\r\n",
        b"\r\n\r\n" + LAST,
    ],
    ids=lambda sent: repr(sent[:60]),
)
def test_what_is_odd_but_right_is_answered(service, sent):
    assert [status for status, _, _ in answers(service.ask(sent))] == [200]


@pytest.mark.parametrize(
    ("path", "status"), [(b"*", 404), (b"/%0a", 404), (b"/livez%0a", 404), (b"/%00", 404), (b"/docs%0a", 404)]
)
def test_no_odd_path_is_answered_in_another_form_or_taken_for_one_that_there_is(service, path, status):
    data = service.ask(b"OPTIONS " + path + b" HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
    expect_refused(data, status, "not_found")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        LIVE + HOST + b"a" * 70_000 + b": b\r\n\r\n",
        LIVE + HOST + b"a: " + b"b" * 70_000 + b"\r\n\r\n",
        LIVE + HOST + b"a: " + b" " * 140_000 + b"b\r\n\r\n",
        LIVE + HOST + b"".join(b"a: " + b"b" * 7000 + b"\r\n" for _ in range(11)) + b"\r\n",
        LIVE + HOST + b"a: b\r\n" * 100 + b"\r\n",
        CHUNKED + b"1\r\na\r\n0\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        CHUNKED + b"1\r\na\r\n0\r\na: " + b"b" * 100_000 + b"\r\n\r\n",
        b"\r\n" * 100_000,
    ],
    ids=["target", "name", "value", "spaces", "values", "number", "trailers", "trailer", "empty lines"],
)
def test_a_head_has_a_limit_of_bytes_and_of_headers(service, sent):
    expect_refused(service.ask(sent), 431, "head_too_large")


def test_of_an_endless_header_little_is_received_and_nothing_is_kept(server):
    """A real server, since the memory of this process holds what is sent as well."""
    before = server.worker.memory_info().rss
    sent = 0
    with server.connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(LIVE + HOST + b"a: ")
        for _ in range(1000):
            connection.sendall(b"b" * 100_000)
            sent += 100_000
    assert sent < 50_000_000
    assert server.worker.memory_info().rss - before < 30_000_000
    assert server.client.get("/livez").status_code == 200


def test_a_real_server_speaks_this_protocol(server):
    """BentoML starts Uvicorn without a setting for it."""
    with server.connect() as connection:
        connection.sendall(LIVE + HOST + HOST + b"\r\n")
        expect_refused(received(connection), 400, "bad_host")
    assert 'reader_refusals_total{code="bad_host"}' in server.client.get("/metrics").text


def test_trailers_are_not_headers(service):
    """A shape in the trailers would make raw pixels of the body, and a type would reject it."""
    trailers = b"0\r\nX-Shape: 1,28,140\r\nContent-Type: text/html\r\n\r\n"
    sent = CHUNKED.replace(HOST, HOST + CLOSE) + b"%x\r\n" % len(PNG) + PNG + b"\r\n" + trailers
    ((status, body, _),) = answers(service.ask(sent))
    assert (status, json.loads(body)["digits"]) == (200, "9754")


def test_a_client_that_sends_no_more_gets_its_answers(service):
    data = service.ask(WITH_LENGTH + LIVE + HOST + b"\r\n" + WITH_LENGTH, end=True)
    first, second, third = answers(data)
    assert [each[0] for each in (first, second, third)] == [200, 200, 200]
    assert json.loads(first[1])["digits"] == json.loads(third[1])["digits"] == "9754"


@pytest.mark.parametrize("sent", [WITH_LENGTH[:-9], WITH_LENGTH[:40]], ids=["body", "head"])
def test_a_request_that_ends_early_is_malformed_and_what_came_before_is_answered(service, sent):
    data = service.ask(WITH_LENGTH + sent, end=True)
    assert [status for status, _, _ in answers(data)] == [200, 400]
    expect_refused(data, 400, "bad_http")


@pytest.mark.parametrize(
    "wrong", [b"\0\0\r\n\r\n", LIVE + b"\r\n", CHUNKED + b"zz\r\n"], ids=["noise", "no host", "chunk"]
)
def test_what_came_before_something_malformed_is_answered_first(service, wrong):
    data = service.ask(WITH_LENGTH + WITH_LENGTH + wrong)
    assert [status for status, _, _ in answers(data)] == [200, 200, 400]


def test_after_an_upgrade_that_is_not_done_the_connection_goes_on(service):
    upgrade = LIVE + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n"
    assert [status for status, _, _ in answers(service.ask(upgrade + LAST))] == [200, 200]


def test_requests_sent_ahead_are_answered_in_turn_and_wait_unparsed(service):
    count = 3000
    with service.connect() as connection:
        connection.sendall(LIVE + HOST + b"\r\n")
        connection.recv(65536)
        protocol: HttpProtocol = max(service.protocols, key=lambda one: one.transport.get_extra_info("peername")[1])
        most = 0
        sent = memoryview((LIVE + HOST + b"\r\n") * count + LAST)
        connection.settimeout(0.01)
        data = b""
        while not data.endswith(b"close\r\n\r\n\n"):
            with contextlib.suppress(TimeoutError):
                if sent:
                    sent = sent[connection.send(sent[:65536]) :]
            most = max(most, len(protocol.pipeline))
            with contextlib.suppress(TimeoutError):
                data += connection.recv(1 << 20)
    assert data.count(b"HTTP/1.1 200 OK") == count + 1
    assert most < 1000


def test_a_head_that_does_not_arrive_is_given_up(app):
    with served(app, head_seconds=0.3) as service:
        expect_refused(service.ask(LIVE[:10]), 408, "too_slow")
        assert service.ask(b"") == b""
        assert service.ask(b"\r\n") == b""
        # The next head of a connection has the same time.
        statuses = [status for status, _, _ in answers(service.ask(LIVE + HOST + b"\r\n" + LIVE))]
        assert statuses == [200, 408]


def test_a_connection_that_is_not_used_again_is_closed(app):
    with served(app, idle_seconds=1) as service:
        assert [status for status, _, _ in answers(service.ask(LIVE + HOST + b"\r\n"))] == [200]


def test_the_rest_of_a_body_that_was_answered_is_dropped_within_limits(app):
    endless = b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with served(app, many_body_bytes=100_000, head_seconds=0.5) as service:
        with service.connect() as connection:
            connection.sendall(endless)
            with pytest.raises(ConnectionError):
                send_for_ever(connection, b"2710\r\n" + bytes(10_000) + b"\r\n")
        # A slow one has no longer than a head.
        assert [status for status, _, _ in answers(service.ask(endless + b"1\r\na\r\n"))] == [404]


def test_at_the_limit_of_connections_the_one_that_waited_longest_makes_room(app, caplog):
    with served(app, connections=8) as service, contextlib.ExitStack() as opened, caplog.at_level(logging.WARNING):
        silent = [opened.enter_context(service.connect()) for _ in range(30)]
        for _ in range(5):
            assert service.ask(LAST).startswith(b"HTTP/1.1 200")
        wait_for(lambda: len(service.protocols) <= 8, "more connections are open than may be")
        assert received(silent[0]) == b""
        assert [record.message for record in caplog.records if "8 connections are open" in record.message]
        assert len(caplog.records) == 1


def test_where_no_connection_waits_a_new_one_is_closed(app):
    half = READ + b"Content-Length: 100\r\n\r\nhalf"
    with served(app, connections=3) as service, contextlib.ExitStack() as opened:
        busy = [opened.enter_context(service.connect()) for _ in range(3)]
        for connection in busy:
            connection.sendall(half)
        wait_for(lambda: sum(one.cycle is not None for one in service.protocols) == 3, "the requests never began")
        assert service.ask(LAST) == b""
        busy[0].sendall(bytes(96))
        assert busy[0].recv(65536).startswith(b"HTTP/1.1 400 ")


def test_the_soft_limit_of_files_is_raised_and_bounds_the_connections():
    code = (
        "import resource; from pipeline.serving.protocol import allowed_connections; "
        "print(allowed_connections(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    shell = f"ulimit -Sn 300; ulimit -Hn 1024; exec {sys.executable} -c '{code}'"
    ran = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["896", "1024", "1024"]


def test_a_request_is_rejected_alike_whether_it_arrives_at_once_or_in_parts(overloaded):
    service, counted = overloaded
    counted.clear()
    with service.connect() as connection:
        found = []
        for parts in (
            [WITH_LENGTH],
            [WITH_LENGTH],
            [WITH_LENGTH[:-9], WITH_LENGTH[-9:]],
            [WITH_LENGTH[:9], WITH_LENGTH[9:]],
        ):
            for part in parts:
                connection.sendall(part)
                wait_for(lambda: not any(one.unparsed for one in service.protocols), "nothing was parsed")
            found += answers(connection.recv(65536))
        connection.sendall(LAST)
        last = answers(received(connection))
    assert [status for status, _, _ in [*found, *last]] == [503] * 4 + [200]
    bodies = {(body, tuple(sorted(set(headers) - {b"date"}))) for _, body, headers in found}
    assert len(bodies) == 1
    assert json.loads(found[0][1])["error"]["code"] == "overloaded"
    assert counted == [("/read", "overloaded")] * 4


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (WITH_LENGTH.replace(HOST, b""), 400),
        (WITH_LENGTH.replace(HOST, HOST + HOST), 400),
        (WITH_LENGTH.replace(HOST, HOST + b"Content-Length: 5\r\n"), 400),
        (WITH_LENGTH.replace(HOST, HOST + b"Transfer-Encoding: chunked\r\n"), 400),
        (WITH_LENGTH.replace(b"/read", b"/nothing"), 404),
        (WITH_LENGTH.replace(b"/read", b"/r%65ad"), 503),
        (WITH_LENGTH.replace(b"HTTP/1.1", b"HTTP/1.0"), 503),
        (WITH_LENGTH.replace(HOST, HOST + CLOSE), 503),
        (WITH_LENGTH.replace(HOST, HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), 400),
        (WITH_LENGTH, 503),
    ],
)
def test_behind_a_closed_gate_odd_requests_get_the_answers_that_they_always_get(overloaded, sent, status):
    # An idle connection is closed, whether or not it has had its answer without the parser.
    service, _ = overloaded
    assert [found for found, _, _ in answers(service.ask(sent))] == [status]


def test_rejections_that_a_client_does_not_receive_do_not_pile_up(overloaded):
    service, _ = overloaded
    with service.connect() as connection:
        connection.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100_000:
                connection.sendall(WITH_LENGTH)
                sent += 1
        kept = max(one.transport.get_write_buffer_size() for one in service.protocols)
    assert kept < 1_000_000
    assert sent < 100_000
